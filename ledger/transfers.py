"""Money between pools, and the firm's own journals: asked for by one person, decided by another.

What is asked for is a whole entry. Nothing moves until a second person agrees; then exactly that
entry is posted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID, uuid4

from django.db.models import Sum

from accounts.approvals import AskRefusedError, request_approval
from accounts.audit import Actor, acting
from accounts.figures import grouped
from accounts.models import LegalEntity, OwnerClass
from ledger.models import (
    AccountClass,
    Asset,
    Balance,
    Location,
    LocationAsset,
    Pool,
)
from ledger.posting import AccountKey, Draft, Leg, open_accounts
from ledger.residual import WITHDRAWAL, write_notice
from ledger.residual_standing import standing_of

REFERENCE_LENGTH_MAX = 60


class TransferRefusedError(AskRefusedError):
    """A transfer cannot be asked for like this."""


@dataclass(frozen=True)
class TransferKind:
    """A way in which the firm's own money may change pools.

    Attributes:
        code: the kind of entry.
        word: short, for choosing among kinds.
        purpose: what it is for, in one sentence.
        gives, takes: owner class of the pool that pays and of the pool that is paid.
        gives_side, takes_side: the firm's side of each pool, which pays and is paid.
    """

    code: str
    word: str
    purpose: str
    gives: OwnerClass
    gives_side: AccountClass
    takes: OwnerClass
    takes_side: AccountClass


TRANSFERS = {
    kind.code: kind
    for kind in (
        TransferKind(
            "residual_withdrawal", "Residual interest out",
            "The firm takes back what is its own in a client pool. Claims of clients stay as they"
            " are.",
            OwnerClass.CLIENT, AccountClass.RESIDUAL_INTEREST,
            OwnerClass.HOUSE, AccountClass.OWN_EQUITY,
        ),
        TransferKind(
            "residual_deposit", "Residual interest in",
            "The firm puts money of its own into a client pool, to cover clients who cannot pay.",
            OwnerClass.HOUSE, AccountClass.OWN_EQUITY,
            OwnerClass.CLIENT, AccountClass.RESIDUAL_INTEREST,
        ),
        TransferKind(
            "shortfall_funding", "Pay a shortfall",
            "The firm pays what client money lacks.",
            OwnerClass.HOUSE, AccountClass.OWN_EQUITY,
            OwnerClass.CLIENT, AccountClass.SHORTFALL,
        ),
        TransferKind(
            "insurance_funding", "Fill the insurance fund",
            "The firm puts money into the insurance fund, which pays losses beyond a bucket first.",
            OwnerClass.HOUSE, AccountClass.OWN_EQUITY,
            OwnerClass.INSURANCE, AccountClass.OWN_EQUITY,
        ),
    )
}  # fmt: skip
FIRM_CLASSES = (OwnerClass.HOUSE, OwnerClass.HOUSE_PROP, OwnerClass.INSURANCE)
JOURNAL = "manual_journal"
REVERSAL = "reversal"
WRITE_OFF = "write_off"
BANK_ERROR = "bank_error"


def action_of(kind: str) -> str:
    """The approval action of a kind of entry."""
    return f"entry.{kind}"


def money_at(location: Location, asset: Asset) -> Decimal:
    """What the book says a location holds."""
    held = Balance.objects.filter(
        account__account_class=AccountClass.CUSTODY, account__location=location,
        account__asset=asset,
    ).aggregate(total=Sum("amount"))["total"]  # fmt: skip
    return held or Decimal(0)


def request_transfer(
    *,
    kind: TransferKind,
    asset: Asset,
    amount: Decimal,
    gives: Location,
    takes: Location,
    reference: str,
    reason: str,
    effective_at: datetime,
    legal_entity: LegalEntity,
    actor: Actor,
    request_id: str = "",
    recipients: str = "",
    complies: bool = False,
) -> UUID:
    """Ask that money of the firm change pools.

    Args:
        kind: which pools, in which direction.
        asset: the currency.
        amount: without a sign.
        gives: the location that pays.
        takes: the location that is paid.
        reference: what the bank will call it; "" for one of our own.
        reason: why; of a notice its reasons.
        effective_at: when it counts.
        legal_entity: the firm.
        actor: who asks.
        request_id: of the web request.
        recipients: of a withdrawal beyond the share, who gets the money.
        complies: of such a withdrawal, that the maker represents that the firm complies after it.

    Raises:
        TransferRefusedError: amount, asset or locations do not fit the kind, or the notice that a
            withdrawal needs is not complete.
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    check_amount(amount, asset=asset)
    check_location(gives, "gives", owner_class=kind.gives, asset=asset, legal_entity=legal_entity)
    check_location(takes, "takes", owner_class=kind.takes, asset=asset, legal_entity=legal_entity)
    check_held(gives, asset=asset, amount=amount)
    has_notice = kind.code == WITHDRAWAL and check_notice(
        gives.pool, asset, amount=amount, day=effective_at.astimezone(UTC).date(),
        recipients=recipients, complies=complies,
    )  # fmt: skip
    reference = reference or new_reference(kind.code, effective_at)
    with acting(actor, reason=reason, request_id=request_id):
        draft = two_pool_draft(
            kind, asset, amount=amount, gives=gives, takes=takes, reference=reference,
            narrative=reason, effective_at=effective_at,
        )  # fmt: skip
        words = f"{words_of(amount, asset)} from {gives.code} to {takes.code}"
        approval_id = ask(draft, legal_entity=legal_entity, subject=words, reason=reason)
        if has_notice:
            write_notice(
                approval_id, pool=gives.pool, asset=asset, amount=amount, reasons=reason,
                recipients=recipients,
            )  # fmt: skip
        return approval_id


