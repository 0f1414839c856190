"""Asking for a second person through the API: the same forms and acts as on screen."""

from collections.abc import Callable, Mapping
from typing import Any, cast
from uuid import UUID

from django import forms
from django.http import QueryDict
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.approvals import AskRefusedError
from accounts.audit import RefusedError
from accounts.models import LegalEntity
from accounts.roles import REQUEST, DeskRequest, check


class AskedSerializer(serializers.Serializer[Any]):
    """The request that now waits for a second person."""

    approval = serializers.UUIDField()


def sent(request: Request) -> QueryDict:
    """What was sent, as forms read it: a list stays a list, `null` is an empty field."""
    said: Any = request.data
    if isinstance(said, QueryDict):
        return said
    data = QueryDict(mutable=True)
    for name, value in said.items() if isinstance(said, dict) else ():
        values = value if isinstance(value, list) else [value]
        data.setlist(str(name), ["" if each is None else str(each) for each in values])
    return data


def http_of(request: Request) -> DeskRequest:
    """The desk's request behind the API's."""
    return cast(DeskRequest, request._request)


def entity_of(request: Request) -> LegalEntity:
    """The legal entity the person works at; the permission has seen to it."""
    entity = http_of(request).legal_entity
    assert entity is not None, "the permission has looked"
    return entity


def ask_by_api(
    request: Request,
    form: forms.Form,
    *,
    action: str,
    entity: LegalEntity,
    do: Callable[[Mapping[str, Any]], UUID],
) -> Response:
    """Ask for what the form says, with the refusals of the screen.

    Returns:
        201 with the request's id; 422 with the fields that do not fit; 409 with the rule that
        refused it.
    """
    check(request, f"{REQUEST}{action}", entity)
    if not form.is_valid():
        return Response(form.errors.get_json_data(), status=status.HTTP_422_UNPROCESSABLE_ENTITY)
    try:
        approval_id = do(form.cleaned_data)
    except AskRefusedError as refused:
        said = {refused.field or "__all__": [{"message": str(refused), "code": "refused"}]}
        return Response(said, status=status.HTTP_422_UNPROCESSABLE_ENTITY)
    except RefusedError as refused:
        answer = {"rule": refused.rule, "detail": refused.detail}
        return Response(answer, status=status.HTTP_409_CONFLICT)
    return Response({"approval": str(approval_id)}, status=status.HTTP_201_CREATED)
