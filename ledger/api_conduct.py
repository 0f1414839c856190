"""Letters, receipts, statements and residual interest for programs, and asking about them."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.parsers import FormParser, JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from accounts.api_fields import ExactText
from accounts.asking_api import AskedSerializer, ask_by_api, entity_of, http_of, sent
from accounts.roles import permission, roles_in
from ledger.api_times import TWO_TIMES, reading
from ledger.letters import letter_states
from ledger.locations import (
    CHANGE,
    CLOSE,
    LETTER,
    OPEN,
    request_change,
    request_closing,
    request_letter,
    request_opening,
)
from ledger.models import Location, SegregationStatement
from ledger.receipts import (
    ALLOCATION,
    RETURN,
    receipts_of,
    request_allocation,
    request_return,
)
from ledger.residual import TARGET, request_target
from ledger.residual_standing import standings
from ledger.screens.locations import desk_today
from ledger.screens.place_acts import (
    CloseForm,
    LetterForm,
    OpenForm,
    ParticularsForm,
    letter_typed,
    place_or_404,
)
from ledger.screens.receipts import AllocationForm, ReturnForm, day_of, receipt_or_404
from ledger.screens.residual import TargetForm
from ledger.transfers import action_of


class ReceiptSerializer(serializers.Serializer[Any]):
    """Money that came without an owner."""

    entry = serializers.IntegerField(source="entry_id")
    came_at = serializers.DateTimeField()
    reference = serializers.CharField()
    pool = serializers.CharField(source="pool.code")
    asset = serializers.CharField(source="asset.code")
    location = serializers.CharField(source="location.code")
    amount = ExactText()
    age = serializers.IntegerField()
    alarms = serializers.BooleanField()
    settled_by = serializers.IntegerField(allow_null=True)


class ReceiptViewSet(viewsets.GenericViewSet[Any]):
    """Receipts without an owner, and asking whose they are."""

    permission_classes = [permission("read")]
    serializer_class = ReceiptSerializer
    lookup_value_regex = r"\d{1,18}"

    @extend_schema(responses=ReceiptSerializer(many=True), parameters=TWO_TIMES)
    def list(self, request: Request) -> Response:
        """All receipts, oldest first, now or at a point."""
        with reading(request) as point:
            found = receipts_of(entity_of(request), today=day_of(point), point=point)
        return Response(ReceiptSerializer(found, many=True).data)

    @extend_schema(request=None, responses={201: AskedSerializer})
    @action(detail=True, methods=["post"])
    def allocate(self, request: Request, pk: str) -> Response:
        """Ask that it become one client's: `account`, `bucket`, `reason`."""
        http, receipt = http_of(request), receipt_or_404(http_of(request), int(pk))
        entity = receipt.pool.legal_entity
        return ask_by_api(
            request, AllocationForm(sent(request), entity=entity), action=action_of(ALLOCATION),
            entity=entity, do=lambda typed: request_allocation(
                receipt, bucket=typed["found"], reason=typed["reason"],
                effective_at=timezone.now(), actor=http.actor, request_id=http.request_id,
            ),
        )  # fmt: skip

    @extend_schema(request=None, responses={201: AskedSerializer})
    @action(detail=True, methods=["post"], url_path="return")
    def give_back(self, request: Request, pk: str) -> Response:
        """Ask that it go back: `reference`, `reason`."""
        http, receipt = http_of(request), receipt_or_404(http_of(request), int(pk))
        return ask_by_api(
            request, ReturnForm(sent(request)), action=action_of(RETURN),
            entity=receipt.pool.legal_entity, do=lambda typed: request_return(
                receipt, reason=typed["reason"], reference=typed["reference"].strip(),
                effective_at=timezone.now(), actor=http.actor, request_id=http.request_id,
            ),
        )  # fmt: skip


class LetterSerializer(serializers.Serializer[Any]):
    """How the letter of a location of client assets stands today."""

    id = serializers.IntegerField()
    location = serializers.CharField()
    tone = serializers.CharField()
    state = serializers.CharField()
    good_until = serializers.DateField(allow_null=True)
    reference = serializers.CharField()
    document = serializers.CharField(allow_null=True)


