"""Events the book must refuse, one maker for each reason of the inbox format."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

from brokerage.synthetic.book import CENT, ZERO
from brokerage.synthetic.desk import ATTEMPTS, Desk
from brokerage.synthetic.events import Event, Trade, Transfer
from brokerage.synthetic.market import rounded
from brokerage.synthetic.reference import (
    CLIENT_BANK,
    COIN_WALLET,
    HOUSE_BANK,
    HOUSE_CUSTODIAN,
    PERPETUAL,
    VENUE,
)

Maker = Callable[[Desk, datetime], Event | None]
SEARCHED_MAX = 60


def refused(desk: Desk, at: datetime, *, reason: str) -> Event | None:
    """An event the book refuses for exactly this reason; None when the firm has no such case."""
    for _ in range(ATTEMPTS):
        proposed = MAKERS[reason](desk, at)
        if proposed is None:
            continue
        candidate = numbered(desk, proposed)
        if reason == "duplicate_id":
            # With a reference of its own: should the file's order make this row the earlier one
            # after all, it is accepted, and the bank shows it.
            candidate = candidate._replace(id=proposed.id)
        if desk.decide(desk.book, candidate) == reason:
            return candidate
    return None


def numbered(desk: Desk, candidate: Event) -> Event:
    if isinstance(candidate, Trade):
        return candidate._replace(id=desk.trade_id())
    return desk.numbered(candidate)


def duplicate_id(desk: Desk, at: datetime) -> Event | None:
    """The id of any earlier event, of either kind, applied or refused, today or before."""
    seen = desk.recent_ids
    if not seen:
        return None
    candidate = plausible(desk, at)
    return candidate._replace(id=desk.rng.choice(seen)) if candidate else None


def plausible(desk: Desk, at: datetime) -> Event | None:
    return desk.propose_trade(at) if desk.rng.random() < 0.5 else desk.propose_transfer(at)


def outside_window(desk: Desk, at: datetime) -> Event | None:
    seconds = timedelta(seconds=desk.rng.choice((1, desk.rng.randrange(1, 3_000))))
    outside = desk.rng.choice((desk.start - seconds, desk.as_of + seconds))
    candidate = plausible(desk, at)
    return candidate._replace(at=outside) if candidate else None


def invalid(desk: Desk, at: datetime) -> Event | None:
    candidate = plausible(desk, at)
    if isinstance(candidate, Trade):
        return desk.rng.choice(
            (
                candidate._replace(side=desk.rng.choice(("hold", "BUY", ""))),
                candidate._replace(quantity=candidate.quantity * 0),
                candidate._replace(quantity=-candidate.quantity),
                candidate._replace(price=-candidate.price),
                candidate._replace(fee=Decimal("-0.01")),
                candidate._replace(fee=Decimal("1.000")),
                candidate._replace(quantity=candidate.quantity + Decimal("0.00001")),
                candidate._replace(price=candidate.price + Decimal("0.00001")),
            )
        )
    if isinstance(candidate, Transfer):
        return desk.rng.choice(
            (
                candidate._replace(kind=desk.rng.choice(("gift", "Deposit", ""))),
                candidate._replace(amount=candidate.amount * 0),
                candidate._replace(amount=-candidate.amount),
                candidate._replace(amount=candidate.amount * Decimal("1.000000000")),
            )
        )
    return None


def unknown_reference(desk: Desk, at: datetime) -> Event | None:
    candidate = plausible(desk, at)
    if isinstance(candidate, Trade):
        return desk.rng.choice(
            (
                candidate._replace(account="A99999X"),
                candidate._replace(bucket="ISO-NONE"),
                candidate._replace(instrument="NOSUCH"),
                candidate._replace(instrument="BTC"),
                candidate._replace(location="vault:nowhere"),
            )
        )
    if candidate is None:
        return None
    if candidate.kind == "custody_move":
        return candidate._replace(to_location="vault:nowhere")
    if candidate.kind == "bucket_move":
        return candidate._replace(to_bucket="ISO-NONE")
    return desk.rng.choice(
        (
            candidate._replace(account="A99999X"),
            candidate._replace(bucket="ISO-NONE"),
            candidate._replace(asset="NOSUCH"),
            candidate._replace(location="vault:nowhere"),
        )
    )


def not_allowed(desk: Desk, at: datetime) -> Event | None:
    makers = (misplaced_trade, misplaced_transfer, misplaced_move)
    return desk.rng.choice(makers)(desk, at)


def misplaced_trade(desk: Desk, at: datetime) -> Event | None:
    """A perpetual of a cash account, or a security at the firm's own custodian."""
    account = desk.rng.choice(desk.accounts)
    if account.mode == "cash":
        return desk.perpetual(account, at, Decimal("0.0500"))
    trade = desk.security_trade(account, at)
    return trade._replace(location=desk.rng.choice((HOUSE_CUSTODIAN, VENUE))) if trade else None


def misplaced_transfer(desk: Desk, at: datetime) -> Event | None:
    deposit = desk.deposit(at)
    account = desk.book.reference.accounts[deposit.account]
    other_bank = CLIENT_BANK if account.pool == "HOUSE" else HOUSE_BANK
    security = desk.rng.choice(desk.book.reference.securities or [PERPETUAL])
    return desk.rng.choice(
        (
            deposit._replace(location=other_bank),
            deposit._replace(location=VENUE),
            deposit._replace(asset="USD", amount=Decimal("10.00"), location=COIN_WALLET),
            deposit._replace(asset=security, amount=Decimal("5")),
            deposit._replace(bucket=account.buckets[-1]),
            deposit._replace(kind=desk.rng.choice(("borrow", "repay"))),
        )
    )


