"""The register of debts: who owes, guarantees or pledges what to whom, and where rings are."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from accounts.approvals import Description, register_action, request_approval
from accounts.audit import Actor, RefusedError, acting, refusals
from accounts.figures import WIDE, grouped
from accounts.models import Approval, Bucket, Client, GroupMember, LegalEntity, MarginAccount
from ledger.models import Asset, Obligation
from ledger.posting import plain

REGISTER, END = "obligation.register", "obligation.end"
ZERO = Decimal(0)
REFUSALS = {
    "owner_classes_do_not_meet": (
        "Nothing of one owner class backs or funds another: a client's assets never stand for the"
        " house, nor the house's for a client's debt."
    ),
    "pledge_is_of_ones_own": "Who pledges owns the lot.",
    "obligation_is_of_this_firm": "One of the parties is of this legal entity.",
    "lot_is_pledged_once": "The bucket does not hold that much beyond what is pledged already.",
}


class Party(NamedTuple):
    """An account, a client or a legal entity, as the register names it."""

    kind: str
    id: int
    code: str

    def __str__(self) -> str:
        return f"{self.kind} {self.code}"


@dataclass(frozen=True, slots=True)
class Asked:
    """An obligation as it is asked for.

    Attributes:
        by, to: who is bound, and who may claim it: an account, a client or a legal entity.
        secures: the account whose debt a guarantee or pledge stands for.
        bucket: where the lot of a pledge lies.
    """

    reference: str
    kind: str
    by: MarginAccount | Client | LegalEntity
    to: MarginAccount | Client | LegalEntity
    asset: Asset
    amount: Decimal
    effective_on: date
    secures: MarginAccount | None = None
    bucket: Bucket | None = None
    document_sha256: str = ""
    note: str = ""

    def row(self) -> dict[str, Any]:
        """The row as an approval is bound to it."""
        return {
            "reference": self.reference,
            "kind": self.kind,
            **_side("by", self.by),
            **_side("to", self.to),
            "secures_account_id": None if self.secures is None else self.secures.pk,
            "bucket_id": None if self.bucket is None else self.bucket.pk,
            "asset_id": self.asset.pk,
            "amount": plain(self.amount),
            "effective_on": self.effective_on.isoformat(),
            "document_sha256": self.document_sha256,
            "note": self.note,
        }


def _side(name: str, party: MarginAccount | Client | LegalEntity) -> dict[str, int | None]:
    return {
        f"{name}_account_id": party.pk if isinstance(party, MarginAccount) else None,
        f"{name}_client_id": party.pk if isinstance(party, Client) else None,
        f"{name}_entity_id": party.pk if isinstance(party, LegalEntity) else None,
    }


def bound_party(obligation: Obligation) -> Party:
    """Who is bound by it."""
    return _party(obligation.by_account, obligation.by_client, obligation.by_entity)


def claiming_party(obligation: Obligation) -> Party:
    """Who may claim it."""
    return _party(obligation.to_account, obligation.to_client, obligation.to_entity)


def _party(
    account: MarginAccount | None, client: Client | None, entity: LegalEntity | None
) -> Party:
    if account is not None:
        return Party("account", account.pk, account.code)
    if client is not None:
        return Party("client", client.pk, client.code)
    assert entity is not None, "an obligation has two sides"
    return Party("firm", entity.pk, entity.code)


# ---------------------------------------------------------------- lots


def pledged_in(bucket_id: int, asset_id: int) -> Decimal:
    """How much of an asset in a bucket is pledged and not released."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT ledger.pledged(%s, %s)", [bucket_id, asset_id])
        (amount,) = cursor.fetchone()
    return Decimal(amount)


def pledged_lots() -> dict[tuple[int, str], Decimal]:
    """How much of each asset of each bucket is pledged and not released."""
    lots: dict[tuple[int, str], Decimal] = defaultdict(lambda: ZERO)
    pledges = Obligation.objects.live().filter(kind=Obligation.Kind.PLEDGE)
    for bucket, asset, amount in pledges.values_list("bucket_id", "asset__code", "amount"):
        lots[bucket, asset] = WIDE.add(lots[bucket, asset], amount)
    return dict(lots)


