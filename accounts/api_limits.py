"""Limits of roles for programs, and asking for others."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from accounts.asking_api import AskedSerializer, ask_by_api, entity_of, http_of, sent
from accounts.limits import AMOUNTS, CHANGE, limits_in_force, request_limit, utc_today
from accounts.roles import permission
from accounts.screens.limits import LimitForm


class LimitSerializer(serializers.Serializer[Any]):
    """What a role may ask for and agree to; null is no limit."""

    role = serializers.CharField()
    asset = serializers.CharField()
    effective_from = serializers.DateField()
    request_each = serializers.CharField(allow_null=True)
    request_day = serializers.CharField(allow_null=True)
    approve_each = serializers.CharField(allow_null=True)
    approve_day = serializers.CharField(allow_null=True)


class LimitViewSet(viewsets.GenericViewSet[Any]):
    """Limits in force at the legal entity one works at."""

    permission_classes = [permission("approval.read")]
    serializer_class = LimitSerializer

    @extend_schema(responses=LimitSerializer(many=True))
    def list(self, request: Request) -> Response:
        """Every row in force today."""
        rows = [
            {
                "role": each.limit.role,
                "asset": each.limit.asset,
                "effective_from": each.limit.effective_from,
                **{
                    name: None if amount is None else format(amount, "f")
                    for name in AMOUNTS
                    for amount in [getattr(each.limit, name)]
                },
            }
            for each in limits_in_force(entity_of(request), day=utc_today())
        ]
        return Response(LimitSerializer(rows, many=True).data)

    @extend_schema(request=None, responses={201: AskedSerializer})
    def create(self, request: Request) -> Response:
        """Ask for other limits; the fields are those of the screen."""
        http, entity = http_of(request), entity_of(request)
        return ask_by_api(
            request, LimitForm(sent(request)), action=CHANGE, entity=entity,
            do=lambda typed: request_limit(
                legal_entity=entity, role=typed["role"], asset=typed["asset"].strip(),
                effective_from=typed["effective_from"],
                amounts={name: typed[name] for name in AMOUNTS}, reason=typed["reason"],
                actor=http.actor, request_id=http.request_id,
            ),
        )  # fmt: skip


def register(router: BaseRouter) -> None:
    """Add these resources to the API's router."""
    router.register("limits", LimitViewSet, basename="limit")
