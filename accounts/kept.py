"""What somebody typed when their session had ended: kept until they are signed in again.

It is never sent by itself: signed in, the person sees it and sends it, or does not.
"""

import json
from typing import NamedTuple

from django.http import HttpRequest, QueryDict
from django.urls import Resolver404, resolve

KEPT = "kept_input"
LENGTH_MAX = 100_000
NEVER_KEPT = frozenset({"csrfmiddlewaretoken", "password", "proof", "proof_only", "kept", "next"})


class Kept(NamedTuple):
    """A form as it was sent.

    Attributes:
        address: path and query to which it goes.
        fields: names and values, in order.
    """

    address: str
    fields: tuple[tuple[str, str], ...]


def kept_from(request: HttpRequest) -> Kept | None:
    """The form of a request, without secrets; None where it is too long to keep."""
    fields = fields_of(request.POST)
    is_short = sum(len(name) + len(value) for name, value in fields) <= LENGTH_MAX
    return Kept(request.get_full_path(), fields) if is_short else None


def fields_of(sent: QueryDict) -> tuple[tuple[str, str], ...]:
    """Names and values of a form, but those that prove who somebody is."""
    return tuple(
        (name, str(value))
        for name, values in sent.lists()
        if name not in NEVER_KEPT
        for value in values
    )


def as_text(kept: Kept | None) -> str:
    """As a hidden field carries it; "" for nothing."""
    return "" if kept is None else json.dumps([kept.address, kept.fields])


def from_text(text: str) -> Kept | None:
    """As a hidden field brings it; None for anything that is no form of this desk."""
    if not text or len(text) > 2 * LENGTH_MAX:
        return None
    try:
        address, said = json.loads(text)
        fields = tuple((str(name), str(value)) for name, value in said)
    except (ValueError, TypeError):
        return None
    return Kept(address, fields) if is_ours(address) else None


def is_ours(address: object) -> bool:
    """Whether an address is a path of this desk, and of no other site."""
    if not isinstance(address, str) or not address.startswith("/") or address[1:2] in ("/", "\\"):
        return False
    if any(ord(letter) < 32 for letter in address):
        return False
    try:
        resolve(address.partition("?")[0])
    except Resolver404:
        return False
    return True


def keep(request: HttpRequest, kept: Kept | None) -> None:
    """Put a form into the session that has just begun."""
    if kept is not None:
        request.session[KEPT] = as_text(kept)


def is_kept(request: HttpRequest) -> Kept | None:
    """The form that waits to be sent, if there is one."""
    return from_text(request.session.get(KEPT, ""))


def let_go(request: HttpRequest) -> None:
    """Forget the form: it is sent now, or will not be."""
    request.session.pop(KEPT, None)
