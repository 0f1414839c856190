"""Entries that two people must agree to: what each would change, and posting it once agreed.

The payload of such a request is the content of the entry itself (`Draft.content`), so what is
posted is to the letter what was agreed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.db.models import Sum

from accounts.approvals import Change, Description, register_action
from accounts.audit import RefusedError
from accounts.clock import shown_instant
from accounts.figures import WIDE, grouped
from accounts.models import Approval, OwnerClass
from ledger.models import AccountClass, AssetKind, Balance, Entry, EntryKind, LedgerAccount
from ledger.naming import TITLE_RELATIONS, account_title, said
from ledger.posting import Draft, post_entry
from ledger.residual import withdrawal_facts

# Kinds that need an approval; a test compares them with the rows of EntryKind.
KINDS = (
    "agreed_move",
    "bank_error",
    "client_transfer",
    "compensation",
    "deleveraging",
    "insurance_funding",
    "interest",
    "manual_journal",
    "receipt_allocation",
    "receipt_return",
    "refund",
    "residual_deposit",
    "residual_deposit_in_transit",
    "residual_withdrawal",
    "reversal",
    "segregation_move",
    "shortfall_funding",
    "shortfall_funding_in_transit",
    "transit_out",
    "write_off",
)
# A move that margin looks at once more when it is made; margin registers it.
OF_MARGIN = ("agreed_move",)
ZERO = Decimal(0)
NOT_NEGATIVE = "not negative"
HELD_IS_OWED = "held = owed"
# Classes whose balance may stand on either side.
WITHOUT_FLOOR = frozenset({AccountClass.OWN_EQUITY, AccountClass.OPENING})
OWED = (AccountClass.CLAIM, AccountClass.UNALLOCATED)


@dataclass(frozen=True)
class Effect:
    """What a draft does to one ledger account, amounts as people say them."""

    account: LedgerAccount
    now: Decimal
    change: Decimal

    @property
    def after(self) -> Decimal:
        return WIDE.add(self.now, self.change)

    @property
    def has_floor(self) -> bool:
        """Whether the book refuses a balance below zero."""
        is_contract = self.account.asset_kind == AssetKind.DERIVATIVE
        return self.account.account_class not in WITHOUT_FLOOR and not is_contract

    @property
    def is_kept(self) -> bool:
        return not self.has_floor or self.after >= 0


def register() -> None:
    """Say how requests for entries are shown and applied."""
    for kind in (each for each in KINDS if each not in OF_MARGIN):
        register_action(f"entry.{kind}", describe=describe, apply=apply)


def apply(approval: Approval) -> None:
    """Post exactly what was agreed; call inside an act.

    Raises:
        RefusedError: a rule of the book refuses it now, or it touches another firm's pools.
    """
    draft = Draft.from_content(approval.payload, approval_id=approval.pk)
    pools = LedgerAccount.objects.filter(pk__in=[leg.account_id for leg in draft.legs])
    if pools.exclude(pool__legal_entity=approval.legal_entity_id).exists():
        raise RefusedError(
            "approval_is_for_its_legal_entity", "the entry touches pools of another legal entity"
        )
    post_entry(draft)


def describe(approval: Approval) -> Description:
    """The request as balances before and after, with what it leaves untouched."""
    draft = Draft.from_content(approval.payload)
    effects = effects_of(draft)
    kind = EntryKind.objects.get(pk=draft.kind)
    assets = {effect.account.asset.code: effect.account.asset.scale for effect in effects}
    unit = next(iter(assets)) if len(assets) == 1 else ""
    amount = amount_words(effects, unit=unit)
    return Description(
        headline=headline(effects, amount=amount, title=kind.title),
        amount=amount,
        unit=unit,
        decimals=max(assets.values(), default=2),
        facts=(*facts(draft), *withdrawal_facts(approval)),
        changes=(*(line(effect, unit=unit) for effect in effects), *owed_lines(effects, unit=unit)),
        note=note(draft, effects),
    )


def effects_of(draft: Draft) -> list[Effect]:
    """What the draft does, account by account, in the order of its legs; two queries."""
    changes: dict[int, Decimal] = {}
    for leg in draft.legs:
        changes[leg.account_id] = WIDE.add(changes.get(leg.account_id, ZERO), leg.amount)
    accounts = LedgerAccount.objects.select_related(*TITLE_RELATIONS).in_bulk(list(changes))
    balances = dict(
        Balance.objects.filter(account__in=list(changes)).values_list("account_id", "amount")
    )
    return [
        Effect(
            account=accounts[pk],
            now=said(accounts[pk].account_class, balances.get(pk, ZERO)),
            change=said(accounts[pk].account_class, change),
        )
        for pk, change in changes.items()
        if pk in accounts
    ]


def amount_words(effects: Sequence[Effect], *, unit: str) -> str:
    """What the button repeats: the greatest change, where all are of one asset."""
    if not unit or not effects:
        return ""
    greatest = max(effect.change.copy_abs() for effect in effects)
    return f"{grouped(greatest, decimals=effects[0].account.asset.scale)} {unit}"


def headline(effects: Sequence[Effect], *, amount: str, title: str) -> str:
    """One line: how much, from which pool to which, or of what kind."""
    custody = [e for e in effects if e.account.account_class == AccountClass.CUSTODY]
    gives = {e.account.pool.code for e in custody if e.change < 0}
    takes = {e.account.pool.code for e in custody if e.change > 0}
    if amount and len(gives) == len(takes) == 1 and gives != takes:
        return f"{amount} from {gives.pop()} to {takes.pop()}"
    return f"{title}, {amount}" if amount else title


def facts(draft: Draft) -> tuple[tuple[str, str], ...]:
    """What the entry says besides its amounts."""
    lines = [
        ("Entry kind", draft.kind),
        ("Reference", draft.reference),
        ("Effective", shown_instant(draft.effective_at, form="full")),
    ]
    if draft.narrative:
        lines.append(("Text", draft.narrative))
    if draft.reverses is not None:
        undone = Entry.objects.select_related("kind").filter(pk=draft.reverses).first()
        words = "" if undone is None else f", {undone.kind.title.lower()} {undone.reference}"
        lines.append(("Reverses", f"entry {draft.reverses}{words}"))
    return tuple(lines)


def line(effect: Effect, *, unit: str) -> Change:
    """One balance that the entry changes."""
    title = account_title(effect.account)
    return Change(
        label=title if unit else f"{title}, {effect.account.asset.code}",
        now=effect.now,
        change=effect.change,
        floor=NOT_NEGATIVE if effect.has_floor else "",
        is_kept=effect.is_kept,
    )


def owed_lines(effects: Sequence[Effect], *, unit: str) -> list[Change]:
    """What each client pool owes in each asset the entry touches, changed or not."""
    touched = {
        (e.account.pool, e.account.asset)
        for e in effects
        if e.account.owner_class == OwnerClass.CLIENT and e.account.asset_kind == AssetKind.MONEY
    }
    lines = []
    for pool, asset in sorted(touched, key=lambda pair: (pair[0].code, pair[1].code)):
        owed = Balance.objects.filter(
            account__pool=pool, account__asset=asset, account__account_class__in=OWED
        ).aggregate(total=Sum("amount"))["total"]
        change = sum(
            (
                e.change
                for e in effects
                if (e.account.pool, e.account.asset) == (pool, asset)
                and e.account.account_class in OWED
            ),
            ZERO,
        )
        label = "Owed to clients" if unit else f"Owed to clients, {pool.code} {asset.code}"
        lines.append(Change(label, WIDE.minus(owed or ZERO), change, floor=HELD_IS_OWED))
    return lines


def note(draft: Draft, effects: Sequence[Effect]) -> str:
    """The consequence in a sentence or two; a floor that would break comes first."""
    sentences = [
        f"As balances stand now the book refuses this: {account_title(effect.account)} would be"
        f" {figure(effect, effect.after)} {effect.account.asset.code}."
        for effect in effects
        if not effect.is_kept
    ]
    by_class = {effect.account.account_class: effect for effect in effects}
    sentences += [
        sentence(by_class[account_class])
        for account_class, sentence in CONSEQUENCES
        if account_class in by_class
    ]
    if draft.kind == "reversal":
        sentences.append("The entry is undone leg by leg; it stays in the book with its reversal.")
    return " ".join(sentences)


def figure(effect: Effect, amount: Decimal) -> str:
    return grouped(amount, decimals=effect.account.asset.scale)


def residual_words(effect: Effect) -> str:
    verb = "falls" if effect.change < 0 else "rises"
    return (
        f"Residual interest of the firm {verb} from {figure(effect, effect.now)}"
        f" to {figure(effect, effect.after)} {effect.account.asset.code};"
        " it is what covers clients who cannot pay."
    )


def shortfall_words(effect: Effect) -> str:
    if effect.after > 0:
        return (
            f"Client money then lacks {figure(effect, effect.after)} {effect.account.asset.code},"
            " due from the firm."
        )
    return "Client money is whole again after this."


def unallocated_words(effect: Effect) -> str:
    return (
        f"Receipts without an owner then come to {figure(effect, effect.after)}"
        f" {effect.account.asset.code}."
    )


CONSEQUENCES = (
    (AccountClass.RESIDUAL_INTEREST, residual_words),
    (AccountClass.SHORTFALL, shortfall_words),
    (AccountClass.UNALLOCATED, unallocated_words),
)