def request_journal(
    *,
    location: Location,
    asset: Asset,
    amount: Decimal,
    reference: str,
    reason: str,
    effective_at: datetime,
    legal_entity: LegalEntity,
    actor: Actor,
    request_id: str = "",
) -> UUID:
    """Ask for a journal of the firm's own books: money at a location against own equity.

    Args:
        amount: what the location gains; negative for what it loses.

    Raises:
        TransferRefusedError: amount, asset or location do not fit.
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    check_amount(abs(amount), asset=asset)
    check_firm_location(location, asset=asset, legal_entity=legal_entity)
    if amount < 0:
        check_held(location, asset=asset, amount=-amount)
    draft_keys = one_pool_keys(location, asset, AccountClass.OWN_EQUITY)
    reference = reference or new_reference(JOURNAL, effective_at)
    with acting(actor, reason=reason, request_id=request_id):
        draft = one_pool_draft(
            JOURNAL, draft_keys, amount=amount, reference=reference, narrative=reason,
            effective_at=effective_at,
        )  # fmt: skip
        verb = "into" if amount > 0 else "out of"
        words = f"{words_of(abs(amount), asset)} {verb} {location.code}"
        return ask(draft, legal_entity=legal_entity, subject=words, reason=reason)


# ---------------------------------------------------------------- drafts


def two_pool_draft(
    kind: TransferKind,
    asset: Asset,
    *,
    amount: Decimal,
    gives: Location,
    takes: Location,
    reference: str,
    narrative: str,
    effective_at: datetime,
) -> Draft:
    """Custody to custody, each against the firm's side of its pool; call inside an act."""
    keys = (
        AccountKey(gives.pool_id, asset.pk, kind.gives_side),
        AccountKey(gives.pool_id, asset.pk, AccountClass.CUSTODY, location_id=gives.pk),
        AccountKey(takes.pool_id, asset.pk, AccountClass.CUSTODY, location_id=takes.pk),
        AccountKey(takes.pool_id, asset.pk, kind.takes_side),
    )
    ids = open_accounts(keys)
    return Draft(
        key=f"transfer:{uuid4()}",
        kind=kind.code,
        effective_at=effective_at,
        reference=reference,
        legs=[
            Leg(ids[keys[0]], amount),
            Leg(ids[keys[1]], -amount, reference=reference),
            Leg(ids[keys[2]], amount, reference=reference),
            Leg(ids[keys[3]], -amount),
        ],
        narrative=narrative,
    )