def misplaced_move(desk: Desk, at: datetime) -> Event | None:
    """Between the pools, to the place it comes from, or to the bucket it comes from."""
    account = desk.rng.choice(desk.accounts)
    move = desk.made(at, "custody_move", "", Decimal("25.00"), CLIENT_BANK)._replace(bucket="")
    own = desk.made(at, "bucket_move", account.code, Decimal("25.00"), "")
    return desk.rng.choice(
        (
            move._replace(to_location=HOUSE_BANK),
            move._replace(to_location=CLIENT_BANK),
            move._replace(to_location=COIN_WALLET),
            own._replace(to_bucket="FREE"),
        )
    )


def repay_exceeds_loan(desk: Desk, at: datetime) -> Event | None:
    if not desk.by_mode["cross"]:
        return None
    account = desk.rng.choice(desk.by_mode["cross"])
    amount = desk.book.loans.get(account.code, ZERO) + desk.rng.choice((CENT, Decimal("500.00")))
    return desk.made(at, "repay", account.code, amount.quantize(CENT), CLIENT_BANK)


def claim_below_zero(desk: Desk, at: datetime) -> Event | None:
    account = desk.rng.choice(desk.accounts)
    claim = desk.book.claim((account.code, "FREE"))
    above = (claim + desk.rng.choice((CENT, Decimal("750.00")))).quantize(CENT)
    if account.mode == "isolated" and desk.rng.random() < 0.5:
        move = desk.made(at, "bucket_move", account.code, above, "")
        return move._replace(to_bucket=account.buckets[-1])
    if account.mode == "isolated" or desk.rng.random() < 0.3:
        bank = HOUSE_BANK if account.pool == "HOUSE" else CLIENT_BANK
        return desk.made(at, "withdrawal", account.code, above, bank)
    if account.mode == "cross" and desk.rng.random() < 0.3:
        trade = desk.perpetual_trade(account, at)
        return trade._replace(fee=above) if trade else None
    trade = desk.security_trade(account, at)
    if trade is None:
        return None
    held = desk.book.position(account.scope, trade.instrument).quantity
    if trade.side == "sell":
        return trade._replace(quantity=held + 1)
    return trade._replace(quantity=Decimal(int(claim / trade.price) + 1))


def custody_below_zero(desk: Desk, at: datetime) -> Event | None:
    if desk.by_mode["cross"] and desk.rng.random() < 0.3:
        account = desk.rng.choice(desk.by_mode["cross"])
        amount = desk.book.held(HOUSE_BANK) + Decimal("0.01")
        return desk.made(at, "borrow", account.code, amount, CLIENT_BANK)
    losing = unaffordable_close(desk, at) if desk.rng.random() < 0.3 else None
    if losing:
        return losing
    source, target = desk.rng.choice(((CLIENT_BANK, VENUE), (VENUE, CLIENT_BANK)))
    amount = desk.book.held(source) + desk.rng.choice((CENT, Decimal("90000.00")))
    move = desk.made(at, "custody_move", "", amount.quantize(CENT), source)
    return move._replace(bucket="", to_location=target)


def unaffordable_close(desk: Desk, at: datetime) -> Event | None:
    """A close at a price so far off that the venue does not hold the loss."""
    account = desk.rng.choice([*desk.by_mode["cross"], *desk.by_mode["isolated"]] or [None])
    trade = desk.close_of(account, at) if account else None
    if trade is None or account is None:
        return None
    quantity, average = desk.book.position(account.scope)
    loss = desk.book.held(VENUE) + 100
    if quantity < 0:
        return trade._replace(price=(average + loss / -quantity).quantize(CENT))
    price = (average - loss / quantity).quantize(CENT)
    return trade._replace(price=price) if price > 0 else None


def initial_margin(desk: Desk, at: datetime) -> Event | None:
    """Everything a client has in a scope that needs it."""
    candidates = [*desk.by_mode["cross"], *desk.by_mode["isolated"]]
    for _ in range(SEARCHED_MAX if candidates else 0):
        account = desk.rng.choice(candidates)
        share = rounded(desk.rng.uniform(0.5, 1.0), 2)
        amount = (desk.book.claim(account.scope) * share).quantize(CENT)
        if account.mode == "isolated":
            move = desk.made(at, "bucket_move", account.code, amount, "")
            move = move._replace(bucket=account.scope[1], to_bucket="FREE")
        else:
            move = desk.made(at, "withdrawal", account.code, amount, CLIENT_BANK)
        if desk.decide(desk.book, move) == "initial_margin":
            return move
    return None


MAKERS: dict[str, Maker] = {
    "duplicate_id": duplicate_id,
    "outside_window": outside_window,
    "invalid": invalid,
    "unknown_reference": unknown_reference,
    "not_allowed": not_allowed,
    "repay_exceeds_loan": repay_exceeds_loan,
    "claim_below_zero": claim_below_zero,
    "custody_below_zero": custody_below_zero,
    "initial_margin": initial_margin,
}
