"""Clients whose assets lie apart: what their own locations hold and owe, reconciled alone."""

import hashlib
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Q

from accounts.approvals import Description, FieldChange, register_action, request_approval
from accounts.audit import Actor, RefusedError, acting, refusals
from accounts.models import Approval, Client
from ledger.models import Balance, ClientReconciliation, LedgerAccount, Location
from ledger.models.pools import HELD_AT_PLACES
from ledger.standing import balances_at
from ledger.times import ReadingPoint, known

HOLD_APART, SIGN = "client.segregation", "client.reconciliation"
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class OwnLine:
    """One asset of one client held apart.

    Attributes:
        held: at the client's own locations, by location.
        owed: claims and positions of the client.
    """

    client: Client
    asset: str
    asset_kind: str
    scale: int
    held: dict[str, Decimal]
    owed: Decimal

    @property
    def total(self) -> Decimal:
        return sum(self.held.values(), ZERO)

    @property
    def over(self) -> Decimal:
        """What lies there beyond what the client is owed: the firm's; negative: missing."""
        return self.total - self.owed

    @property
    def is_whole(self) -> bool:
        return self.over == 0 if self.asset_kind == "derivative" else self.over >= 0


def clients_apart(entities: Collection[int]) -> list[Client]:
    """Clients held apart, or with a location of their own, by code."""
    owners = Location.objects.filter(individual_client__isnull=False)
    return list(
        Client.objects.filter(legal_entity__in=entities)
        .filter(Q(is_individually_segregated=True) | Q(pk__in=owners.values("individual_client")))
        .named()
        .order_by("code")
    )


def own_lines(clients: Collection[Client], *, point: ReadingPoint | None = None) -> list[OwnLine]:
    """What these clients' own locations hold and what they are owed, by client and asset.

    Args:
        point: where in the two times the book is read; the balances of now if None.
    """
    by_id = {client.pk: client for client in clients}
    lines: dict[tuple[int, str], OwnLine] = {}
    for client, account_class, asset, kind, scale, location, amount in _amounts(by_id, point):
        line = lines.get((client, asset)) or OwnLine(by_id[client], asset, kind, scale, {}, ZERO)
        if account_class in HELD_AT_PLACES:
            held = line.held | {location: line.held.get(location, ZERO) + amount}
            line = OwnLine(line.client, asset, kind, scale, held, line.owed)
        else:
            line = OwnLine(line.client, asset, kind, scale, line.held, line.owed - amount)
        lines[client, asset] = line
    return [line for line in lines.values() if line.total or line.owed]


# Client, class, asset, its kind and scale, location, amount.
Amount = tuple[int, str, str, str, int, str, Decimal]
NAMED = ("client_id", "account_class", "asset__code", "asset_kind", "scale", "location__code")


def _amounts(clients: Collection[int], point: ReadingPoint | None) -> Iterator[Amount]:
    """Balances of these clients' ledger accounts, by codes of client, asset and location."""
    order = ("client__code", "asset__code", "location__code")
    accounts = LedgerAccount.objects.filter(client__in=list(clients), owner_class="CLIENT")
    if point is None:
        balances = Balance.objects.filter(account__in=accounts)
        names = [f"account__{name}" for name in NAMED]
        rows = balances.order_by(*(f"account__{name}" for name in order))
        yield from rows.values_list(*names, "amount")
        return
    found = list(known(accounts, point).order_by(*order).values_list("pk", *NAMED))
    stood = balances_at(point, account_ids=[row[0] for row in found])
    for pk, *named in found:
        yield (*named, stood[pk].amount)


# ---------------------------------------------------------------- holding a client apart