def lot_holds(bucket_id: int, asset_id: int) -> Decimal:
    """How much of an asset a bucket holds, money or securities."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT ledger.lot_holds(%s, %s)", [bucket_id, asset_id])
        (amount,) = cursor.fetchone()
    return Decimal(amount)


# ---------------------------------------------------------------- asking and ending


def request_obligation(
    asked: Asked, *, legal_entity: LegalEntity, reason: str, actor: Actor, request_id: str = ""
) -> UUID:
    """Ask that an obligation be registered.

    Raises:
        RefusedError: it could not be registered as things stand (`owner_classes_do_not_meet`,
            `lot_is_pledged_once` ...), the maker may not ask, or nobody else could decide.
    """
    row = asked.row()
    with acting(actor, reason=reason, request_id=request_id):
        with refusals(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT ledger.obligation_refusal(%s, %s::jsonb)",
                [legal_entity.pk, json.dumps(row)],
            )
            (rule,) = cursor.fetchone()
        if rule is not None:
            raise RefusedError(rule, REFUSALS[rule])
        words = f"{grouped(asked.amount, decimals=asked.asset.scale)} {asked.asset.code}"
        return request_approval(
            legal_entity_id=legal_entity.pk,
            action=REGISTER,
            subject=f"{Obligation.Kind(asked.kind).label} {asked.reference}: {words}",
            payload=row,
            reason=reason,
        )


def request_end(
    obligation: Obligation, *, ended_on: date, reason: str, actor: Actor, request_id: str = ""
) -> UUID:
    """Ask that an obligation end.

    Raises:
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=obligation.legal_entity_id,
            action=END,
            subject=f"End {obligation.get_kind_display().lower()} {obligation.reference}",
            payload={"obligation": obligation.pk, "ended_on": ended_on.isoformat()},
            reason=reason,
        )


def describe_registration(approval: Approval) -> Description:
    """What would be registered, with the lot as it stands."""
    row: Mapping[str, Any] = approval.payload
    asset = Asset.objects.get(pk=row["asset_id"])
    facts = [
        ("Bound", str(_party_of_row(row, "by"))),
        ("May claim it", str(_party_of_row(row, "to"))),
        ("From", row["effective_on"]),
    ]
    if row["secures_account_id"] is not None:
        backed = MarginAccount.objects.get(pk=row["secures_account_id"])
        facts.append(("Stands for", f"account {backed.code}"))
    if row["bucket_id"] is not None:
        bucket = Bucket.objects.select_related("account").get(pk=row["bucket_id"])
        held = lot_holds(bucket.pk, asset.pk)
        pledged = pledged_in(bucket.pk, asset.pk)
        facts.append(("Lot", f"{bucket.account.code} {bucket.code}"))
        facts.append(("It holds", f"{grouped(held, decimals=asset.scale)} {asset.code}"))
        facts.append(("Pledged already", grouped(pledged, decimals=asset.scale)))
    amount = f"{grouped(Decimal(row['amount']), decimals=asset.scale)} {asset.code}"
    return Description(headline=approval.subject, amount=amount, facts=tuple(facts))


def _party_of_row(row: Mapping[str, Any], side: str) -> Party:
    found = {
        "account": MarginAccount.objects.filter(pk=row[f"{side}_account_id"]).first(),
        "client": Client.objects.filter(pk=row[f"{side}_client_id"]).first(),
        "entity": LegalEntity.objects.filter(pk=row[f"{side}_entity_id"]).first(),
    }
    return _party(found["account"], found["client"], found["entity"])  # type: ignore[arg-type]


def describe_end(approval: Approval) -> Description:
    """Which obligation would end."""
    found = Obligation.objects.named().get(pk=approval.payload["obligation"])
    return Description(
        headline=approval.subject,
        amount=f"{grouped(found.amount, decimals=found.asset.scale)} {found.asset.code}",
        facts=(
            ("Bound", str(bound_party(found))),
            ("May claim it", str(claiming_party(found))),
            ("Ends on", approval.payload["ended_on"]),
        ),
    )


