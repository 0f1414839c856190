"""Rules of moves, clients held apart, obligations and money in transit, for programs."""

from datetime import date
from typing import Any

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from accounts.api_fields import ExactText
from accounts.audit import RefusedError
from accounts.roles import REQUEST, check, permission
from ledger.api_times import TWO_TIMES, reading
from ledger.bucket_moves import matrix
from ledger.debts import REGISTER, bound_party, claiming_party, request_obligation
from ledger.individual import own_lines, reconcile_alone
from ledger.models import Asset, ClientReconciliation, Obligation
from ledger.screens.debts import UnknownPartyError, asked_of, obligations_here
from ledger.screens.individual import RECONCILE, client_or_404, clients_here
from ledger.screens.visible import entity_here
from ledger.times import as_known
from ledger.transit import book_day, transit_lots


class MoveRuleSerializer(serializers.Serializer[Any]):
    """What a move between two roles needs."""

    from_role = serializers.CharField()
    to_role = serializers.CharField()
    guard = serializers.CharField()
    since = serializers.DateField(allow_null=True)


class MoveRuleViewSet(viewsets.ViewSet):
    """The matrix of roles; `?day=2026-02-05` as it holds on a day."""

    permission_classes = [permission("read")]

    @extend_schema(
        responses=MoveRuleSerializer(many=True),
        parameters=[OpenApiParameter("day", OpenApiTypes.DATE)],
    )
    def list(self, request: Request) -> Response:
        """Every pair of roles."""
        asked = request.query_params.get("day")
        day: date = timezone.now().date()
        if asked is not None:
            day = serializers.DateField().run_validation(asked)
        return Response(MoveRuleSerializer(list(matrix(day).values()), many=True).data)


class ReconciliationSerializer(serializers.ModelSerializer[ClientReconciliation]):
    """One client's own locations against the book."""

    client = serializers.CharField(source="client.code")
    is_signed = serializers.SerializerMethodField()

    class Meta:
        model = ClientReconciliation
        fields = [
            "id", "client", "business_day", "number", "lines", "open_breaks", "is_whole",
            "is_signed",
        ]  # fmt: skip
        read_only_fields = fields

    def get_is_signed(self, found: ClientReconciliation) -> bool:
        """Whether two people signed it."""
        return hasattr(found, "signature")


class DaySerializer(serializers.Serializer[Any]):
    """Which business day."""

    business_day = serializers.DateField()


class IndividualViewSet(viewsets.ViewSet):
    """Clients held apart: what their own locations hold and what they are owed."""

    permission_classes = [permission("read")]
    lookup_value_regex = r"[^/]{1,40}"

    @extend_schema(parameters=TWO_TIMES, responses=OpenApiTypes.OBJECT)
    def list(self, request: Request) -> Response:
        """Every line of every client that is held apart today, now or at a point."""
        with reading(request) as point:
            clients = clients_here(request._request)  # type: ignore[arg-type]
            if point is not None:
                clients = as_known(clients, point)
            lines = own_lines(clients, point=point)
        return Response(
            [
                {
                    "client": line.client.code,
                    "is_held_apart": line.client.is_individually_segregated,
                    "asset": line.asset,
                    "held": {place: format(held, "f") for place, held in line.held.items()},
                    "owed": format(line.owed, "f"),
                    "over": format(line.over, "f"),
                    "is_whole": line.is_whole,
                }
                for line in lines
            ]
        )

    @extend_schema(request=DaySerializer, responses=ReconciliationSerializer)
    @action(detail=True, methods=["post"])
    def reconcile(self, request: Request, pk: str) -> Response:
        """Compare one client's own locations with the book, alone."""
        http: Any = request._request
        client = client_or_404(http, pk)
        check(http, RECONCILE, entity_here(http))
        said = DaySerializer(data=request.data)
        said.is_valid(raise_exception=True)
        try:
            found = reconcile_alone(
                client, business_day=said.validated_data["business_day"], actor=http.actor,
                reason="Reconciliation of one client", request_id=http.request_id,
            )  # fmt: skip
        except RefusedError as refused:
            return refusal_answer(refused)
        return Response(ReconciliationSerializer(found).data, status=status.HTTP_201_CREATED)


def refusal_answer(refused: RefusedError) -> Response:
    """409 with the rule's id."""
    answer = {"rule": refused.rule, "detail": refused.detail}
    return Response(answer, status=status.HTTP_409_CONFLICT)


