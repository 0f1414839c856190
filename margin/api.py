"""Calls, requirements, marks and tasks for programs: the same figures and acts as on screen."""

from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from accounts.api_fields import ExactText
from accounts.audit import RefusedError
from accounts.roles import permission, refusal, roles_in
from margin.calls import StaleCallError, acknowledge_call
from margin.explanation import as_json
from margin.models import CallEvent, MarginCall, MarginResult, MarginRun, Mark, Task
from margin.screens.visible import CALL_ACCOUNT, of_accounts, tasks_here


class CallEventSerializer(serializers.ModelSerializer[CallEvent]):
    """A step in the life of a call."""

    amount_before = ExactText()
    amount_after = ExactText()

    class Meta:
        model = CallEvent
        fields = [
            "event", "from_state", "to_state", "occurred_at", "amount_before", "amount_after",
            "text",
        ]  # fmt: skip
        read_only_fields = fields


class MarginCallSerializer(serializers.ModelSerializer[MarginCall]):
    """A margin call as it stands."""

    account = serializers.CharField(source="scope.bucket.account.code")
    bucket = serializers.CharField(source="scope.bucket.code")
    amount = ExactText()
    equity = ExactText(source="last_result.equity")
    initial_margin = ExactText(source="last_result.initial_margin")
    maintenance_margin = ExactText(source="last_result.maintenance_margin")
    margin_state = serializers.CharField(source="last_result.state")
    owner = serializers.CharField(source="owner.username", allow_null=True, default=None)
    acknowledged_by = serializers.CharField(
        source="acknowledged_by.username", allow_null=True, default=None
    )

    class Meta:
        model = MarginCall
        fields = [
            "number", "account", "bucket", "kind", "state", "amount", "currency", "equity",
            "initial_margin", "maintenance_margin", "margin_state", "business_day", "issued_at",
            "due_at", "owner", "acknowledged_at", "acknowledged_by", "ended_at", "end_reason",
        ]  # fmt: skip
        read_only_fields = fields


class MarginCallDetailSerializer(MarginCallSerializer):
    """A margin call with its history."""

    events = CallEventSerializer(many=True)

    class Meta(MarginCallSerializer.Meta):
        fields = [*MarginCallSerializer.Meta.fields, "events"]
        read_only_fields = fields


class AcknowledgementSerializer(serializers.Serializer[Any]):
    """What the client said."""

    words = serializers.CharField(max_length=2000)


class MarginCallViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[MarginCall]
):
    """Margin calls, newest first; `?open=true` leaves out those that ended."""

    queryset = MarginCall.objects.all()
    serializer_class = MarginCallSerializer
    permission_classes = [permission("read")]
    lookup_field = "number"
    lookup_value_regex = r"[A-Z0-9-]{1,40}"

    def get_queryset(self) -> Any:  # noqa: ANN401
        """Calls of the accounts this person reads."""
        roles = roles_in(self.request)
        mine = of_accounts(roles, roles.entities("read"), path=CALL_ACCOUNT)
        calls = MarginCall.objects.filter(mine).select_related(
            "scope__bucket__account", "last_result", "owner", "acknowledged_by"
        )
        if self.request.query_params.get("open") == "true":
            calls = calls.open()
        return calls.order_by("-issued_at", "number")

    @extend_schema(parameters=[OpenApiParameter("open", OpenApiTypes.BOOL)])
    def list(self, request: Request, *args: object, **kwargs: object) -> Response:
        """Calls of the filter."""
        return super().list(request, *args, **kwargs)

    @extend_schema(responses=MarginCallDetailSerializer)
    def retrieve(self, request: Request, *args: object, **kwargs: object) -> Response:
        """One call with its history."""
        return Response(MarginCallDetailSerializer(self.get_object()).data)

    @extend_schema(request=AcknowledgementSerializer, responses=MarginCallSerializer)
    @action(detail=True, methods=["post"])
    def acknowledge(self, request: Request, number: str) -> Response:
        """Record that the client acknowledged the call, once."""
        call = self.get_object()
        assert call.scope.bucket is not None, "calls are made on buckets"
        http: Any = request._request
        entity = call.scope.bucket.account.legal_entity_id
        if not http.roles.may("call.acknowledge", entity):
            raise PermissionDenied(refusal("call.acknowledge", entity))
        said = AcknowledgementSerializer(data=request.data)
        said.is_valid(raise_exception=True)
        try:
            acknowledge_call(
                call.number,
                actor=http.actor,
                words=said.validated_data["words"],
                request_id=http.request_id,
            )
        except StaleCallError as stale:
            answer = {"rule": "call_is_delivered", "detail": str(stale)}
            return Response(answer, status=status.HTTP_409_CONFLICT)
        except RefusedError as refused:
            answer = {"rule": refused.rule, "detail": refused.detail}
            return Response(answer, status=status.HTTP_409_CONFLICT)
        return Response(self.get_serializer(self.get_queryset().get(pk=call.pk)).data)


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

    class Meta:
        model = MarginResult
        fields = [
            "account", "bucket", "agreement", "agreement_version", "equity", "initial_margin",
            "maintenance_margin", "state", "call_amount", "flags",
        ]  # fmt: skip
        read_only_fields = fields


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
            .select_related("scope__bucket__account", "agreement_version__agreement")
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
