"""Business days and reports for programs."""

from datetime import date, datetime
from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from accounts.models import LegalEntity
from accounts.roles import permission, roles_in
from brokerage.models import BusinessDay
from brokerage.reports import CATALOGUE, ReportRefusedError, write_report
from brokerage.restatement import as_json, restatement
from ledger.api_times import TWO_TIMES, point_asked
from ledger.times import TimeRefusedError, parsed_date, parsed_instant


class BusinessDaySerializer(serializers.ModelSerializer[BusinessDay]):
    """A business day and how far it got."""

    class Meta:
        model = BusinessDay
        fields = ["day", "as_of", "content_sha256", "opened_at", "closed_at"]
        read_only_fields = fields


class BusinessDayViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[BusinessDay]
):
    """Business days, newest first, with their result."""

    queryset = BusinessDay.objects.all()
    serializer_class = BusinessDaySerializer
    permission_classes = [permission("read")]
    lookup_field = "day"
    lookup_value_regex = r"\d{4}-\d{2}-\d{2}"

    def get_queryset(self) -> Any:  # noqa: ANN401
        """Days of the legal entities this person reads."""
        entities = roles_in(self.request).entities("read")
        return BusinessDay.objects.filter(legal_entity__in=entities).order_by("-day")

    @extend_schema(responses=OpenApiTypes.OBJECT)
    @action(detail=True)
    def result(self, request: Request, day: str) -> Response:
        """The result of the day in the layout golden-day/1; null until it is closed."""
        return Response(self.get_object().result)


class ReportViewSet(viewsets.ViewSet):
    """Reports of closed business days."""

    permission_classes = [permission("report.export")]
    lookup_field = "name"
    lookup_value_regex = r"[a-z-]{1,40}"

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def list(self, request: Request) -> Response:
        """Every report there is."""
        return Response(
            [
                {"name": each.name, "title": each.title, "purpose": each.purpose}
                for each in CATALOGUE.values()
            ]
        )

    @extend_schema(
        parameters=[
            OpenApiParameter("date", OpenApiTypes.DATE, required=True),
            OpenApiParameter("as", OpenApiTypes.STR, enum=["csv", "json", "manifest"]),
            *TWO_TIMES,
        ],
        responses=OpenApiTypes.BINARY,
    )
    def retrieve(self, request: Request, name: str) -> HttpResponse:
        """One report of one day, or its manifest."""
        report = CATALOGUE.get(name)
        if report is None:
            return Response(status=status.HTTP_404_NOT_FOUND)
        wanted = request.query_params.get("as", "json")
        day: date = serializers.DateField().run_validation(request.query_params.get("date"))
        as_of, known_at = times_asked(request)
        try:
            written = write_report(
                report,
                day=day,
                file_format="json" if wanted == "manifest" else wanted,
                known_at=known_at,
                as_of=as_of,
            )
        except ReportRefusedError as refused:
            return Response({"detail": str(refused)}, status=status.HTTP_409_CONFLICT)
        if wanted == "manifest":
            return Response(written.manifest)
        answer = HttpResponse(written.content, content_type=written.content_type)
        answer["Content-Disposition"] = f'attachment; filename="{written.file_name}"'
        return answer


def times_asked(request: Request) -> tuple[date | None, datetime | None]:
    """The two times that the address names.

    Raises:
        ValidationError: (400) one of them is none, or nothing can be read there.
    """
    point_asked(request)
    as_of = request.query_params.get("as_of", "")
    known_at = request.query_params.get("known_at", "")
    return (
        parsed_date(as_of) if as_of else None,
        parsed_instant(known_at) if known_at else None,
    )


class RestatementViewSet(viewsets.ViewSet):
    """What became known of a business date between two times."""

    permission_classes = [permission("report.export")]

    @extend_schema(
        parameters=[
            OpenApiParameter("as_of", OpenApiTypes.DATE, required=True),
            OpenApiParameter("from", OpenApiTypes.DATETIME, required=True),
            OpenApiParameter("to", OpenApiTypes.DATETIME, description="now if missing"),
        ],
        responses=OpenApiTypes.OBJECT,
    )
    def list(self, request: Request) -> Response:
        """Late entries, and the cells of every report that each moved."""
        entity: LegalEntity = request.legal_entity  # type: ignore[attr-defined]
        asked = request.query_params
        try:
            found = restatement(
                as_of=parsed_date(asked.get("as_of", "")),
                earlier=parsed_instant(asked.get("from", "")),
                later=parsed_instant(asked["to"]) if asked.get("to") else None,
                entity_id=entity.pk,
            )
        except TimeRefusedError as refused:
            raise serializers.ValidationError({"detail": str(refused)}) from refused
        return Response(as_json(found))


def register(router: BaseRouter) -> None:
    """Add these resources to the API's router."""
    router.register("business-days", BusinessDayViewSet, basename="business-day")
    router.register("reports", ReportViewSet, basename="report")
    router.register("restatements", RestatementViewSet, basename="restatement")
