"""Transfers of house rules v1: what each kind moves, and when it is refused."""

from collections.abc import Callable, Mapping
from decimal import Decimal

from brokerage.inbox.daybook import ZERO, BucketInfo, DayBook, Move
from brokerage.inbox.decisions import Decision, RefusedEventError, ReleaseAsk, decimals_of
from brokerage.inbox.rows import TransferRow
from ledger.models.moves import OUTSIDE
from margin.asking import ModelRefusedError
from margin.engine.gate import Standing
from margin.holding import ScopeBalances, group_standing
from margin.models import Switch
from margin.releases import InitialMarginGate
from margin.switches import RULES

CASH = "USD"
CLIENT_BANK = "bank:client-usd"
HOUSE_BANK = "bank:house-usd"
KINDS = ("deposit", "withdrawal", "custody_move", "bucket_move", "borrow", "repay")


def decide_transfer(transfer: TransferRow, *, book: DayBook, gate: InitialMarginGate) -> Decision:
    """The entry a transfer makes.

    Args:
        gate: says whether a scope keeps its initial margin at the marks of the day before.

    Raises:
        RefusedEventError: the first reason that applies, from `invalid` on.
    """
    if transfer.kind not in KINDS or transfer.amount <= 0:
        raise RefusedEventError("invalid")
    asset = book.assets.get(transfer.asset)
    if asset is not None and decimals_of(transfer.amount) > asset.scale:
        raise RefusedEventError("invalid")
    _check_references(transfer, book=book)
    if book.assets[transfer.asset].kind != "money":
        raise RefusedEventError("not_allowed")
    if transfer.kind == "custody_move":
        return _custody_move(transfer, book=book)
    bucket = book.bucket(transfer.account, transfer.bucket)
    if transfer.kind == "bucket_move":
        return _bucket_move(transfer, bucket=bucket, book=book, gate=gate)
    decide: Mapping[str, Callable[..., Decision]] = {
        "deposit": _deposit,
        "withdrawal": _withdrawal,
        "borrow": _borrow,
        "repay": _repay,
    }
    return decide[transfer.kind](transfer, bucket=bucket, book=book, gate=gate)


def _check_references(transfer: TransferRow, *, book: DayBook) -> None:
    """Every code the kind uses resolves; columns it does not use are ignored."""
    known = [transfer.asset in book.assets]
    if transfer.kind == "custody_move":
        known += [transfer.location in book.locations, transfer.to_location in book.locations]
    else:
        known.append((transfer.account, transfer.bucket) in book.buckets)
    if transfer.kind == "bucket_move":
        known.append((transfer.account, transfer.to_bucket) in book.buckets)
    elif transfer.kind != "custody_move":
        known.append(transfer.location in book.locations)
    if not all(known):
        raise RefusedEventError("unknown_reference")


def _claim(transfer: TransferRow, bucket: BucketInfo, amount: Decimal, book: DayBook) -> Move:
    key = book.claim_key(bucket, transfer.asset)
    return Move("claim", key, amount, transfer.asset, bucket_id=bucket.id)


def _custody(transfer: TransferRow, location: str, amount: Decimal, book: DayBook) -> Move:
    return Move(
        "custody",
        book.custody_key(location, transfer.asset),
        amount,
        transfer.asset,
        location=location,
        reference=transfer.reference,
    )


def _custody_move(transfer: TransferRow, *, book: DayBook) -> Decision:
    source = book.locations[transfer.location]
    target = book.locations[transfer.to_location]
    if (
        source.pk == target.pk
        or source.pool_id != target.pool_id
        or source.individual_client_id != target.individual_client_id
        or not book.carries(source.code, transfer.asset)
        or not book.carries(target.code, transfer.asset)
    ):
        raise RefusedEventError("not_allowed")
    if book.held(source.code, transfer.asset) < transfer.amount:
        raise RefusedEventError("custody_below_zero")
    moves = (
        _custody(transfer, source.code, -transfer.amount, book),
        _custody(transfer, target.code, transfer.amount, book),
    )
    return Decision("custody_move", moves)


