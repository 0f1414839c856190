"""Retention for programs: how each client stands; names are not served."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from accounts.models import LegalEntity
from accounts.retention import standings
from accounts.roles import permission, roles_in
from accounts.screens.retention import READ, is_of_desks


class StandingSerializer(serializers.Serializer[Any]):
    """Whether a client's name may go, must go or must stay, and why."""

    legal_entity = serializers.CharField(source="client.legal_entity.code")
    client = serializers.CharField(source="client.code")
    verdict = serializers.CharField()
    why = serializers.CharField()
    relationship_ended = serializers.DateField(source="ended_on", allow_null=True)
    kept_until = serializers.DateField(allow_null=True)
    gone_by = serializers.DateField(allow_null=True)


class RetentionViewSet(viewsets.ViewSet):
    """Every client of the legal entities where this person reads retention, by code."""

    permission_classes = [permission(READ)]

    @extend_schema(responses=StandingSerializer(many=True))
    def list(self, request: Request) -> Response:
        """How each client stands today."""
        roles = roles_in(request)
        today = timezone.now().date()
        lines = [
            line
            for firm in LegalEntity.objects.filter(pk__in=roles.entities(READ)).order_by("code")
            for line in standings(firm, on=today)
            if is_of_desks(line.client, roles.desks(READ, firm.pk))
        ]
        return Response(StandingSerializer(lines, many=True).data)


def register(router: BaseRouter) -> None:
    """Add this resource to the API's router."""
    router.register("retention", RetentionViewSet, basename="retention")
