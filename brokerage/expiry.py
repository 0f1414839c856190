"""Options that are over: what each holder is paid or pays, at the price of the day of expiry.

A plan is made of the book as it stands and says what would be posted, and what waits and why;
settling posts the plan. What is settled is no position any more, so doing it again does nothing.
Who is paid comes first, since a venue pays from what it holds. A loss beyond a bucket goes the way
of every such loss: the bucket, INSURANCE, HOUSE, and what nobody pays is a shortfall.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

from brokerage.inbox.daybook import BucketInfo, DayBook, Move, read_day_book
from brokerage.inbox.decisions import Decision
from brokerage.inbox.rows import TradeRow
from brokerage.inbox.trades import CASH, position_moves, settle_loss, venue_cash
from ledger.models import Balance
from ledger.positions import apply_trade, half_even
from ledger.posting import AccountKey, Draft, plain, post_entries
from margin.book.options import intrinsic
from margin.engine.exact import exact
from margin.models import Contract, Mark, Task
from margin.option_listing import contract_price
from margin.trades import FEE_SCALE, TradeOutcome
from margin.worklist import OPERATIONS, Needed, close_tasks, open_tasks

TASK: Final = Task.Kind.EXPIRY.value
SETTLED: Final = "settled at expiry"
ZERO: Final = Decimal(0)
# Marks at which an option is settled: composed of good sources, or set by two people.
SETTLES: Final = (Mark.State.VALID, Mark.State.OVERRIDDEN)
DUE_IN: Final = timedelta(hours=4)


@dataclass(frozen=True, slots=True)
class Settlement:
    """One position that is closed.

    Attributes:
        mark: that of the underlying by which it is settled.
        pays: per unit of the underlying, from 0.
        cash: what the bucket is paid; negative: what it pays.
    """

    code: str
    bucket: BucketInfo
    quantity: Decimal
    mark: Mark
    pays: Decimal
    cash: Decimal
    decision: Decision
    version: int

    def as_json(self) -> dict[str, Any]:
        """Names and figures, amounts as exact text."""
        return {
            "option": self.code,
            "account": self.bucket.account,
            "bucket": self.bucket.code,
            "quantity": plain(self.quantity),
            "settlement_price": plain(self.mark.price),
            "mark": self.mark.pk,
            "pays": plain(self.pays),
            "cash": plain(self.cash),
            "shortfall": plain(self.decision.loss.shortfall) if self.decision.loss else "0",
        }


@dataclass(frozen=True, slots=True)
class Waiting:
    """An option, or one holder of it, that cannot be settled yet, and why."""

    code: str
    why: str
    holder: str = ""

    @property
    def key(self) -> str:
        return f"{self.code} {self.holder}".strip()


@dataclass(frozen=True, slots=True)
class ExpiryPlan:
    """What is settled, in the order of posting, and what waits."""

    settlements: tuple[Settlement, ...]
    waiting: tuple[Waiting, ...]

    def as_json(self) -> dict[str, Any]:
        """The plan as JSON values."""
        return {
            "settlements": [each.as_json() for each in self.settlements],
            "waiting": [
                {"option": each.code, "holder": each.holder, "why": each.why}
                for each in self.waiting
            ],
        }


class _WaitsError(Exception):
    """A position that cannot be settled now."""


def plan_expiry(book: DayBook, *, as_of: datetime) -> ExpiryPlan:
    """What becomes of every open position in options that are over at an instant.

    The book is carried along, as it is over the events of a day.
    """
    settlements: list[Settlement] = []
    waiting: list[Waiting] = []
    for code, contract in sorted(book.options.items()):
        holders = _holders(book, code) if _is_over(contract, as_of) else []
        if not holders:
            continue
        mark = settlement_mark(contract, as_of=as_of)
        if mark is None or mark.state not in SETTLES:
            waiting.append(Waiting(code, _no_price(contract, mark)))
            continue
        for bucket, quantity in holders:
            try:
                with exact():
                    done = _settled(book, code, contract, bucket, quantity, mark)
            except _WaitsError as waits:
                waiting.append(Waiting(code, str(waits), f"{bucket.account} {bucket.code}"))
            else:
                with exact():
                    book.apply(done.decision.moves)
                settlements.append(done)
    return ExpiryPlan(tuple(settlements), tuple(waiting))


def settle_expired(*, day: date, as_of: datetime) -> ExpiryPlan:
    """Post the plan of now, and keep a task open for what waits; call inside an act."""
    if not _any_over(as_of):
        close_tasks(TASK, still_needed=set(), at=as_of, reason=SETTLED)
        return ExpiryPlan((), ())
    book = read_day_book(day)
    plan = plan_expiry(book, as_of=as_of)
    if plan.settlements:
        ids = book.ledger_account_ids()
        post_entries([_draft(each, book, ids, day=day) for each in plan.settlements])
    needed = [_needed(each, as_of=as_of) for each in plan.waiting]
    open_tasks(needed, business_day=day, at=as_of)
    close_tasks(TASK, still_needed={each.key for each in needed}, at=as_of, reason=SETTLED)
    return plan


def _any_over(as_of: datetime) -> bool:
    """Whether anybody holds an option that is over; the book is read only then."""
    return (
        Balance.objects.filter(
            account__account_class="position",
            account__asset__contract__form=Contract.Form.OPTION,
            account__asset__contract__expires_at__lte=as_of,
        )
        .exclude(amount=0)
        .exists()
    )


def settlement_mark(contract: Contract, *, as_of: datetime) -> Mark | None:
    """The mark of its underlying at or first after expiry, as it stands, known by an instant."""
    return (
        Mark.objects.standing()
        .filter(asset_id=contract.underlying_id, as_of__gte=contract.expires_at, as_of__lte=as_of)
        .order_by("as_of")
        .first()
    )


def _is_over(contract: Contract, as_of: datetime) -> bool:
    assert contract.expires_at is not None, "an option expires"
    return contract.expires_at <= as_of


def _holders(book: DayBook, code: str) -> list[tuple[BucketInfo, Decimal]]:
    """Who holds it, those who are long first, then by name."""
    held = [
        (bucket, book.position(bucket, code).quantity)
        for _, bucket in sorted(book.buckets.items())
        if book.position(bucket, code).quantity
    ]
    return sorted(held, key=lambda each: each[1] < 0)


def _no_price(contract: Contract, mark: Mark | None) -> str:
    name = contract.underlying.code
    if mark is None:
        return f"{name} has no mark since its expiry"
    day = mark.business_day
    return f"{name} has no good price of {day} ({mark.get_state_display().lower()})"


def _settled(
    book: DayBook,
    code: str,
    contract: Contract,
    bucket: BucketInfo,
    quantity: Decimal,
    mark: Mark,
) -> Settlement:
    pays = intrinsic(contract, mark.price)
    price = contract_price(contract, pays)
    cash = half_even(quantity * price, FEE_SCALE)
    place = _venue(book, code, bucket)
    closing = TradeRow(
        line=0, trade_id=f"X{bucket.id}-{code}",
        executed_at=mark.as_of, account=bucket.account, bucket=bucket.code, instrument=code,
        side="sell" if quantity > 0 else "buy", quantity=abs(quantity), price=price,
        fee_usd=ZERO, location=place,
    )  # fmt: skip
    if book.held(place, CASH) + cash < 0:
        raise _WaitsError(f"{place} holds less {CASH} than it would pay")
    claim = book.claim(bucket, CASH)
    outcome = _outcome(book, closing, bucket, quantity, cash, claim)
    moves = list(position_moves(closing, bucket=bucket, effect=outcome.effect, book=book))
    moves.extend(venue_cash(place, cash, book=book))
    return Settlement(
        code=code, bucket=bucket, quantity=quantity, mark=mark, pays=pays, cash=cash,
        decision=_decided(book, closing, bucket, outcome, moves),
        version=book.versions.get(bucket.id, 0),
    )  # fmt: skip


def _outcome(
    book: DayBook,
    closing: TradeRow,
    bucket: BucketInfo,
    quantity: Decimal,
    cash: Decimal,
    claim: Decimal,
) -> TradeOutcome:
    """What the settlement makes of the bucket; a loss takes what there is."""
    position = book.position(bucket, closing.instrument)
    effect = apply_trade(position, signed_quantity=-quantity, price=closing.price, kind="security")
    if claim + cash >= 0:
        return TradeOutcome(effect, cash, ZERO, cash, ZERO)
    if bucket.owner_class != "CLIENT":
        raise _WaitsError("the account does not have what it would pay")
    return TradeOutcome(effect, cash, ZERO, -claim, -(claim + cash))


def _decided(
    book: DayBook,
    closing: TradeRow,
    bucket: BucketInfo,
    outcome: TradeOutcome,
    moves: list[Move],
) -> Decision:
    if outcome.shortfall:
        return settle_loss(closing, bucket=bucket, outcome=outcome, moves=moves, book=book)
    if outcome.cash:
        key = book.claim_key(bucket, CASH)
        moves.append(Move("claim", key, outcome.cash, CASH, bucket_id=bucket.id))
    return Decision(kind="option_settlement", moves=tuple(moves))


def _venue(book: DayBook, code: str, bucket: BucketInfo) -> str:
    """Where the contracts of an owner are: an option has one venue for each pool."""
    for name, place in sorted(book.locations.items()):
        if (
            book.carries(name, code)
            and place.pool.code == bucket.owner_class
            and book.goes_through(bucket, name)
        ):
            return name
    raise _WaitsError("no venue of its pool carries it")


def _draft(done: Settlement, book: DayBook, ids: Mapping[AccountKey, int], *, day: date) -> Draft:
    expires_at = book.options[done.code].expires_at
    assert expires_at is not None, "an option expires"
    opened = datetime.combine(day, time.min, tzinfo=UTC)
    return Draft(
        key=f"expiry:{done.code}:{done.bucket.id}:{done.version}",
        kind=done.decision.kind,
        effective_at=max(expires_at, opened),
        reference=f"EXPIRY {done.code}",
        narrative=f"Settled at {plain(done.mark.price)}, mark {done.mark.pk}",
        legs=[move.leg(dict(ids)) for move in done.decision.moves],
        loss=done.decision.loss,
    )


def _needed(waits: Waiting, *, as_of: datetime) -> Needed:
    holder = f" of {waits.holder}" if waits.holder else ""
    return Needed(
        kind=TASK,
        key=waits.key,
        subject=f"{waits.code}{holder} is over and not settled",
        detail=f"Nothing is settled: {waits.why}.",
        due_at=as_of + DUE_IN,
        owner_role=OPERATIONS,
    )