def request_segregation(
    client: Client, *, held_apart: bool, reason: str, actor: Actor, request_id: str = ""
) -> UUID:
    """Ask that a client's assets be held apart from everybody's, or no longer.

    Raises:
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    verb = "Hold" if held_apart else "No longer hold"
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=client.legal_entity_id,
            action=HOLD_APART,
            subject=f"{verb} client {client.code} apart",
            payload={"client": client.pk, "held_apart": held_apart},
            reason=reason,
        )


def describe_segregation(approval: Approval) -> Description:
    """The client now and as asked for, with what does not lie at their own locations."""
    client = Client.objects.get(pk=approval.payload["client"])
    missing = [line for line in own_lines([client]) if not line.is_whole]
    note = (
        "Everything of the client lies at their own locations."
        if not missing
        else "As the book stands it refuses this: "
        + ", ".join(f"{abs(line.over)} {line.asset}" for line in missing)
        + " lie elsewhere."
    )
    words = {True: "held apart", False: "with other clients'"}
    return Description(
        headline=approval.subject,
        facts=(("Client", client.code),),
        fields=(
            FieldChange(
                "Assets",
                words[client.is_individually_segregated],
                words[approval.payload["held_apart"]],
            ),
        ),
        note=note if approval.payload["held_apart"] else "",
    )


def hold_apart(approval: Approval) -> None:
    """Set the flag as agreed; call inside an act."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT accounts.hold_client_apart(%s)", [approval.pk])


# ---------------------------------------------------------------- reconciliation of one client


def reconcile_alone(
    client: Client, *, business_day: date, actor: Actor, reason: str, request_id: str = ""
) -> ClientReconciliation:
    """Compare one client's own locations with the book at the end of a day, and keep the result.

    Raises:
        RefusedError: the client has no location of their own.
    """
    with acting(actor, reason=reason, request_id=request_id):
        with refusals(), connection.cursor() as cursor:
            cursor.execute("SELECT ledger.reconcile_client(%s, %s)", [client.pk, business_day])
            (made,) = cursor.fetchone()
        return ClientReconciliation.objects.select_related("client").get(pk=made)


def lines_sha256(found: ClientReconciliation) -> str:
    """What a signature is bound to: the lines as they were kept."""
    said = json.dumps(found.lines, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(said.encode()).hexdigest()


def request_signature(
    found: ClientReconciliation, *, reason: str, actor: Actor, request_id: str = ""
) -> UUID:
    """Ask a second person to sign a reconciliation that one prepared.

    Raises:
        RefusedError: something differs in it, the maker may not ask, or nobody else could decide.
    """
    if not found.is_whole:
        raise RefusedError("signed_reconciliation_is_whole", "something differs in it")
    payload: dict[str, Any] = {
        "reconciliation": found.pk,
        "client": found.client.code,
        "business_day": found.business_day.isoformat(),
        "lines_sha256": lines_sha256(found),
    }
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=found.client.legal_entity_id,
            action=SIGN,
            subject=f"Client {found.client.code}, {found.business_day}, no. {found.number}",
            payload=payload,
            reason=reason,
        )


def describe_signature(approval: Approval) -> Description:
    """What would be signed, line by line."""
    found = ClientReconciliation.objects.select_related("client").get(
        pk=approval.payload["reconciliation"]
    )
    facts = [
        (
            f"{line['asset']} at {line['location']}",
            f"{line['book']} in the book, {line['reported'] or 'nothing'} reported",
        )
        for line in found.lines
        if "location" in line
    ] + [
        (line["asset"], f"{line['held']} held, {line['owed']} owed")
        for line in found.lines
        if "owed" in line
    ]
    return Description(
        headline=approval.subject,
        facts=tuple(facts),
        note="Only this client's own locations are signed; others are not looked at.",
    )


def sign(approval: Approval) -> None:
    """Put both people's names under it; call inside an act.

    Raises:
        RefusedError: the lines are not those that were read, or a later run replaced it.
    """
    found = ClientReconciliation.objects.get(pk=approval.payload["reconciliation"])
    if lines_sha256(found) != approval.payload["lines_sha256"]:
        raise RefusedError("approval_is_for_this", "the lines are not those that were approved")
    with connection.cursor() as cursor:
        cursor.execute("SELECT ledger.sign_reconciliation(%s)", [approval.pk])


def register() -> None:
    """Say how requests about clients held apart are shown and applied."""
    register_action(HOLD_APART, describe=describe_segregation, apply=hold_apart)
    register_action(SIGN, describe=describe_signature, apply=sign)