class ObligationSerializer(serializers.ModelSerializer[Obligation]):
    """A loan, a guarantee or a pledge."""

    by = serializers.SerializerMethodField()
    to = serializers.SerializerMethodField()
    secures = serializers.CharField(source="secures_account.code", allow_null=True, default=None)
    bucket = serializers.CharField(source="bucket.code", allow_null=True, default=None)
    asset = serializers.CharField(source="asset.code")
    amount = ExactText()
    ended_on = serializers.DateField(source="end.ended_on", allow_null=True, default=None)

    class Meta:
        model = Obligation
        fields = [
            "id", "reference", "kind", "by", "to", "secures", "bucket", "asset", "amount",
            "effective_on", "ended_on",
        ]  # fmt: skip
        read_only_fields = fields

    def get_by(self, row: Obligation) -> str:
        """Who is bound."""
        return str(bound_party(row))

    def get_to(self, row: Obligation) -> str:
        """Who may claim it."""
        return str(claiming_party(row))


class AskedObligationSerializer(serializers.Serializer[Any]):
    """An obligation as it is asked for; parties as `account A1`, `client C1`, `firm MAIN`."""

    kind = serializers.ChoiceField(choices=Obligation.Kind.choices)
    reference = serializers.CharField(max_length=60)
    by = serializers.CharField(max_length=80)
    to = serializers.CharField(max_length=80)
    secures = serializers.CharField(max_length=40, required=False, default="")
    bucket = serializers.CharField(max_length=60, required=False, default="")
    asset = serializers.SlugRelatedField(
        slug_field="code", queryset=Asset.objects.exclude(kind="derivative")
    )
    amount = serializers.DecimalField(max_digits=40, decimal_places=18)
    effective_on = serializers.DateField()
    reason = serializers.CharField(min_length=10, max_length=2000)


class ObligationViewSet(viewsets.ViewSet):
    """The register of debts; a new one waits for a second person."""

    permission_classes = [permission("read")]

    @extend_schema(responses=ObligationSerializer(many=True))
    def list(self, request: Request) -> Response:
        """The register, newest first."""
        rows = obligations_here(request._request).order_by("-pk")  # type: ignore[arg-type]
        return Response(ObligationSerializer(rows, many=True).data)

    @extend_schema(request=AskedObligationSerializer, responses=OpenApiTypes.OBJECT)
    def create(self, request: Request) -> Response:
        """Ask that an obligation be registered; 409 with the rule's id where it cannot be."""
        http: Any = request._request
        entity = entity_here(http)
        check(http, f"{REQUEST}{REGISTER}", entity)
        said = AskedObligationSerializer(data=request.data)
        said.is_valid(raise_exception=True)
        typed = said.validated_data
        try:
            approval = request_obligation(
                asked_of(typed, entity=entity), legal_entity=entity, reason=typed["reason"],
                actor=http.actor, request_id=http.request_id,
            )  # fmt: skip
        except UnknownPartyError as unknown:
            raise NotFound(f"{unknown.field}: {unknown}") from unknown
        except RefusedError as refused:
            return refusal_answer(refused)
        return Response({"approval": str(approval)}, status=status.HTTP_202_ACCEPTED)


class LotSerializer(serializers.Serializer[Any]):
    """Money on its way."""

    pool = serializers.CharField()
    asset = serializers.CharField()
    entry_id = serializers.IntegerField()
    left_on = serializers.DateField()
    reference = serializers.CharField()
    sent = ExactText()
    open = ExactText()
    age = serializers.IntegerField()
    alarms_after = serializers.IntegerField()
    is_late = serializers.BooleanField()


class TransitViewSet(viewsets.ViewSet):
    """Money on its way, the oldest first."""

    permission_classes = [permission("read")]

    @extend_schema(responses=LotSerializer(many=True), parameters=TWO_TIMES)
    def list(self, request: Request) -> Response:
        """Every lot that has not arrived, now or at a point."""
        entity = entity_here(request._request)  # type: ignore[arg-type]
        with reading(request) as point:
            lots = transit_lots(book_day(point), entities=[entity.pk], point=point)
        return Response(LotSerializer(lots, many=True).data)


def register(router: BaseRouter) -> None:
    """Add these resources to the API's router."""
    router.register("move-rules", MoveRuleViewSet, basename="move-rule")
    router.register("individual-clients", IndividualViewSet, basename="individual-client")
    router.register("obligations", ObligationViewSet, basename="obligation")
    router.register("transit", TransitViewSet, basename="transit")