def one_pool_keys(
    location: Location, asset: Asset, side: AccountClass
) -> tuple[AccountKey, AccountKey]:
    return (
        AccountKey(location.pool_id, asset.pk, AccountClass.CUSTODY, location_id=location.pk),
        AccountKey(location.pool_id, asset.pk, side),
    )


def one_pool_draft(
    kind: str,
    keys: tuple[AccountKey, AccountKey],
    *,
    amount: Decimal,
    reference: str,
    narrative: str,
    effective_at: datetime,
) -> Draft:
    """Custody against one other account of the pool; call inside an act, which opens them."""
    ids = open_accounts(keys)
    return Draft(
        key=f"transfer:{uuid4()}",
        kind=kind,
        effective_at=effective_at,
        reference=reference,
        legs=[Leg(ids[keys[0]], amount, reference=reference), Leg(ids[keys[1]], -amount)],
        narrative=narrative,
    )


def ask(
    draft: Draft,
    *,
    legal_entity: LegalEntity,
    subject: str,
    reason: str,
    records: Sequence[str] = (),
) -> UUID:
    """Ask for a second person's agreement to the entry; call inside the maker's act."""
    return request_approval(
        legal_entity_id=legal_entity.pk,
        action=action_of(draft.kind),
        subject=subject,
        payload=draft.content(),
        reason=reason,
        records=records,
    )


def new_reference(kind: str, at: datetime) -> str:
    """A reference of our own for the bank: initials of the kind, day, six random digits."""
    initials = "".join(word[0] for word in kind.split("_")).upper()
    return f"{initials}{at:%y%m%d}-{uuid4().int % 1_000_000:06d}"


def words_of(amount: Decimal, asset: Asset) -> str:
    return f"{grouped(amount, decimals=asset.scale)} {asset.code}"


# ---------------------------------------------------------------- checks


def check_amount(amount: Decimal, *, asset: Asset) -> None:
    if amount <= 0:
        raise TransferRefusedError("amount", "An amount is more than zero.")
    exponent = amount.as_tuple().exponent
    if isinstance(exponent, int) and -exponent > asset.scale:
        raise TransferRefusedError(
            "amount", f"{asset.code} has {asset.scale} decimals; {amount} has {-exponent}."
        )


def check_notice(
    pool: Pool, asset: Asset, *, amount: Decimal, day: date, recipients: str, complies: bool
) -> bool:
    """Whether the withdrawal goes with a notice; one that needs it says who is paid."""
    if not standing_of(pool, asset, day=day).is_beyond(amount):
        return False
    if not recipients.strip():
        raise TransferRefusedError(
            "recipients",
            "This is beyond the share that goes without a senior principal: say who is paid.",
        )
    if not complies:
        raise TransferRefusedError(
            "complies", "A notice represents that the firm complies after the withdrawal."
        )
    return True


def check_location(
    location: Location,
    field: str,
    *,
    owner_class: OwnerClass,
    asset: Asset,
    legal_entity: LegalEntity,
) -> None:
    pool = location.pool
    if pool.legal_entity_id != legal_entity.pk or pool.owner_class != owner_class:
        raise TransferRefusedError(
            field, f"{location.code} belongs to pool {pool.code}, not to a {owner_class} pool."
        )
    check_carries(location, field, asset=asset)


def check_firm_location(location: Location, *, asset: Asset, legal_entity: LegalEntity) -> None:
    pool = location.pool
    if pool.legal_entity_id != legal_entity.pk or pool.owner_class not in FIRM_CLASSES:
        raise TransferRefusedError(
            "location", f"{location.code} is of pool {pool.code}, which is not the firm's own."
        )
    check_carries(location, "location", asset=asset)


def check_carries(location: Location, field: str, *, asset: Asset) -> None:
    if not LocationAsset.objects.filter(location=location, asset=asset).exists():
        raise TransferRefusedError(field, f"{location.code} does not carry {asset.code}.")


def check_held(location: Location, *, asset: Asset, amount: Decimal) -> None:
    held = money_at(location, asset)
    if held < amount:
        raise TransferRefusedError(
            "amount", f"{location.code} holds {words_of(held, asset)}; less than was asked for."
        )
