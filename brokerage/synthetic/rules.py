"""Which events the invented firm expects its book to accept: the inbox format's house rules."""

from decimal import Decimal

from brokerage.synthetic.book import ZERO, Book, Effects, Scope, effects_of, moved_position
from brokerage.synthetic.events import Event, Trade, Transfer
from brokerage.synthetic.reference import CLIENT_BANK, PERPETUAL, Bracket, Reference

KINDS = ("deposit", "withdrawal", "custody_move", "bucket_move", "borrow", "repay")


def decide(book: Book, event: Event) -> str | None:
    """The first reason to refuse the event, in the order of the inbox format, or None."""
    assert book.window is not None, "a day has begun"
    if event.id in book.seen:
        return "duplicate_id"
    if not book.window[0] <= event.at <= book.window[1]:
        return "outside_window"
    if isinstance(event, Trade):
        return trade_refusal(book, event)
    return transfer_refusal(book, event)


def places(number: Decimal) -> int:
    """Decimals as written: trailing zeros count."""
    return -int(number.as_tuple().exponent)


def trade_refusal(book: Book, trade: Trade) -> str | None:
    reference = book.reference
    instrument = reference.instruments.get(trade.instrument)
    if trade.side not in ("buy", "sell") or min(trade.quantity, trade.price) <= 0:
        return "invalid"
    if trade.fee < 0 or places(trade.fee) > 2:
        return "invalid"
    if instrument and (
        places(trade.quantity) > instrument.quantity_scale
        or places(trade.price) > instrument.price_scale
    ):
        return "invalid"
    account = reference.accounts.get(trade.account)
    location = reference.locations.get(trade.location)
    if not (account and instrument and location) or trade.bucket not in account.buckets:
        return "unknown_reference"
    modes = (("cash", "FREE"), ("cross", "FREE"))
    if not instrument.is_security:
        modes = (("cross", "FREE"), ("isolated", f"ISO-{PERPETUAL}"))
    if (
        (account.mode, trade.bucket) not in modes
        or location.pool != account.pool
        or trade.instrument not in location.assets
        or (instrument.is_security and location.kind != "custodian")
    ):
        return "not_allowed"
    effects = effects_of(book, trade)
    _, closed = moved_position(
        book.position((trade.account, trade.bucket), trade.instrument), trade
    )
    if (instrument.is_security or not closed) and claim_falls_short(book, effects):
        return "claim_below_zero"
    return "custody_below_zero" if custody_falls_short(book, effects) else None


def transfer_refusal(book: Book, transfer: Transfer) -> str | None:
    scale = book.reference.scale(transfer.asset)
    if transfer.kind not in KINDS or transfer.amount <= 0:
        return "invalid"
    if scale is not None and places(transfer.amount) > scale:
        return "invalid"
    if not resolves(book.reference, transfer):
        return "unknown_reference"
    if not is_allowed(book.reference, transfer):
        return "not_allowed"
    if transfer.kind == "repay" and transfer.amount > book.loans.get(transfer.account, ZERO):
        return "repay_exceeds_loan"
    effects = effects_of(book, transfer)
    if claim_falls_short(book, effects):
        return "claim_below_zero"
    if custody_falls_short(book, effects):
        return "custody_below_zero"
    return "initial_margin" if breaches_margin(book, transfer) else None


def resolves(reference: Reference, transfer: Transfer) -> bool:
    kind = transfer.kind
    if transfer.asset not in reference.assets and transfer.asset not in reference.instruments:
        return False
    if kind != "custody_move":
        account = reference.accounts.get(transfer.account)
        if account is None or transfer.bucket not in account.buckets:
            return False
        if kind == "bucket_move":
            return transfer.to_bucket in account.buckets
    if transfer.location not in reference.locations:
        return False
    return kind != "custody_move" or transfer.to_location in reference.locations


def is_allowed(reference: Reference, transfer: Transfer) -> bool:
    kind, asset = transfer.kind, transfer.asset
    if asset not in reference.assets:
        return False
    if kind == "bucket_move":
        return transfer.bucket != transfer.to_bucket
    location = reference.locations[transfer.location]
    if kind == "custody_move":
        target = reference.locations[transfer.to_location]
        return (
            location.code != target.code
            and location.pool == target.pool
            and asset in location.assets
            and asset in target.assets
        )
    account = reference.accounts[transfer.account]
    if transfer.bucket != "FREE" or location.pool != account.pool or asset not in location.assets:
        return False
    if kind in ("deposit", "withdrawal"):
        return location.kind in ("bank", "wallet")
    return account.mode == "cross" and location.code == CLIENT_BANK and asset == "USD"


def claim_falls_short(book: Book, effects: Effects) -> bool:
    if effects.position and effects.position[1] != PERPETUAL and effects.position[2].quantity < 0:
        return True
    return any(book.claim(scope, asset) + moved < 0 for scope, asset, moved in effects.claims)


def custody_falls_short(book: Book, effects: Effects) -> bool:
    after: dict[tuple[str, str], Decimal] = {}
    for location, asset, moved in effects.custody:
        before = after.get((location, asset), book.held(location, asset))
        after[location, asset] = before + moved
    return any(held < 0 for (_, asset), held in after.items() if asset != PERPETUAL)


def breaches_margin(book: Book, transfer: Transfer) -> bool:
    """Whether a scope's equity after the transfer out of it is below its initial margin."""
    if transfer.kind not in ("withdrawal", "bucket_move"):
        return False
    scope = (transfer.account, transfer.bucket)
    if scope != book.reference.accounts[transfer.account].scope:
        return False
    equity, initial, _ = measure(book, scope, marks=book.marks)
    asset = book.reference.assets[transfer.asset]
    mark = book.marks.get(transfer.asset, Decimal(1))
    return equity - transfer.amount * mark * (1 - asset.haircut) < initial


def measure(
    book: Book, scope: Scope, *, marks: dict[str, Decimal]
) -> tuple[Decimal, Decimal, Decimal]:
    """Equity, initial and maintenance margin of a scope at the given marks."""
    reference = book.reference
    equity = initial = maintenance = ZERO
    for code, amount in book.claims.get(scope, {}).items():
        equity += amount * marks.get(code, Decimal(1)) * (1 - reference.assets[code].haircut)
    for code, position in book.positions.get(scope, {}).items():
        instrument = reference.instruments[code]
        notional = abs(position.quantity) * marks[code]
        cost = ZERO if instrument.is_security else position.average_cost
        equity += position.quantity * (marks[code] - cost)
        im_part, mm_part = requirement(notional, instrument.brackets)
        initial, maintenance = initial + im_part, maintenance + mm_part
    account, bucket = scope
    if bucket == "FREE":
        equity -= book.loans.get(account, ZERO)
    if reference.accounts[account].mode == "cash":
        return equity, ZERO, ZERO
    return equity, initial, maintenance


def requirement(notional: Decimal, brackets: tuple[Bracket, ...]) -> tuple[Decimal, Decimal]:
    """Initial and maintenance margin of one position: each slice at its own bracket's rate."""
    initial = maintenance = ZERO
    ceilings = [bracket.floor for bracket in brackets[1:]]
    for index, bracket in enumerate(brackets):
        ceiling = min(notional, ceilings[index]) if index < len(ceilings) else notional
        part = max(ceiling - bracket.floor, ZERO)
        initial += part * bracket.initial_rate
        maintenance += part * bracket.maintenance_rate
    return initial, maintenance
