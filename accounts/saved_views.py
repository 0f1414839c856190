"""Views of lists that people keep under a name, alone or shared with their legal entity."""

import re
from collections.abc import Sequence

from django.db.models import Q, QuerySet
from django.http import HttpRequest, QueryDict

from accounts.audit import Actor, acting
from accounts.models import LegalEntity, Operator, SavedView
from accounts.models.views import QUERY_LENGTH_MAX, SLUG_LENGTH_MAX

# In the address: the view's name. What else the address says wins over the view.
VIEW = "filter"
TITLE_LENGTH_MAX = 80
# What belongs to the moment and not to the view.
NOT_KEPT = frozenset({VIEW, "page", "format", "live", "tables"})
TRIES = 100


class ViewError(ValueError):
    """A view cannot be kept as asked; the text says why."""


def views_for(request: HttpRequest, list_name: str) -> "QuerySet[SavedView]":
    """The views of a list that whoever asks may use: their own and those shared with them."""
    entity = getattr(request, "legal_entity", None)
    operator = getattr(request, "operator", None)
    if entity is None or operator is None:
        return SavedView.objects.none()
    return (
        SavedView.objects.filter(legal_entity=entity, list_name=list_name, is_removed=False)
        .filter(Q(owner=operator) | Q(is_shared=True))
        .select_related("owner")
        .order_by("title", "slug")
    )


def with_view(request: HttpRequest, list_name: str) -> SavedView | None:
    """Read the view that the address names into the request's parameters.

    Raises:
        ViewError: nobody keeps such a view, or not for this person.
    """
    slug = request.GET.get(VIEW, "").strip()
    if not slug:
        return None
    found = views_for(request, list_name).filter(slug=slug[:SLUG_LENGTH_MAX]).first()
    own = request.GET.copy()
    own.pop(VIEW, None)
    if found is None:
        request.GET = own  # type: ignore[assignment]
        raise ViewError(f"There is no view “{slug[:SLUG_LENGTH_MAX]}” of this list")
    merged = QueryDict(found.query, mutable=True)
    for key, values in own.lists():
        merged.setlist(key, values)
    request.GET = merged  # type: ignore[assignment]
    return found


def kept_query(query: QueryDict | str) -> str:
    """The parameters of an address that a view keeps, in an order of their own."""
    given = QueryDict(query) if isinstance(query, str) else query
    kept = QueryDict(mutable=True)
    for key in sorted(given):
        values = [value for value in given.getlist(key) if value.strip()]
        if values and key not in NOT_KEPT:
            kept.setlist(key, values)
    return kept.urlencode()


def slug_of(title: str) -> str:
    """ "Worst calls, treasury" is "worst-calls-treasury"; "view" where no letter is left."""
    words = re.findall(r"[a-z0-9]+", title.lower())
    return "-".join(words)[: SLUG_LENGTH_MAX - 4].strip("-") or "view"


def save_view(
    title: str,
    *,
    list_name: str,
    query: str,
    is_shared: bool,
    entity: LegalEntity,
    owner: Operator,
    actor: Actor,
    request_id: str = "",
) -> SavedView:
    """Keep a view; one of the owner's with this title is changed instead.

    Raises:
        ViewError: without a title, or longer than a view may be.
        RefusedError: the owner holds no role there, or the session has ended.
    """
    title, kept = " ".join(title.split()), kept_query(query)
    if not title or len(title) > TITLE_LENGTH_MAX:
        raise ViewError(f"A view has a name of 1 to {TITLE_LENGTH_MAX} characters.")
    if len(kept) > QUERY_LENGTH_MAX:
        raise ViewError("This filter is too long to be kept.")
    with acting(actor, reason=f"Kept the view “{title}” of {list_name}", request_id=request_id):
        living = SavedView.objects.filter(
            legal_entity=entity, list_name=list_name, is_removed=False
        )
        same = living.filter(owner=owner, title=title).first()
        if same is not None:
            same.query, same.is_shared = kept, is_shared
            same.save(update_fields=["query", "is_shared"])
            return same
        taken = list(living.values_list("slug", flat=True))
        return SavedView.objects.create(
            legal_entity=entity,
            list_name=list_name,
            slug=free_slug(slug_of(title), taken=taken),
            title=title,
            query=kept,
            owner=owner,
            is_shared=is_shared,
        )


def free_slug(wanted: str, *, taken: Sequence[str]) -> str:
    """The slug itself, or with the first number that is free.

    Raises:
        ViewError: a hundred views have this name.
    """
    for number in range(1, TRIES):
        slug = wanted if number == 1 else f"{wanted}-{number}"
        if slug not in taken:
            return slug
    raise ViewError("Too many views have this name. Choose another.")


def remove_view(view: SavedView, *, actor: Actor, request_id: str = "") -> None:
    """Take a view away; its name is free again.

    Raises:
        RefusedError: it is somebody else's.
    """
    reason = f"Removed the view “{view.title}” of {view.list_name}"
    with acting(actor, reason=reason, request_id=request_id):
        SavedView.objects.filter(pk=view.pk).update(is_removed=True)
