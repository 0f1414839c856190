"""One trade that somebody of the desk books, by screen or API; what it does is decided as that of a
trade in a day's file.

Its calls are settled in the same transaction. A scope that may only close takes no trade that adds
risk. A loss beyond the bucket is settled with the files of a day.
"""

from decimal import localcontext
from typing import Final

from django.utils import timezone

from accounts.audit import Actor, RefusedError, acting
from accounts.models import Bucket
from brokerage.inbox.daybook import DayBook, read_day_book
from brokerage.inbox.decisions import Decision, RefusedEventError
from brokerage.inbox.rows import TradeRow
from brokerage.inbox.trades import CASH, CASH_BANK, decide_trade, position_of
from ledger import posting
from ledger.exact import EXACT
from ledger.models import Asset, EntryKey, Location, Pool
from ledger.posting import AccountKey, Draft, Posted
from margin.asking import ModelRefusedError
from margin.close_only import RULE, buckets_that_may_only_close, reduces
from margin.holding import balances_of, newest_gate, standing_of

# Why a trade is refused, for people; the names are those of a day's file.
WORDS: Final = {
    "invalid": "side, quantity, price or fee are not as the instrument has them",
    "unknown_reference": "there is no such bucket, instrument or location",
    "not_allowed": "the bucket does not trade this there",
    "claim_below_zero": "the bucket does not have what it would take",
    "custody_below_zero": "the place does not hold what it would take",
    "option_expired": "the option is over",
    "model_without_options": "the account's model knows no options",
}


def book_trade(row: TradeRow, *, actor: Actor, reason: str, request_id: str = "") -> Posted:
    """Book a trade, once by its id, and settle the scope's calls with it.

    Raises:
        RefusedError: `scope_may_only_close`; or what refuses a trade of a file, by its name; or a
            rule of the book. Nothing moved.
    """
    with acting(actor, reason=reason, request_id=request_id):
        key = f"trade:{row.trade_id}"
        known = EntryKey.objects.filter(key=key).values_list("entry_id", flat=True).first()
        if known is not None:
            return Posted(known, is_new=False)
        bucket = _bucket(row)
        _hold(row, bucket)
        book = read_day_book(timezone.now().date())
        decision = _decided(row, book)
        draft = Draft(
            key=key, kind=decision.kind, effective_at=row.executed_at, reference=row.trade_id,
            legs=[move.leg(book.ledger_account_ids()) for move in decision.moves],
        )  # fmt: skip
        if not buckets_that_may_only_close([bucket.pk]):
            return posting.post_entry(draft)
        return _post_closing(draft, decision, bucket)


def _bucket(row: TradeRow) -> Bucket:
    found = Bucket.objects.select_related("account").filter(
        account__code=row.account, code=row.bucket
    )
    bucket = found.first()
    if bucket is None:
        raise RefusedError("unknown_reference", WORDS["unknown_reference"])
    return bucket


def _hold(row: TradeRow, bucket: Bucket) -> None:
    """Hold every balance that the trade may move, in one call, until the act ends."""
    account = bucket.account
    pool = Pool.objects.get(legal_entity=account.legal_entity_id, owner_class=account.owner_class)
    assets = {each.code: each.pk for each in Asset.objects.filter(code__in=[row.instrument, CASH])}
    places = Location.objects.filter(
        code__in=[row.location, CASH_BANK.get(account.owner_class, row.location)], pool=pool
    )
    if row.instrument not in assets:
        raise RefusedError("unknown_reference", WORDS["unknown_reference"])
    gains = "residual_interest" if account.owner_class == "CLIENT" else "own_equity"
    keys = [
        AccountKey(pool.pk, assets[row.instrument], "position", bucket.pk),
        AccountKey(pool.pk, assets[CASH], "claim", bucket.pk),
        AccountKey(pool.pk, assets[CASH], gains),
        *(
            AccountKey(pool.pk, asset, "custody", None, place.pk)
            for place in places
            for asset in place.carried.filter(asset__in=assets.values()).values_list(
                "asset", flat=True
            )
        ),
    ]
    ids = posting.open_accounts(keys)
    posting.lock_balances(account_ids=sorted(ids.values()), bucket_ids=[bucket.pk])


def _decided(row: TradeRow, book: DayBook) -> Decision:
    try:
        with localcontext(EXACT):
            decision = decide_trade(row, book=book)
    except RefusedEventError as refused:
        raise RefusedError(refused.reason, WORDS.get(refused.reason, refused.reason)) from refused
    if decision.loss is not None:
        raise RefusedError(
            "loss_is_settled_with_its_day",
            "the loss is beyond the bucket; it is settled with the files of a day",
        )
    return decision


def _post_closing(draft: Draft, decision: Decision, bucket: Bucket) -> Posted:
    """Post what takes risk away; under a model that is known once it is posted.

    Raises:
        RefusedError: it adds risk, and nothing of it stays posted.
    """
    gate = newest_gate()
    if not gate.is_under_model(bucket.account_id):
        _, was, becomes, _ = position_of(decision)
        if not reduces(was, becomes):
            raise RefusedError(
                RULE, f"{bucket.account.code} {bucket.code} may only close positions"
            )
        return posting.post_entry(draft)
    try:
        before = standing_of(bucket, balances_of(bucket), gate=gate).initial_margin
        posted = posting.post_entry(draft)
        after = standing_of(bucket, balances_of(bucket), gate=gate).initial_margin
    except ModelRefusedError as refused:
        raise RefusedError(refused.rule, refused.detail) from refused
    if after > before:
        raise RefusedError(
            RULE,
            f"{bucket.account.code} {bucket.code} may only close: initial margin would rise from"
            f" {before:,.2f} to {after:,.2f}",
        )
    return posted
