"""Clients' statements for programs: take one out, list what was given out, get it again."""

from typing import Any

from django.http import Http404, HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from accounts.audit import acting
from accounts.roles import permission
from brokerage.client_statements import (
    NAME,
    WRITERS,
    StatementRefusedError,
    keep,
    made_again,
    period_of,
    point_for,
    write_statement,
)
from brokerage.models import ReportFile
from brokerage.screens.statements import (
    EXPORT,
    check_client,
    clients_here,
    entity_here,
    file_answer,
    kept_or_404,
)

LISTED_MAX = 500


class AskedStatementSerializer(serializers.Serializer[Any]):
    """Which statement is taken out."""

    client = serializers.CharField(max_length=40)
    period = serializers.CharField(max_length=10)
    format = serializers.ChoiceField(choices=list(WRITERS), default="csv")
    known_at = serializers.DateTimeField(required=False, allow_null=True, default=None)


class StatementViewSet(viewsets.ViewSet):
    """Statements of clients that were given out."""

    permission_classes = [permission(EXPORT)]
    lookup_value_regex = r"\d{1,18}"

    @extend_schema(
        operation_id="client_statements_list",
        parameters=[
            OpenApiParameter("client", OpenApiTypes.STR, required=True),
            OpenApiParameter("period", OpenApiTypes.STR),
        ],
        responses=OpenApiTypes.OBJECT,
    )
    def list(self, request: Request) -> Response:
        """What was given out of one client, the newest first."""
        asked: Any = request
        code = request.query_params.get("client", "")
        client = clients_here(asked).filter(code=code).first()
        if client is None:
            raise Http404
        check_client(asked, client)
        files = ReportFile.objects.filter(
            name=NAME, manifest__client=code, manifest__legal_entity=entity_here(asked).code
        )
        if "period" in request.query_params:
            files = files.filter(manifest__period=request.query_params["period"])
        listed = files.order_by("-pk")[:LISTED_MAX]
        return Response([{"id": each.pk, **each.manifest} for each in listed])

    @extend_schema(request=AskedStatementSerializer, responses=OpenApiTypes.OBJECT)
    def create(self, request: Request) -> Response:
        """Take one out: its manifest is kept, its bytes are at `file/`."""
        asked: Any = request
        said = AskedStatementSerializer(data=request.data)
        said.is_valid(raise_exception=True)
        wanted = said.validated_data
        client = clients_here(asked).select_related("legal_entity").filter(code=wanted["client"])
        found = client.first()
        if found is None:
            raise Http404
        check_client(asked, found)
        try:
            made = write_statement(
                found, period_of(wanted["period"]), file_format=wanted["format"],
                point=point_for(wanted["known_at"]),
            )  # fmt: skip
        except StatementRefusedError as refused:
            return Response({"detail": str(refused)}, status=status.HTTP_409_CONFLICT)
        reason = f"Took out statement {wanted['period']} of client {found.code}"
        with acting(asked.actor, reason=reason, request_id=asked.request_id):
            (kept,) = keep([made])
        return Response({"id": kept.pk, **kept.manifest}, status=status.HTTP_201_CREATED)

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def retrieve(self, request: Request, pk: str) -> Response:
        """The manifest of one."""
        asked: Any = request
        kept = kept_or_404(asked, int(pk))
        return Response({"id": kept.pk, **kept.manifest})

    @extend_schema(responses=OpenApiTypes.BINARY)
    @action(detail=True)
    def file(self, request: Request, pk: str) -> HttpResponse:
        """The file, made again from its horizon."""
        asked: Any = request
        try:
            return file_answer(made_again(kept_or_404(asked, int(pk))))
        except StatementRefusedError as refused:
            return Response({"detail": str(refused)}, status=status.HTTP_409_CONFLICT)


def register(router: BaseRouter) -> None:
    """Add this resource to the API's router."""
    router.register("client-statements", StatementViewSet, basename="client-statement")