def _calls(function: str) -> Any:  # noqa: ANN401 - a function of one approval
    def apply(approval: Approval) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT ledger.{function}(%s)", [approval.pk])

    return apply


def register() -> None:
    """Say how requests about the register are shown and applied."""
    register_action(REGISTER, describe=describe_registration, apply=_calls("register_obligation"))
    register_action(END, describe=describe_end, apply=_calls("end_obligation"))


# ---------------------------------------------------------------- rings


class Link(NamedTuple):
    """One party stands for another: it guarantees or pledges for the other's debt."""

    giver: Party
    taker: Party
    obligation: Obligation


def links_of(obligations: Iterable[Obligation]) -> list[Link]:
    """Who stands for whom: a guarantor or pledgor for the account it backs, a borrower's debt
    for its lender.
    """
    links = []
    for each in obligations:
        taker = claiming_party(each)
        if each.secures_account is not None:
            taker = Party("account", each.secures_account.pk, each.secures_account.code)
        links.append(Link(bound_party(each), taker, each))
    return links


def rings(links: Iterable[Link]) -> list[list[Party]]:
    """The rings of parties that stand for one another, each in the order of its codes.

    A ring is a strongly connected part of more than one party, or a party that stands for itself.
    """
    onward: dict[Party, set[Party]] = defaultdict(set)
    back: dict[Party, set[Party]] = defaultdict(set)
    for link in links:
        onward[link.giver].add(link.taker)
        back[link.taker].add(link.giver)
    found: list[list[Party]] = []
    seen: set[Party] = set()
    for party in sorted(onward.keys() | back.keys()):
        if party in seen:
            continue
        ring = _reached(party, onward) & _reached(party, back)
        seen |= ring
        if len(ring) > 1 or party in onward[party]:
            found.append(sorted(ring))
    return found


def _reached(start: Party, ways: Mapping[Party, set[Party]]) -> set[Party]:
    """Everything that can be reached, the start included."""
    reached, waiting = {start}, [start]
    while waiting:
        for following in ways.get(waiting.pop(), ()):
            if following not in reached:
                reached.add(following)
                waiting.append(following)
    return reached


# ---------------------------------------------------------------- exposure within a group


@dataclass(frozen=True, slots=True)
class Exposure:
    """What two members of a group owe each other of an asset, by the register.

    Attributes:
        net: what the first owes after netting; negative: what it is owed.
    """

    first: Party
    second: Party
    asset: str
    scale: int
    first_owes: Decimal
    second_owes: Decimal

    @property
    def net(self) -> Decimal:
        return WIDE.subtract(self.first_owes, self.second_owes)


def group_exposures(group_id: int, *, day: date) -> list[Exposure]:
    """Debts between the members of a group, netted pair by pair: registered loans and nothing else.

    Guarantees and pledges are contingent and balances of the book are no agreement to net; they
    stay gross.
    """
    members = set(
        GroupMember.objects.filter(group=group_id, joined_on__lte=day)
        .exclude(left_on__lte=day)
        .values_list("account_id", flat=True)
    )
    owed: dict[tuple[Party, Party, str, int], list[Decimal]] = defaultdict(lambda: [ZERO, ZERO])
    loans = Obligation.objects.named().filter(
        kind=Obligation.Kind.LOAN, effective_on__lte=day,
        by_account__in=members, to_account__in=members,
    ).exclude(end__ended_on__lte=day)  # fmt: skip
    for loan in loans:
        debtor, creditor = bound_party(loan), claiming_party(loan)
        first, second = sorted((debtor, creditor), key=lambda party: party.code)
        sides = owed[first, second, loan.asset.code, loan.asset.scale]
        place = 0 if debtor == first else 1
        sides[place] = WIDE.add(sides[place], loan.amount)
    return [
        Exposure(first, second, asset, scale, sides[0], sides[1])
        for (first, second, asset, scale), sides in sorted(owed.items())
    ]
