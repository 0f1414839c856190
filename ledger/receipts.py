"""Money that came to a client location without an owner: booked, aged, given to its one owner.

It is client money from the first moment: a claim of nobody in that pool, which raises what the
pool must hold. Giving it to its owner or back is agreed to by two people, whole and once.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID, uuid4

from django.db import connection

from accounts.approvals import AskRefusedError
from accounts.audit import Actor, acting
from accounts.figures import grouped
from accounts.models import Bucket, LegalEntity, OwnerClass
from ledger.breaks import (
    BreakActError,
    checked_text,
    effective_at_of,
    note,
    refuse_closed,
)
from ledger.models import (
    AccountClass,
    Asset,
    AssetKind,
    Break,
    ConductRule,
    Location,
    LocationAsset,
    Pool,
    Posting,
)
from ledger.posting import AccountKey, Draft, Leg, open_accounts, post_entry
from ledger.residual_standing import conduct_rule
from ledger.times import ReadingPoint
from ledger.transfers import ask, check_held

RECEIPT = "unidentified_receipt"
ALLOCATION = "receipt_allocation"
RETURN = "receipt_return"


class ReceiptRefusedError(AskRefusedError):
    """A receipt cannot be settled like this."""


@dataclass(frozen=True)
class Receipt:
    """One receipt without an owner.

    Attributes:
        age: days since it came, on the desk's day.
        alarms_after: how many days it may wait before it alarms.
        settled_by: the entry that gave it to its owner or back; None while it waits.
    """

    entry_id: int
    came_at: datetime
    reference: str
    narrative: str
    pool: Pool
    asset: Asset
    location: Location
    amount: Decimal
    age: int
    alarms_after: int
    settled_by: int | None

    @property
    def alarms(self) -> bool:
        """Whether it has waited longer than the rule allows."""
        return self.settled_by is None and self.age > self.alarms_after

    @property
    def words(self) -> str:
        return f"{grouped(self.amount, decimals=self.asset.scale)} {self.asset.code}"

    @property
    def record(self) -> str:
        """How requests name it."""
        return f"ledger_entry:{self.entry_id}"


RECEIPTS = """
    SELECT r.entry_id, r.effective_at, r.reference, r.narrative, r.pool_id, r.asset_id, r.amount,
           r.settled_by
    FROM {} r JOIN ledger_pool p ON p.id = r.pool_id WHERE p.legal_entity_id = %s
      AND (%s::bigint IS NULL OR r.entry_id = %s)
      AND (%s::boolean IS NULL OR (r.settled_by IS NULL) = %s)
    ORDER BY r.effective_at, r.entry_id