def _check_cash_place(transfer: TransferRow, bucket: BucketInfo, book: DayBook) -> None:
    location = book.locations[transfer.location]
    if (
        bucket.code != "FREE"
        or location.pool.code != bucket.owner_class
        or location.kind not in ("bank", "wallet")
        or not book.carries(location.code, transfer.asset)
        or not book.goes_through(bucket, location.code)
    ):
        raise RefusedEventError("not_allowed")


def _deposit(
    transfer: TransferRow, *, bucket: BucketInfo, book: DayBook, gate: InitialMarginGate
) -> Decision:
    _check_cash_place(transfer, bucket, book)
    moves = (
        _custody(transfer, transfer.location, transfer.amount, book),
        _claim(transfer, bucket, transfer.amount, book),
    )
    return Decision("deposit", moves)


def _withdrawal(
    transfer: TransferRow, *, bucket: BucketInfo, book: DayBook, gate: InitialMarginGate
) -> Decision:
    _check_cash_place(transfer, bucket, book)
    if book.locations[transfer.location].pool.legal_entity_id in book.stopped:
        raise RefusedEventError(RULES[Switch.What.WITHDRAWALS])
    if bucket.account in book.blocked or not book.lets(bucket.role, OUTSIDE):
        raise RefusedEventError("not_allowed")
    if book.spare(bucket, transfer.asset) < transfer.amount:
        raise RefusedEventError("claim_below_zero")
    if book.held(transfer.location, transfer.asset) < transfer.amount:
        raise RefusedEventError("custody_below_zero")
    moves = (
        _claim(transfer, bucket, -transfer.amount, book),
        _custody(transfer, transfer.location, -transfer.amount, book),
    )
    return Decision("withdrawal", moves, release=_released(transfer, bucket, book, gate))


def _bucket_move(
    transfer: TransferRow, *, bucket: BucketInfo, book: DayBook, gate: InitialMarginGate
) -> Decision:
    target = book.bucket(transfer.account, transfer.to_bucket)
    if target.id == bucket.id or not book.lets(bucket.role, target.role):
        raise RefusedEventError("not_allowed")
    if book.spare(bucket, transfer.asset) < transfer.amount:
        raise RefusedEventError("claim_below_zero")
    moves = (
        _claim(transfer, bucket, -transfer.amount, book),
        _claim(transfer, target, transfer.amount, book),
    )
    return Decision("bucket_move", moves, release=_released(transfer, bucket, book, gate))


def _check_loan_place(transfer: TransferRow, bucket: BucketInfo, book: DayBook) -> None:
    if (transfer.location == CLIENT_BANK and not book.goes_through(bucket, CLIENT_BANK)) or (
        bucket.mode != "cross"
        or bucket.owner_class != "CLIENT"
        or bucket.code != "FREE"
        or transfer.asset != CASH
        or transfer.location != CLIENT_BANK
    ):
        raise RefusedEventError("not_allowed")


def _loan(transfer: TransferRow, bucket: BucketInfo, amount: Decimal, book: DayBook) -> Move:
    key = book.loan_key(bucket, CASH)
    return Move("loan", key, amount, CASH, bucket_id=bucket.id)


def _borrow(
    transfer: TransferRow, *, bucket: BucketInfo, book: DayBook, gate: InitialMarginGate
) -> Decision:
    _check_loan_place(transfer, bucket, book)
    if book.held(HOUSE_BANK, CASH) < transfer.amount:
        raise RefusedEventError("custody_below_zero")
    moves = (
        _custody(transfer, HOUSE_BANK, -transfer.amount, book),
        _loan(transfer, bucket, transfer.amount, book),
        _custody(transfer, CLIENT_BANK, transfer.amount, book),
        _claim(transfer, bucket, transfer.amount, book),
    )
    return Decision("borrow", moves)


