"""Requirements, marks and tasks for programs: the same figures and acts as on screen."""

from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from accounts.api_fields import ExactText
from accounts.roles import permission, roles_in
from margin.calls.api import MarginCallViewSet
from margin.explanation import as_json
from margin.levels import levels_json
from margin.models import MarginResult, MarginRun, Mark, Task
from margin.screens.visible import CALL_ACCOUNT, of_accounts, tasks_here


class MarginRunSerializer(serializers.ModelSerializer[MarginRun]):
    """A run and the hashes by which it can be computed again."""

    horizon = serializers.CharField(source="horizon.snapshot")

    class Meta:
        model = MarginRun
        fields = [
            "number", "business_day", "as_of", "purpose", "model", "model_version",
            "model_sha256", "parameters_sha256", "inputs_sha256", "result_sha256", "horizon",
            "scope_count", "finished_at",
        ]  # fmt: skip
        read_only_fields = fields


class MarginResultSerializer(serializers.ModelSerializer[MarginResult]):
    """What a run says of one scope."""

    account = serializers.CharField(source="scope.bucket.account.code")
    bucket = serializers.CharField(source="scope.bucket.code")
    agreement = serializers.CharField(source="agreement_version.agreement.code")
    agreement_version = serializers.IntegerField(source="agreement_version.version")
    equity = ExactText()
    initial_margin = ExactText()
    maintenance_margin = ExactText()
    call_amount = ExactText()
    levels = serializers.SerializerMethodField()

    class Meta:
        model = MarginResult
        fields = [
            "account", "bucket", "agreement", "agreement_version", "equity", "initial_margin",
            "maintenance_margin", "state", "call_amount", "flags", "levels",
        ]  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(OpenApiTypes.OBJECT)
    def get_levels(self, result: MarginResult) -> dict[str, Any] | None:
        """Each level as agreed, what was added and why; nothing where levels stay."""
        return levels_json(result)


class MarginRunViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[MarginRun]
):
    """Margin runs, newest first, their results, and the tree behind each result."""

    queryset = MarginRun.objects.select_related("horizon").order_by("-as_of", "-pk")
    serializer_class = MarginRunSerializer
    permission_classes = [permission("read")]
    lookup_field = "number"
    lookup_value_regex = r"[A-Z0-9-]{1,40}"

    def _results(self, run: MarginRun) -> Any:  # noqa: ANN401
        roles = roles_in(self.request)
        return (
            run.results.filter(of_accounts(roles, roles.entities("read"), path=CALL_ACCOUNT))
            .select_related(
                "scope__bucket__account", "agreement_version__agreement", "moved__call_terms"
            )
            .order_by("scope__bucket__account__code", "scope__bucket__code")
        )

    @extend_schema(responses=MarginResultSerializer(many=True))
    @action(detail=True)
    def results(self, request: Request, number: str) -> Response:
        """The results of one run, by account and bucket."""
        page = self.paginate_queryset(self._results(self.get_object()))
        return self.get_paginated_response(MarginResultSerializer(page, many=True).data)

    @extend_schema(responses=OpenApiTypes.OBJECT)
    @action(
        detail=True,
        url_path=r"explanation/(?P<account>[^/]{1,40})/(?P<bucket>[^/]{1,60})",
        url_name="explanation",
    )
    def explanation(self, request: Request, number: str, account: str, bucket: str) -> Response:
        """The tree from a result down to prices, parameters, agreement and postings."""
        found = self._results(self.get_object()).filter(
            scope__bucket__account__code=account, scope__bucket__code=bucket
        )
        return Response(as_json(get_object_or_404(found)))


class MarkSerializer(serializers.ModelSerializer[Mark]):
    """A mark and how it was composed."""

    asset = serializers.CharField(source="asset.code")
    price = ExactText()
    used = serializers.SerializerMethodField()
    dropped = serializers.SerializerMethodField()

    class Meta:
        model = Mark
        fields = [
            "asset",
            "business_day",
            "as_of",
            "price",
            "state",
            "used",
            "dropped",
            "revision",
            "note",
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_used(self, mark: Mark) -> list[str]:
        """Sources behind the mark."""
        return sorted(each["source"] for each in mark.used)

    @extend_schema_field(OpenApiTypes.OBJECT)
    def get_dropped(self, mark: Mark) -> list[dict[str, Any]]:
        """Prices left out, with the reason."""
        keys = ("source", "observed_at", "reason")
        return [{key: each[key] for key in keys} for each in mark.dropped]


class MarkViewSet(mixins.ListModelMixin, viewsets.GenericViewSet[Mark]):
    """Marks, newest day first, a correction before what it corrects; `?day=2018-02-06` for one
    business day.
    """

    queryset = Mark.objects.all()
    serializer_class = MarkSerializer
    permission_classes = [permission("read")]

    def get_queryset(self) -> Any:  # noqa: ANN401
        """Marks of the filter."""
        marks = Mark.objects.select_related("asset").order_by("-as_of", "asset__code", "-revision")
        day = self.request.query_params.get("day")
        if day is None:
            return marks
        return marks.filter(business_day=serializers.DateField().run_validation(day))

    @extend_schema(parameters=[OpenApiParameter("day", OpenApiTypes.DATE)])
    def list(self, request: Request, *args: object, **kwargs: object) -> Response:
        """Marks of the filter."""
        return super().list(request, *args, **kwargs)


class TaskSerializer(serializers.ModelSerializer[Task]):
    """Something that needs a person."""

    owner = serializers.CharField(source="owner.username", allow_null=True, default=None)

    class Meta:
        model = Task
        fields = [
            "id", "kind", "subject", "detail", "business_day", "owner_role", "owner", "opened_at",
            "due_at", "closed_at", "close_reason",
        ]  # fmt: skip
        read_only_fields = fields


class TaskViewSet(mixins.ListModelMixin, viewsets.GenericViewSet[Task]):
    """Open tasks, soonest due first."""

    queryset = Task.objects.all()
    serializer_class = TaskSerializer
    permission_classes = [permission("read")]

    def get_queryset(self) -> Any:  # noqa: ANN401
        """Tasks that this person may see."""
        here: Any = self.request._request
        open_ones = tasks_here(here).filter(closed_at__isnull=True)
        return open_ones.select_related("owner").order_by("due_at", "pk")


def register(router: BaseRouter) -> None:
    """Add these resources to the API's router."""
    router.register("margin-calls", MarginCallViewSet, basename="margin-call")
    router.register("margin-runs", MarginRunViewSet, basename="margin-run")
    router.register("marks", MarkViewSet, basename="mark")
    router.register("tasks", TaskViewSet, basename="task")