"""


def receipts_of(
    legal_entity: LegalEntity,
    *,
    today: date,
    is_open: bool | None = None,
    entry_id: int | None = None,
    point: ReadingPoint | None = None,
) -> list[Receipt]:
    """Receipts of a firm, oldest first; a handful of queries.

    Args:
        legal_entity: the firm.
        today: the day from which ages count.
        is_open: only those that wait, or only those that are settled; all if None.
        entry_id: only this one.
        point: where in the two times the book is read; here and now if None.
    """
    if point is None:
        source, times = "ledger.receipts", list[str | datetime | None]()
    else:
        source, times = "ledger.receipts_at(%s, %s)", [point.snapshot, point.ends_at]
    with connection.cursor() as cursor:
        cursor.execute(
            RECEIPTS.format(source),
            [*times, legal_entity.pk, entry_id, entry_id, is_open, is_open],
        )
        rows = cursor.fetchall()
    pools = Pool.objects.in_bulk({row[4] for row in rows})
    assets = Asset.objects.in_bulk({row[5] for row in rows})
    places = {
        posting.entry_id: posting.account.location
        for posting in Posting.objects.filter(
            entry__in=[row[0] for row in rows], account__account_class=AccountClass.CUSTODY
        ).select_related("account__location__pool")
    }
    code = ConductRule.Code.RECEIPT_ALARM_DAYS
    waits = {
        regime: int(conduct_rule(code, regime=regime, day=today))
        for regime in {pool.regime for pool in pools.values()}
    }
    found = []
    for entry, came_at, reference, narrative, pool, asset, amount, settled_by in rows:
        location = places[entry]
        assert location is not None, "a receipt came to a location"
        found.append(
            Receipt(
                entry_id=entry,
                came_at=came_at,
                reference=reference,
                narrative=narrative,
                pool=pools[pool],
                asset=assets[asset],
                location=location,
                amount=amount,
                age=max((today - came_at.astimezone(UTC).date()).days, 0),
                alarms_after=waits[pools[pool].regime],
                settled_by=settled_by,
            )
        )
    return found


# ---------------------------------------------------------------- booking


def book_receipt(break_id: int, *, text: str, actor: Actor, request_id: str = "") -> int:
    """Book money that came to a client location without an owner; it is client money at once.

    The entry is dated to the break's business day, so that the book shows what the bank shows.

    Returns:
        The entry, with which the break can then be closed.

    Raises:
        BreakActError: the break is no receipt of a client pool.
        RefusedError: a rule of the book refused it.
    """
    text = checked_text(text)
    with acting(actor, reason="Booked a receipt without an owner", request_id=request_id):
        found = (
            Break.objects.select_for_update(of=("self",))
            .select_related("location__pool", "asset")
            .get(pk=break_id)
        )
        refuse_closed(found)
        if not is_receipt(found):
            raise BreakActError("This break is no receipt of a client pool.")
        amount = found.statement_amount
        assert amount is not None, "a receipt has an amount"
        place, asset = found.location, found.asset_id
        assert asset is not None, "a receipt is of an asset"
        keys = (
            AccountKey(place.pool_id, asset, AccountClass.CUSTODY, location_id=place.pk),
            AccountKey(place.pool_id, asset, AccountClass.UNALLOCATED),
        )
        ids = open_accounts(keys)
        posted = post_entry(
            Draft(
                key=f"receipt:break:{found.pk}",
                kind=RECEIPT,
                effective_at=effective_at_of(found),
                reference=found.reference or f"BREAK-{found.pk}",
                legs=[
                    Leg(ids[keys[0]], amount, reference=found.reference or f"BREAK-{found.pk}"),
                    Leg(ids[keys[1]], -amount),
                ],
                narrative=text,
            )
        )
        note(found, "booked", f"Entry {posted.entry_id}: {text}")
    return posted.entry_id


def is_receipt(found: Break) -> bool:
    """Whether it is money that came to a client location and that the book knows nothing of."""
    return (
        found.kind == Break.Kind.MISSING_IN_LEDGER
        and found.statement_amount is not None
        and found.statement_amount > 0
        and found.asset is not None
        and found.asset.kind == AssetKind.MONEY
        and found.location.pool.owner_class == OwnerClass.CLIENT
    )


# ---------------------------------------------------------------- settling


def request_allocation(
    receipt: Receipt,
    *,
    bucket: Bucket,
    reason: str,
    effective_at: datetime,
    actor: Actor,
    request_id: str = "",
) -> UUID:
    """Ask that the whole receipt become one client's money.

    Raises:
        ReceiptRefusedError: it is settled, or the account is of no client of this firm.
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    refuse_settled(receipt)
    account = bucket.account
    if (
        account.owner_class != OwnerClass.CLIENT
        or account.legal_entity_id != receipt.pool.legal_entity_id
    ):
        raise ReceiptRefusedError("account", f"{account.code} is no client's account here.")
    owed = AccountKey(receipt.pool.pk, receipt.asset.pk, AccountClass.UNALLOCATED)
    claim = AccountKey(receipt.pool.pk, receipt.asset.pk, AccountClass.CLAIM, bucket_id=bucket.pk)
    return _ask(
        receipt, ALLOCATION, (owed, claim), subject=f"{receipt.words} to {account.code}",
        reason=reason, effective_at=effective_at, actor=actor, request_id=request_id,
    )  # fmt: skip


def request_return(
    receipt: Receipt,
    *,
    reason: str,
    effective_at: datetime,
    actor: Actor,
    reference: str = "",
    request_id: str = "",
) -> UUID:
    """Ask that the whole receipt go back to where it came from.

    Raises:
        ReceiptRefusedError: it is settled, or the location no longer holds as much.
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    refuse_settled(receipt)
    place = receipt.location
    if not LocationAsset.objects.filter(location=place, asset=receipt.asset).exists():
        raise ReceiptRefusedError("", f"{place.code} does not carry {receipt.asset.code}.")
    check_held(place, asset=receipt.asset, amount=receipt.amount)
    owed = AccountKey(receipt.pool.pk, receipt.asset.pk, AccountClass.UNALLOCATED)
    bank = AccountKey(receipt.pool.pk, receipt.asset.pk, AccountClass.CUSTODY, location_id=place.pk)
    return _ask(
        receipt, RETURN, (owed, bank), subject=f"{receipt.words} back through {place.code}",
        reason=reason, effective_at=effective_at, actor=actor, request_id=request_id,
        reference=reference,
    )  # fmt: skip


def refuse_settled(receipt: Receipt) -> None:
    if receipt.settled_by is not None:
        raise ReceiptRefusedError("", f"Entry {receipt.settled_by} has settled this receipt.")


def _ask(
    receipt: Receipt,
    kind: str,
    keys: tuple[AccountKey, AccountKey],
    *,
    subject: str,
    reason: str,
    effective_at: datetime,
    actor: Actor,
    request_id: str,
    reference: str = "",
) -> UUID:
    initials = "RA" if kind == ALLOCATION else "RR"
    reference = reference or f"{initials}-{receipt.entry_id}"
    with acting(actor, reason=reason, request_id=request_id):
        ids = open_accounts(keys)
        other = Leg(ids[keys[1]], -receipt.amount, reference=reference if kind == RETURN else None)
        draft = Draft(
            key=f"receipt:{receipt.entry_id}:{uuid4()}",
            kind=kind,
            effective_at=effective_at,
            reference=reference,
            legs=[Leg(ids[keys[0]], receipt.amount), other],
            narrative=reason,
        )
        return ask(
            draft, legal_entity=receipt.pool.legal_entity, subject=subject, reason=reason,
            records=(receipt.record,),
        )  # fmt: skip