def _repay(
    transfer: TransferRow, *, bucket: BucketInfo, book: DayBook, gate: InitialMarginGate
) -> Decision:
    _check_loan_place(transfer, bucket, book)
    if book.loans.get(bucket.id, ZERO) < transfer.amount:
        raise RefusedEventError("repay_exceeds_loan")
    if book.spare(bucket, CASH) < transfer.amount:
        raise RefusedEventError("claim_below_zero")
    if book.held(CLIENT_BANK, CASH) < transfer.amount:
        raise RefusedEventError("custody_below_zero")
    moves = (
        _claim(transfer, bucket, -transfer.amount, book),
        _custody(transfer, CLIENT_BANK, -transfer.amount, book),
        _loan(transfer, bucket, -transfer.amount, book),
        _custody(transfer, HOUSE_BANK, transfer.amount, book),
    )
    # A repayment leaves equity and requirement as they are: released without a test.
    release = ReleaseAsk(
        bucket_id=bucket.id,
        asset=CASH,
        amount=transfer.amount,
        scope_version=book.versions.get(bucket.id, 0),
        binding_term="repayment_leaves_equity",
    )
    return Decision("repay", moves, release=release)


def _released(
    transfer: TransferRow, bucket: BucketInfo, book: DayBook, gate: InitialMarginGate
) -> ReleaseAsk | None:
    """Margin's leave to lower a scope; a bucket that is no scope needs none."""
    if not bucket.is_margined:
        return None
    together = {each.pk for each in gate.pools.together(bucket.id)} | {bucket.id}
    for each in book.buckets.values():
        if each.id in together and not gate.unfit.isdisjoint(_assets_of(each, book)):
            raise RefusedEventError("initial_margin")
    standing = _standing_after(transfer, bucket, book, gate)
    if standing.equity < standing.initial_margin:
        raise RefusedEventError("initial_margin")
    return ReleaseAsk(
        bucket_id=bucket.id,
        asset=transfer.asset,
        amount=transfer.amount,
        scope_version=book.versions.get(bucket.id, 0),
        binding_term="initial_margin",
        free_amount=standing.equity - standing.initial_margin,
    )


def _assets_of(bucket: BucketInfo, book: DayBook) -> set[str]:
    """What a bucket holds at all."""
    return {*book.claims_of(bucket), *book.positions_of(bucket)}


def _balances_of(
    bucket: BucketInfo, book: DayBook, *, asset: str, change: Decimal
) -> ScopeBalances:
    """What a bucket would hold once its claim of an asset has changed."""
    return ScopeBalances(
        claims={**book.claims_of(bucket), asset: book.claim(bucket, asset) + change},
        positions={
            code: (held.quantity, held.average_cost)
            for code, held in book.positions_of(bucket).items()
        },
        loan=book.loans.get(bucket.id, ZERO) if bucket.code == "FREE" else ZERO,
        version=book.versions.get(bucket.id, 0),
    )


def _standing_after(
    transfer: TransferRow, bucket: BucketInfo, book: DayBook, gate: InitialMarginGate
) -> Standing:
    """How the scope would stand without what the transfer takes; of a member, how its group would.

    Raises:
        RefusedEventError: a portfolio model decides and does not say what it requires.
    """
    together = gate.pools.together(bucket.id)
    changes = {bucket.id: -transfer.amount}
    if transfer.kind == "bucket_move":
        changes[book.bucket(transfer.account, transfer.to_bucket).id] = transfer.amount
    try:
        if together:
            ids = {each.pk for each in together}
            holdings = [
                _balances_of(each, book, asset=transfer.asset, change=changes.get(each.id, ZERO))
                for each in book.buckets.values()
                if each.id in ids
            ]
            return group_standing(holdings, account_id=together[0].account_id, gate=gate)
        held = _balances_of(bucket, book, asset=transfer.asset, change=-transfer.amount)
        return gate.after(
            claims=held.claims,
            positions=held.positions,
            loan=held.loan,
            is_cash_account=bucket.mode == "cash",
            account_id=bucket.account_id,
        )
    except ModelRefusedError as refused:
        raise RefusedEventError("initial_margin") from refused
