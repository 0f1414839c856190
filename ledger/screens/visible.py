"""What an operator may see of the book: the pools of the legal entities where a role reads.

Pools, locations and breaks belong to the whole legal entity. An entry that touches a client's
account is shown to those who may read that client.
"""

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import Http404

from accounts.models import LegalEntity
from accounts.roles import DeskRequest
from ledger.models import Break, Entry, LedgerAccount, Location, Pool, Posting

NO_PAGE = "There is no such page."


def entity_here(request: DeskRequest) -> LegalEntity:
    """The legal entity the person works at.

    Raises:
        Http404: they work at none.
    """
    if request.legal_entity is None:
        raise Http404(NO_PAGE)
    return request.legal_entity


def readable(request: DeskRequest) -> frozenset[int]:
    """Ids of the legal entities where a role of the person reads."""
    return request.roles.entities("read")


def pools_here(request: DeskRequest) -> "QuerySet[Pool]":
    """The pools of a list."""
    return Pool.objects.filter(legal_entity=entity_here(request))


def locations_here(request: DeskRequest) -> "QuerySet[Location]":
    """The locations of a list."""
    return Location.objects.filter(pool__legal_entity=entity_here(request))


def breaks_here(request: DeskRequest) -> "QuerySet[Break]":
    """The breaks of a list."""
    return Break.objects.filter(location__pool__legal_entity=entity_here(request))


def location_or_404(request: DeskRequest, code: str) -> Location:
    """One location with its pool."""
    found = (
        Location.objects.filter(pool__legal_entity__in=readable(request), code=code)
        .select_related("pool__legal_entity", "individual_client")
        .first()
    )
    if found is None:
        raise Http404(NO_PAGE)
    return found


def break_or_404(request: DeskRequest, break_id: int) -> Break:
    """One break with what its page shows."""
    found = (
        Break.objects.filter(location__pool__legal_entity__in=readable(request), pk=break_id)
        .select_related(
            "location__pool__legal_entity",
            "asset",
            "owner",
            "statement__file",
            "line",
            "closing_entry__kind",
            "closing_line__statement",
        )
        .first()
    )
    if found is None:
        raise Http404(NO_PAGE)
    return found


def hidden_postings(request: DeskRequest) -> Q:
    """Postings to accounts the person may not read: other legal entities', other desks'."""
    hidden = ~Q(pool__legal_entity__in=readable(request))
    for entity_id in readable(request):
        desks = request.roles.desks("read", entity_id)
        if desks is not None:
            hidden |= Q(pool__legal_entity=entity_id, account__margin_account__isnull=False) & ~Q(
                account__margin_account__desk__in=desks
            )
    return hidden


def hidden_accounts(request: DeskRequest, *, path: str) -> Q:
    """Rows of ledger accounts the person may not read, by the path to the account; "" is itself."""
    to = f"{path}__" if path else ""
    hidden = ~Q(**{f"{to}pool__legal_entity__in": readable(request)})
    for entity_id in readable(request):
        desks = request.roles.desks("read", entity_id)
        if desks is not None:
            hidden |= Q(
                **{
                    f"{to}pool__legal_entity": entity_id,
                    f"{to}margin_account__isnull": False,
                }
            ) & ~Q(**{f"{to}margin_account__desk__in": desks})
    return hidden


def ledger_accounts(request: DeskRequest) -> "QuerySet[LedgerAccount]":
    """The ledger accounts that the person may read, with what names them."""
    return LedgerAccount.objects.exclude(hidden_accounts(request, path="")).select_related(
        "pool__legal_entity", "asset", "location", "bucket__account", "margin_account"
    )


def ledger_account_or_404(request: DeskRequest, account_id: int) -> LedgerAccount:
    """One ledger account."""
    found = ledger_accounts(request).filter(pk=account_id).first()
    if found is None:
        raise Http404(NO_PAGE)
    return found


def visible_entries(request: DeskRequest) -> "QuerySet[Entry]":
    """Entries of which the person may read every leg."""
    legs = Posting.objects.filter(entry=OuterRef("pk"))
    return Entry.objects.filter(
        Exists(legs), ~Exists(legs.filter(hidden_postings(request)))
    ).select_related("kind")


def entry_or_404(request: DeskRequest, entry_id: int) -> Entry:
    """One entry."""
    found = visible_entries(request).filter(pk=entry_id).first()
    if found is None:
        raise Http404(NO_PAGE)
    return found