class PlaceViewSet(viewsets.GenericViewSet[Any]):
    """Letters of client locations; asking to open, change or close a location, or file a letter."""

    permission_classes = [permission("read")]
    serializer_class = LetterSerializer
    parser_classes = [JSONParser, FormParser, MultiPartParser]
    lookup_value_regex = r"\d{1,18}"

    @extend_schema(responses=LetterSerializer(many=True))
    def list(self, request: Request) -> Response:
        """Every open location of client assets with the state of its letter."""
        places = list(
            Location.objects.filter(
                pool__legal_entity=entity_of(request), pool__owner_class="CLIENT",
                closed_on__isnull=True,
            ).select_related("pool").order_by("code")
        )  # fmt: skip
        states = letter_states(places, today=desk_today())
        rows = [
            {
                "id": place.pk,
                "location": place.code,
                "tone": states[place.pk].tone,
                "state": states[place.pk].word,
                "good_until": states[place.pk].good_until,
                "reference": place.letter_reference,
                "document": getattr(states[place.pk].letter, "document_id", None),
            }
            for place in places
        ]
        return Response(LetterSerializer(rows, many=True).data)

    @extend_schema(request=None, responses={201: AskedSerializer})
    def create(self, request: Request) -> Response:
        """Ask that a location be opened; the fields are those of the screen."""
        http, entity = http_of(request), entity_of(request)
        form = OpenForm(sent(request), request.FILES, entity=entity)
        return ask_by_api(
            request, form, action=OPEN, entity=entity, do=lambda typed: request_opening(
                pool=typed["pool"], code=typed["code"].strip(), kind=typed["kind"],
                carries=list(typed["carries"]), particulars=form.particulars(),
                individual_client=typed["individual_client"], letter=letter_typed(typed),
                reason=typed["reason"], actor=http.actor, request_id=http.request_id,
            ),
        )  # fmt: skip

    @extend_schema(request=None, responses={201: AskedSerializer})
    @action(detail=True, methods=["post"])
    def change(self, request: Request, pk: str) -> Response:
        """Ask that it be called otherwise: all particulars, `reason`."""
        http, place = http_of(request), place_or_404(http_of(request), int(pk))
        form = ParticularsForm(sent(request))
        return ask_by_api(
            request, form, action=CHANGE, entity=place.pool.legal_entity,
            do=lambda typed: request_change(
                place, particulars=form.particulars(), reason=typed["reason"],
                actor=http.actor, request_id=http.request_id,
            ),
        )  # fmt: skip

    @extend_schema(request=None, responses={201: AskedSerializer})
    @action(detail=True, methods=["post"])
    def close(self, request: Request, pk: str) -> Response:
        """Ask that it be closed: `closed_on`, `reason`."""
        http, place = http_of(request), place_or_404(http_of(request), int(pk))
        return ask_by_api(
            request, CloseForm(sent(request)), action=CLOSE, entity=place.pool.legal_entity,
            do=lambda typed: request_closing(
                place, closed_on=typed["closed_on"], reason=typed["reason"],
                actor=http.actor, request_id=http.request_id,
            ),
        )  # fmt: skip

    @extend_schema(request=None, responses={201: AskedSerializer})
    @action(detail=True, methods=["post"])
    def letter(self, request: Request, pk: str) -> Response:
        """Ask that a letter be filed; the fields of the screen, `document` as multipart."""
        http, place = http_of(request), place_or_404(http_of(request), int(pk))

        def do(typed: Any) -> Any:  # noqa: ANN401
            letter = letter_typed(typed)
            assert letter is not None, "the form requires its parts"
            return request_letter(
                place, letter=letter, reason=typed["reason"], actor=http.actor,
                request_id=http.request_id,
            )  # fmt: skip

        return ask_by_api(
            request, LetterForm(sent(request), request.FILES), action=LETTER,
            entity=place.pool.legal_entity, do=do,
        )  # fmt: skip


class StatementSerializer(serializers.ModelSerializer[SegregationStatement]):
    """What a client pool held and owed at the end of a business day."""

    pool = serializers.CharField(source="pool.code")
    asset = serializers.CharField(source="asset.code")
    requirement = ExactText()
    resource = ExactText()
    unallocated = ExactText()
    residual_interest = ExactText()
    shortfall = ExactText()

    class Meta:
        model = SegregationStatement
        fields = [
            "business_day", "pool", "asset", "requirement", "resource", "unallocated",
            "residual_interest", "shortfall", "stated_at",
        ]  # fmt: skip
        read_only_fields = fields


class StatementViewSet(mixins.ListModelMixin, viewsets.GenericViewSet[SegregationStatement]):
    """Statements of segregation, newest first."""

    queryset = SegregationStatement.objects.all()
    serializer_class = StatementSerializer
    permission_classes = [permission("read")]

    def get_queryset(self) -> Any:  # noqa: ANN401
        """Statements of the legal entities this person reads."""
        entities = roles_in(self.request).entities("read")
        return (
            SegregationStatement.objects.filter(pool__legal_entity__in=entities)
            .select_related("pool", "asset")
            .order_by("-business_day", "pool__code", "asset__code")
        )


class StandingSerializer(serializers.Serializer[Any]):
    """What the firm may take of its residual interest in a pool, today or on the day of a point."""

    pool = serializers.CharField(source="pool.code")
    asset = serializers.CharField(source="asset.code")
    is_stated = serializers.BooleanField()
    due = serializers.DateField()
    now = ExactText()
    stated = ExactText()
    taken = ExactText()
    left_of_share = ExactText()
    target = ExactText()
    has_target = serializers.BooleanField()


class ResidualViewSet(viewsets.GenericViewSet[Any]):
    """Residual interest by pool and currency; asking for a target."""

    permission_classes = [permission("read")]
    serializer_class = StandingSerializer

    @extend_schema(responses=StandingSerializer(many=True), parameters=TWO_TIMES)
    def list(self, request: Request) -> Response:
        """Every client pool in each money it carries, now or at a point."""
        with reading(request) as point:
            found = standings(entity_of(request), day=day_of(point), point=point)
        return Response(StandingSerializer(found, many=True).data)

    @extend_schema(request=None, responses={201: AskedSerializer})
    @action(detail=False, methods=["post"])
    def target(self, request: Request) -> Response:
        """Ask for a target: `pool`, `asset`, `amount`, `effective_from`, `reason`."""
        http, entity = http_of(request), entity_of(request)
        return ask_by_api(
            request, TargetForm(sent(request), entity=entity, initial={}), action=TARGET,
            entity=entity, do=lambda typed: request_target(
                pool=typed["pool"], asset=typed["asset"], amount=typed["amount"],
                effective_from=typed["effective_from"], analysis=typed["reason"],
                actor=http.actor, request_id=http.request_id,
            ),
        )  # fmt: skip


def register(router: BaseRouter) -> None:
    """Add these resources to the API's router."""
    router.register("receipts", ReceiptViewSet, basename="receipt")
    router.register("letters", PlaceViewSet, basename="letter")
    router.register("statements-of-segregation", StatementViewSet, basename="segregation-statement")
    router.register("residual-interest", ResidualViewSet, basename="residual-interest")
