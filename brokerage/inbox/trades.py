"""Trades of house rules v1: what an execution moves, and when it is refused."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal, localcontext

from brokerage.inbox.daybook import ZERO, BucketInfo, DayBook, Move
from brokerage.inbox.decisions import Decision, RefusedEventError, decimals_of
from brokerage.inbox.rows import TradeRow
from ledger.exact import EXACT
from ledger.models import Asset
from ledger.positions import Position, TradeEffect
from ledger.posting import LossParts, plain
from margin.option_listing import contract_price
from margin.trades import (
    FEE_SCALE,
    Trade,
    TradeOutcome,
    TradeRefusedError,
    derivative_trade,
    option_trade,
    security_trade,
)

CASH = "USD"
CASH_BANK = {"CLIENT": "bank:client-usd", "HOUSE": "bank:house-usd"}
# Who pays what a bucket cannot, in this order, from which bank.
PAYERS = (("INSURANCE", "bank:insurance-usd"), ("HOUSE", "bank:house-usd"))


def decide_trade(trade: TradeRow, *, book: DayBook) -> Decision:
    """The entry a trade makes.

    Raises:
        RefusedEventError: the first reason that applies, from `invalid` on.
    """
    _check_numbers(trade, book=book)
    bucket, instrument = _resolve(trade, book=book)
    _check_allowed(trade, bucket=bucket, instrument=instrument, book=book)
    if instrument.kind == "security":
        return _decide_security(trade, bucket=bucket, instrument=instrument, book=book)
    if instrument.is_option:
        return decide_option(trade, bucket=bucket, book=book)
    return _decide_derivative(trade, bucket=bucket, instrument=instrument, book=book)


def _check_numbers(trade: TradeRow, *, book: DayBook) -> None:
    instrument = book.assets.get(trade.instrument)
    if (
        trade.side not in ("buy", "sell")
        or trade.quantity <= 0
        or trade.price <= 0
        or trade.fee_usd < 0
        or decimals_of(trade.fee_usd) > FEE_SCALE
    ):
        raise RefusedEventError("invalid")
    if instrument is not None and instrument.kind != "money":
        assert instrument.price_scale is not None
        if (
            decimals_of(trade.quantity) > instrument.scale
            or decimals_of(trade.price) > instrument.price_scale
        ):
            raise RefusedEventError("invalid")


def _resolve(trade: TradeRow, *, book: DayBook) -> tuple[BucketInfo, Asset]:
    bucket = book.buckets.get((trade.account, trade.bucket))
    instrument = book.assets.get(trade.instrument)
    if (
        bucket is None
        or instrument is None
        or instrument.kind == "money"
        or trade.location not in book.locations
    ):
        raise RefusedEventError("unknown_reference")
    return bucket, instrument


def _check_allowed(
    trade: TradeRow, *, bucket: BucketInfo, instrument: Asset, book: DayBook
) -> None:
    location = book.locations[trade.location]
    if instrument.kind == "security":
        fits = (
            bucket.mode in ("cash", "cross")
            and bucket.code == "FREE"
            and location.kind == "custodian"
        )
    else:
        fits = (bucket.mode == "cross" and bucket.code == "FREE") or (
            bucket.mode == "isolated" and bucket.code == f"ISO-{instrument.code}"
        )
    if not (
        fits
        and location.pool.code == bucket.owner_class
        and book.carries(trade.location, instrument.code)
        and book.goes_through(bucket, trade.location)
        # Securities are paid for through the firm's banks for everybody.
        and not (instrument.kind == "security" and bucket.client_id in book.apart)
    ):
        raise RefusedEventError("not_allowed")


def _trade(row: TradeRow) -> Trade:
    signed = row.quantity if row.side == "buy" else -row.quantity
    return Trade(quantity=signed, price=row.price, fee=row.fee_usd)


def position_moves(
    trade: TradeRow, *, bucket: BucketInfo, effect: TradeEffect, book: DayBook
) -> Iterator[Move]:
    """The contracts: to the client's position and to the location's custody."""
    signed = trade.quantity if trade.side == "buy" else -trade.quantity
    yield Move(
        kind="position",
        key=book.position_key(bucket, trade.instrument),
        amount=signed,
        asset=trade.instrument,
        bucket_id=bucket.id,
        price=trade.price,
        position_after=Position(quantity=effect.quantity_after, average_cost=effect.average_after),
    )
    yield _custody(trade.location, trade.instrument, signed, book=book)


def _custody(
    location: str, asset: str, amount: Decimal, *, book: DayBook, reference: str | None = None
) -> Move:
    return Move(
        kind="custody",
        key=book.custody_key(location, asset),
        amount=amount,
        asset=asset,
        location=location,
        reference=reference,
    )


def venue_cash(location: str, amount: Decimal, *, book: DayBook) -> Iterator[Move]:
    """Money that a venue pays, or is paid."""
    if amount:
        yield _custody(location, CASH, amount, book=book)


def _claim(bucket: BucketInfo, amount: Decimal, *, book: DayBook) -> Iterator[Move]:
    if amount:
        yield Move(
            kind="claim",
            key=book.claim_key(bucket, CASH),
            amount=amount,
            asset=CASH,
            bucket_id=bucket.id,
        )


def _fee(bucket: BucketInfo, fee: Decimal, *, book: DayBook) -> Iterator[Move]:
    if fee:
        yield Move("firm", book.firm_key(bucket.owner_class, CASH), fee, CASH)


def _decide_security(
    trade: TradeRow, *, bucket: BucketInfo, instrument: Asset, book: DayBook
) -> Decision:
    try:
        outcome = security_trade(
            _trade(trade),
            position=book.position(bucket, trade.instrument),
            spare_position=book.spare(bucket, trade.instrument),
            spare_claim=book.spare(bucket, CASH),
        )
    except TradeRefusedError as refused:
        raise RefusedEventError(refused.rule) from refused
    signed, cash, bank = _trade(trade).quantity, outcome.cash, CASH_BANK[bucket.owner_class]
    if book.held(bank, CASH) + cash < 0 or book.held(trade.location, trade.instrument) + signed < 0:
        raise RefusedEventError("custody_below_zero")
    moves = list(position_moves(trade, bucket=bucket, effect=outcome.effect, book=book))
    if cash:
        moves.append(_custody(bank, CASH, cash, book=book, reference=trade.trade_id))
    moves.extend(_claim(bucket, outcome.claim_change, book=book))
    moves.extend(_fee(bucket, outcome.fee, book=book))
    details = {"fee": plain(outcome.fee), "cash": plain(cash)}
    if not cash:
        details["bank_movement"] = bank  # a trade for 0.00 is still expected at the bank
    return Decision(kind="security_trade", moves=tuple(moves), details=details)


def decide_option(trade: TradeRow, *, bucket: BucketInfo, book: DayBook) -> Decision:
    """The entry of a trade in an option: contracts one way, premium the other.

    Raises:
        RefusedEventError: `unknown_reference`, `option_expired`, `model_without_options`,
            `claim_below_zero`, `custody_below_zero`.
    """
    contract = book.options.get(trade.instrument)
    if contract is None:
        raise RefusedEventError("unknown_reference")
    assert contract.expires_at is not None, "an option expires"
    if trade.executed_at >= contract.expires_at:
        raise RefusedEventError("option_expired")
    if bucket.account_id not in book.optioned:
        raise RefusedEventError("model_without_options")
    asked = _trade(trade)
    price = contract_price(contract, trade.price)
    try:
        outcome = option_trade(
            replace(asked, price=price),
            position=book.position(bucket, trade.instrument),
            spare_claim=book.spare(bucket, CASH),
        )
    except TradeRefusedError as refused:
        raise RefusedEventError(refused.rule) from refused
    if book.held(trade.location, CASH) + outcome.cash < 0:
        raise RefusedEventError("custody_below_zero")
    contracts, custody = position_moves(trade, bucket=bucket, effect=outcome.effect, book=book)
    moves = [replace(contracts, price=price), custody]
    if outcome.cash:
        moves.append(_custody(trade.location, CASH, outcome.cash, book=book))
    moves.extend(_claim(bucket, outcome.claim_change, book=book))
    moves.extend(_fee(bucket, outcome.fee, book=book))
    details = {"fee": plain(outcome.fee), "premium": plain(outcome.cash)}
    return Decision(kind="option_trade", moves=tuple(moves), details=details)


def _decide_derivative(
    trade: TradeRow, *, bucket: BucketInfo, instrument: Asset, book: DayBook
) -> Decision:
    try:
        outcome = derivative_trade(
            _trade(trade),
            position=book.position(bucket, trade.instrument),
            claim=book.claim(bucket, CASH),
        )
    except TradeRefusedError as refused:
        raise RefusedEventError(refused.rule) from refused
    moves = list(position_moves(trade, bucket=bucket, effect=outcome.effect, book=book))
    details = {"fee": plain(outcome.fee)}
    if outcome.effect.realised is not None:
        if book.held(trade.location, CASH) + outcome.cash < 0:
            raise RefusedEventError("custody_below_zero")
        if outcome.cash:
            moves.append(_custody(trade.location, CASH, outcome.cash, book=book))
        if outcome.shortfall:
            return settle_loss(trade, bucket=bucket, outcome=outcome, moves=moves, book=book)
        details["realised"] = plain(outcome.cash)
        if outcome.fee < trade.fee_usd:
            details["waived"] = plain(trade.fee_usd - outcome.fee)
    moves.extend(_claim(bucket, outcome.claim_change, book=book))
    moves.extend(_fee(bucket, outcome.fee, book=book))
    return Decision(kind="derivative_trade", moves=tuple(moves), details=details)


def settle_loss(
    trade: TradeRow,
    *,
    bucket: BucketInfo,
    outcome: TradeOutcome,
    moves: list[Move],
    book: DayBook,
) -> Decision:
    """A loss beyond the bucket: it gives what it has, then INSURANCE pays, then HOUSE."""
    realised, shortfall = outcome.cash, outcome.shortfall
    moves.extend(_claim(bucket, outcome.claim_change, book=book))
    missing = shortfall
    paid: dict[str, Decimal] = {}
    for pool, bank in PAYERS:
        part = min(missing, max(book.held(bank, CASH), ZERO))
        paid[pool] = part
        missing -= part
        if part:
            reference = f"{pool[0]}-{trade.trade_id}"
            moves.append(_custody(bank, CASH, -part, book=book, reference=reference))
            moves.append(_custody(CASH_BANK["CLIENT"], CASH, part, book=book, reference=reference))
            moves.append(Move("firm", book.firm_key(pool, CASH), -part, CASH))
    if missing:
        moves.append(Move("shortfall", book.shortfall_key(CASH), missing, CASH))
    loss = LossParts(
        bucket_id=bucket.id,
        realised=realised,
        shortfall=shortfall,
        insurance=paid["INSURANCE"],
        house=paid["HOUSE"],
        uncovered=missing,
    )
    details = {
        "account": bucket.account,
        "bucket": bucket.code,
        "fee": "0",
        "realised": plain(realised),
        "shortfall": plain(shortfall),
        "insurance": plain(loss.insurance),
        "house": plain(loss.house),
        "uncovered": plain(missing),
    }
    if trade.fee_usd:
        details["waived"] = plain(trade.fee_usd)
    return Decision(
        kind="uncovered_loss" if missing else "covered_loss",
        moves=tuple(moves),
        loss=loss,
        details=details,
    )


def position_of(decision: Decision) -> tuple[int, Decimal, Decimal, str]:
    """The bucket of a trade, its position before and after, and in what."""
    move = next(each for each in decision.moves if each.kind == "position")
    assert move.bucket_id is not None, "a position is a bucket's"
    assert move.position_after is not None, "a trade leaves a position"
    after = move.position_after.quantity
    with localcontext(EXACT):
        return move.bucket_id, after - move.amount, after, move.asset
