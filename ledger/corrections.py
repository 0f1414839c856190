"""Bringing the book to what is true: an entry undone, a break written off, a bank error booked.

Each is asked for by one person and decided by another, as `ledger.transfers` has it.
"""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db.models import Sum

from accounts.approvals import Change
from accounts.audit import Actor, acting
from accounts.figures import WIDE
from accounts.models import LegalEntity
from ledger.breaks import effective_at_of, note
from ledger.models import AccountClass, AssetKind, Balance, Break
from ledger.posting import reversal_draft
from ledger.transfers import (
    BANK_ERROR,
    FIRM_CLASSES,
    WRITE_OFF,
    TransferRefusedError,
    ask,
    money_at,
    one_pool_draft,
    one_pool_keys,
    words_of,
)


def request_reversal(
    entry_id: int,
    *,
    reason: str,
    effective_at: datetime,
    legal_entity: LegalEntity,
    actor: Actor,
    request_id: str = "",
) -> UUID:
    """Ask that an entry be undone, leg by leg.

    Raises:
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    with acting(actor, reason=reason, request_id=request_id):
        draft = reversal_draft(
            entry_id,
            key=f"reversal:{entry_id}",
            effective_at=effective_at,
            reference=f"REV-{entry_id}",
            narrative=reason,
        )
        return ask(
            draft, legal_entity=legal_entity, subject=f"Entry {entry_id}", reason=reason,
            records=(f"ledger_entry:{entry_id}",),
        )  # fmt: skip


def request_correction(
    found: Break,
    *,
    reason: str,
    legal_entity: LegalEntity,
    actor: Actor,
    request_id: str = "",
) -> UUID:
    """Ask that the book be brought to what the bank says of a break of money.

    In a pool of the firm its own equity bears the difference; what a client pool lacks becomes
    a shortfall, due from the firm.

    Raises:
        TransferRefusedError: the break has no amount, or lies at a client pool that has more
            than the book, which is no error of the bank but a receipt.
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    amount, asset = found.difference, found.asset
    kind = correction_kind(found)
    if kind is None or amount is None or asset is None:
        raise TransferRefusedError("", "This break cannot be written off.")
    side = AccountClass.SHORTFALL if kind == BANK_ERROR else AccountClass.OWN_EQUITY
    keys = one_pool_keys(found.location, asset, side)
    with acting(actor, reason=reason, request_id=request_id):
        draft = one_pool_draft(
            kind, keys, amount=amount, narrative=reason, effective_at=effective_at_of(found),
            reference=found.reference or f"BREAK-{found.pk}",
        )  # fmt: skip
        note(found, "correction asked", reason)
        words = f"Break {found.pk}: {words_of(abs(amount), asset)} at {found.location.code}"
        return ask(
            draft, legal_entity=legal_entity, subject=words, reason=reason,
            records=(f"ledger_break:{found.pk}",),
        )  # fmt: skip


def correction_kind(found: Break) -> str | None:
    """The kind of entry that would bring the book to the bank; None where there is none."""
    amount, asset = found.difference, found.asset
    if asset is None or asset.kind != AssetKind.MONEY or not amount:
        return None
    if found.location.pool.owner_class in FIRM_CLASSES:
        return WRITE_OFF
    return BANK_ERROR if amount < 0 else None


def correction_preview(found: Break) -> tuple[Change, ...]:
    """What writing a break off, or booking it as the bank's error, would do to each balance.

    The claims of clients are listed with no change: no kind of correction reaches them.
    """
    kind, amount, asset = correction_kind(found), found.difference, found.asset
    if kind is None or amount is None or asset is None:
        return ()
    pool = found.location.pool
    held = money_at(found.location, asset)

    def of_pool(*classes: AccountClass) -> Decimal:
        total = Balance.objects.filter(
            account__pool=pool, account__asset=asset, account__account_class__in=classes
        ).aggregate(total=Sum("amount"))["total"]
        return total or Decimal(0)

    after = WIDE.add(held, amount)
    lines = [Change(f"Held at {found.location.code}", held, amount, "not negative", after >= 0)]
    if kind == BANK_ERROR:
        lack = of_pool(AccountClass.SHORTFALL)
        lines.append(Change("Shortfall, due from the firm", lack, WIDE.minus(amount)))
        owed = WIDE.minus(of_pool(AccountClass.CLAIM, AccountClass.UNALLOCATED))
        lines.append(Change("Owed to clients", owed, Decimal(0), "held = owed"))
    else:
        equity = WIDE.minus(of_pool(AccountClass.OWN_EQUITY))
        lines.append(Change(f"Own equity of {pool.code}", equity, amount))
    return tuple(lines)
