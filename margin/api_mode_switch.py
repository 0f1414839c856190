"""Another agreement for an account, for programs: looked at, and asked for."""

from collections.abc import Mapping
from typing import Any

from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from accounts.agreements import SIGN, request_signature
from accounts.asking_api import AskedSerializer, ask_by_api, http_of, sent
from accounts.clock import utc_stamp
from accounts.models import MarginAccount
from accounts.roles import permission
from margin.api_what_if import side_json
from margin.mode_switch import Standings, Switch, preview_pooled
from margin.screens.mode_switch import AskSwitchForm, SwitchForm, preview_of
from margin.screens.visible import account_or_404
from margin.what_if_ground import WhatIfRefusedError


class MarginModeViewSet(viewsets.ViewSet):
    """How an account would be margined: `account`, `agreement`, `effective_from`."""

    permission_classes = [permission("read")]

    @extend_schema(request=OpenApiTypes.OBJECT, responses=OpenApiTypes.OBJECT)
    @action(detail=False, methods=["post"])
    def preview(self, request: Request) -> Response:
        """Both sides and what refuses it; `pooled` looks at an isolated account as one scope."""
        data = sent(request)
        account = self._account(request, data)
        form = SwitchForm(data, account=account)
        pooled = bool(data.get("pooled"))
        if not pooled and not form.is_valid():
            wrong = form.errors.get_json_data()
            return Response(wrong, status=status.HTTP_422_UNPROCESSABLE_ENTITY)
        try:
            said = preview_pooled(account) if pooled else preview_of(account, form)
        except WhatIfRefusedError as refused:
            answer = {"rule": refused.rule, "detail": refused.detail}
            return Response(answer, status=status.HTTP_409_CONFLICT)
        return Response(as_json(said))

    @extend_schema(request=OpenApiTypes.OBJECT, responses={201: AskedSerializer})
    def create(self, request: Request) -> Response:
        """Ask for it with a `reason`; 409 where a scope would not keep its initial margin."""
        http, data = http_of(request), sent(request)
        account = self._account(request, data)
        return ask_by_api(
            request, AskSwitchForm(data, account=account), action=SIGN,
            entity=account.legal_entity,
            do=lambda typed: request_signature(
                account=account, agreement=typed["agreement"],
                effective_from=typed["effective_from"], reason=typed["reason"],
                actor=http.actor, request_id=http.request_id,
            ),
        )  # fmt: skip

    def _account(self, request: Request, data: Mapping[str, Any]) -> MarginAccount:
        try:
            return account_or_404(http_of(request), str(data.get("account", "")))
        except Http404 as missing:
            raise NotFound("There is no such account.") from missing


def as_json(said: Switch) -> dict[str, Any]:
    """Both sides; every number is a text."""
    refusal = said.refusal
    return {
        "account": said.account.code,
        "day": said.day.isoformat(),
        "as_of": utc_stamp(said.as_of),
        "can_be_asked": said.can_be_asked and refusal is None,
        "refusal": None if refusal is None else refusal[0],
        "detail": "" if refusal is None else refusal[1],
        "now": _standings(said.now),
        "after": _standings(said.after),
    }


def _standings(of: Standings) -> dict[str, Any]:
    return {
        "mode": of.mode,
        "agreement": f"{of.terms.agreement.code} v{of.terms.version}",
        "scopes": {name: side_json(side) for name, side in of.sides.items()},
    }


def register(router: BaseRouter) -> None:
    """Add this resource to the API's router."""
    router.register("margin-mode", MarginModeViewSet, basename="margin-mode")
