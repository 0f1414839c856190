"""Groups that are margined as one, for programs: how they stand, who would join, and asking."""

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

from accounts.asking_api import AskedSerializer, ask_by_api, entity_of, http_of, sent
from accounts.clock import utc_stamp
from accounts.figures import plain
from accounts.group_changes import MAKE, MEMBERS, request_group, request_members
from accounts.models import AccountGroup
from accounts.roles import permission
from margin.api_what_if import side_json
from margin.group_standing import GroupPreview, GroupStanding, preview_members, standing_of_group
from margin.screens.groups import (
    AskMembersForm,
    MembersForm,
    NewGroupForm,
    change_of,
    group_or_404,
    groups_seen,
    new_of,
)
from margin.what_if_ground import WhatIfRefusedError


class MarginGroupViewSet(viewsets.ViewSet):
    """Groups of accounts with one requirement."""

    permission_classes = [permission("read")]
    lookup_field = "code"
    lookup_value_regex = "[^/]+"

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def list(self, request: Request) -> Response:
        """Every group of where one works whose members one may all see."""
        groups = groups_seen(http_of(request), [entity_of(request).pk])
        return Response([named(group) for group in groups])

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def retrieve(self, request: Request, code: str) -> Response:
        """A group at the newest marks, its members apart, and what may leave each of them."""
        group = self._group(request, code)
        try:
            stands = standing_of_group(group)
        except WhatIfRefusedError as refused:
            return self._refused(refused)
        return Response(named(group) | standing_json(stands))

    @extend_schema(request=OpenApiTypes.OBJECT, responses={201: AskedSerializer})
    def create(self, request: Request) -> Response:
        """Ask for a group, with the fields of the screen."""
        http, entity = http_of(request), entity_of(request)
        return ask_by_api(
            request, NewGroupForm(sent(request), entity=entity), action=MAKE, entity=entity,
            do=lambda typed: request_group(
                new_of(entity, typed), reason=typed["reason"], actor=http.actor,
                request_id=http.request_id,
            ),
        )  # fmt: skip

    @extend_schema(request=OpenApiTypes.OBJECT, responses=OpenApiTypes.OBJECT)
    @action(detail=True, methods=["post"])
    def preview(self, request: Request, code: str) -> Response:
        """What it would do if accounts `join` and `leave` from a `day` on."""
        group = self._group(request, code)
        form = MembersForm(sent(request), group=group, request=http_of(request))
        if not form.is_valid():
            wrong = form.errors.get_json_data()
            return Response(wrong, status=status.HTTP_422_UNPROCESSABLE_ENTITY)
        try:
            return Response(preview_json(preview_members(change_of(group, form.cleaned_data))))
        except WhatIfRefusedError as refused:
            return self._refused(refused)

    @extend_schema(request=OpenApiTypes.OBJECT, responses={201: AskedSerializer})
    @action(detail=True, methods=["post"])
    def members(self, request: Request, code: str) -> Response:
        """Ask for it with a `reason`; 409 where a scope would not keep its initial margin."""
        group, http = self._group(request, code), http_of(request)
        return ask_by_api(
            request, AskMembersForm(sent(request), group=group, request=http), action=MEMBERS,
            entity=group.legal_entity,
            do=lambda typed: request_members(
                change_of(group, typed), reason=typed["reason"], actor=http.actor,
                request_id=http.request_id,
            ),
        )  # fmt: skip

    def _group(self, request: Request, code: str) -> AccountGroup:
        try:
            return group_or_404(http_of(request), code)
        except Http404 as missing:
            raise NotFound("There is no such group.") from missing

    def _refused(self, refused: WhatIfRefusedError) -> Response:
        answer = {"rule": refused.rule, "detail": refused.detail}
        return Response(answer, status=status.HTTP_409_CONFLICT)


def named(group: AccountGroup) -> dict[str, Any]:
    """Who a group is, and under which guarantee."""
    dated = group.guarantee_dated_on
    return {
        "code": group.code,
        "owner_class": group.owner_class,
        "client": None if group.client is None else group.client.code,
        "guarantee": {
            "reference": group.guarantee_reference,
            "dated_on": None if dated is None else dated.isoformat(),
            "sha256": group.guarantee_sha256,
        },
    }


def standing_json(stands: GroupStanding) -> dict[str, Any]:
    """How a group stands; every number is a text."""
    share = stands.loan_to_value
    return {
        "as_of": utc_stamp(stands.as_of),
        "agreement": f"{stands.terms.agreement.code} v{stands.terms.version}",
        "together": side_json(stands.side),
        "alone_initial_margin": plain(stands.alone_initial),
        "alone_maintenance_margin": plain(stands.alone_maintenance),
        "saved": plain(stands.saved),
        "loan": plain(stands.loan),
        "loan_to_value": None if share is None else plain(share),
        "members": [
            {
                "account": each.account.code,
                "client": None if each.account.client is None else each.account.client.code,
                "alone": side_json(each.side),
                "can_leave": {
                    bucket.code: {
                        "amount": plain(free.amount),
                        "asset": free.asset.code,
                        "binding": free.binding.name,
                    }
                    for bucket, free in each.free
                },
            }
            for each in stands.members
        ],
    }


def preview_json(said: GroupPreview) -> dict[str, Any]:
    """Both sides of every scope that is touched."""
    refusal = said.refusal
    return {
        "group": said.change.group.code,
        "day": said.day.isoformat(),
        "as_of": utc_stamp(said.as_of),
        "refusal": None if refusal is None else refusal[0],
        "detail": "" if refusal is None else refusal[1],
        "now": {name: side_json(side) for name, side in said.now.items()},
        "after": {name: side_json(side) for name, side in said.after.items()},
    }


def register(router: BaseRouter) -> None:
    """Add this resource to the API's router."""
    router.register("margin-groups", MarginGroupViewSet, basename="margin-group")
