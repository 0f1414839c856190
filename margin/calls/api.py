"""Calls for programs: the same figures, acts and refusals as on screen."""

from collections.abc import Callable
from typing import Any

from django import forms
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api_fields import ExactText
from accounts.asking_api import AskedSerializer, ask_by_api, http_of, sent
from accounts.audit import RefusedError
from accounts.clock import desk_zone
from accounts.roles import check, permission, roles_in
from accounts.screens.asking import AskForm
from margin.calls.acts import ACTS, CARRY_ON, carry_on
from margin.calls.disputes import (
    AGREE,
    DisputeRefusedError,
    open_dispute,
    request_agreement,
)
from margin.calls.initial import NoCallError
from margin.calls.promises import promise_payment
from margin.calls.reliefs import request_relief
from margin.levels import levels_json
from margin.models import CallEvent, MarginCall
from margin.screens.carrying import ExtendForm, account_of
from margin.screens.claims import AgreeForm, DisputeForm, PromiseForm
from margin.screens.initial_calls import InitialCallForm, drafted
from margin.screens.visible import CALL_ACCOUNT, check_account, entity_here, of_accounts


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
    levels = serializers.SerializerMethodField()
    owner = serializers.CharField(source="owner.username", allow_null=True, default=None)
    acknowledged_by = serializers.CharField(
        source="acknowledged_by.username", allow_null=True, default=None
    )

    class Meta:
        model = MarginCall
        fields = [
            "number", "account", "bucket", "kind", "state", "amount", "currency", "equity",
            "initial_margin", "maintenance_margin", "margin_state", "levels", "business_day",
            "issued_at", "due_at", "owner", "acknowledged_at", "acknowledged_by", "ended_at",
            "end_reason",
        ]  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(OpenApiTypes.OBJECT)
    def get_levels(self, call: MarginCall) -> dict[str, Any] | None:
        """Each level as agreed, what was added and why; nothing where levels stay."""
        return levels_json(call.last_result)


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
            "scope__bucket__account", "last_result__agreement_version",
            "last_result__moved__call_terms", "owner", "acknowledged_by",
        )  # fmt: skip
        if self.request.query_params.get("open") == "true":
            calls = calls.open()
        return calls.order_by("-issued_at", "number")

    @extend_schema(parameters=[OpenApiParameter("open", OpenApiTypes.BOOL)])
    def list(self, request: Request, *args: object, **kwargs: object) -> Response:
        """Calls of the filter."""
        return super().list(request, *args, **kwargs)

    @extend_schema(request=None, responses={201: MarginCallSerializer})
    def create(self, request: Request) -> Response:
        """Draft an initial call: `scope`, `deficiency`, `trade_day`, `reason`."""
        http = http_of(request)
        check(http, CARRY_ON, entity_here(http))
        form = InitialCallForm(sent(request))
        if not form.is_valid():
            return Response(form.errors.get_json_data(), status=422)
        try:
            call = drafted(http, form)
        except NoCallError as none:
            return Response({"detail": str(none)}, status=422)
        except RefusedError as refused:
            answer = {"rule": refused.rule, "detail": refused.detail}
            return Response(answer, status=status.HTTP_409_CONFLICT)
        return Response(self.get_serializer(self.get_queryset().get(pk=call.pk)).data, status=201)

    @extend_schema(responses=MarginCallDetailSerializer)
    def retrieve(self, request: Request, *args: object, **kwargs: object) -> Response:
        """One call with its history."""
        return Response(MarginCallDetailSerializer(self.get_object()).data)

    @extend_schema(request=AcknowledgementSerializer, responses=MarginCallSerializer)
    @action(detail=True, methods=["post"])
    def acknowledge(self, request: Request, number: str) -> Response:
        """Record that the client acknowledged the call, once."""
        return self._carried(request, "acknowledge")

    @extend_schema(request=AcknowledgementSerializer, responses=MarginCallSerializer)
    @action(detail=True, methods=["post"], url_path=r"acts/(?P<act>[a-z]{1,20})", url_name="carry")
    def carry(self, request: Request, number: str, act: str) -> Response:
        """Take one step of the call's life: `issue`, `withdraw`, `deliver`, `fail`, `acknowledge`,
        `expire`, `escalate`, `liquidate` or `close`; 409 with the rule where it has no such step.
        """
        if act not in ACTS:
            return Response({"detail": "There is no such act."}, status=404)
        return self._carried(request, act)

    def _carried(self, request: Request, act: str) -> Response:
        call = self.get_object()
        http = http_of(request)
        check_account(http, ACTS[act].right, account_of(call))
        said = AcknowledgementSerializer(data=request.data)
        said.is_valid(raise_exception=True)
        try:
            carry_on(
                call.number,
                act,
                actor=http.actor,
                words=said.validated_data["words"],
                request_id=http.request_id,
            )
        except RefusedError as refused:
            answer = {"rule": refused.rule, "detail": refused.detail}
            return Response(answer, status=status.HTTP_409_CONFLICT)
        return Response(self.get_serializer(self.get_queryset().get(pk=call.pk)).data)

    @extend_schema(request=None, responses={201: AskedSerializer})
    @action(detail=True, methods=["post"], url_path=r"relief/(?P<kind>extend|waive)")
    def relief(self, request: Request, number: str, kind: str) -> Response:
        """Ask a second person for more time (`until`, `reason`), or to waive (`reason`)."""
        call, http = self.get_object(), http_of(request)
        form_type = ExtendForm if kind == "extend" else AskForm
        entity = account_of(call).legal_entity
        return ask_by_api(
            request, form_type(sent(request)), action=f"call.{kind}", entity=entity,
            do=lambda typed: request_relief(
                call, kind=kind, until=typed.get("until"), legal_entity=entity,
                reason=typed["reason"], actor=http.actor, request_id=http.request_id,
            ),
        )  # fmt: skip

    @extend_schema(request=None, responses={201: AskedSerializer})
    @action(detail=True, methods=["post"])
    def agree(self, request: Request, number: str) -> Response:
        """Ask a second person that a disputed call come to an amount: `agreed`, `reason`."""
        call, http = self.get_object(), http_of(request)
        entity = account_of(call).legal_entity
        return ask_by_api(
            request, AgreeForm(sent(request)), action=AGREE, entity=entity,
            do=lambda typed: request_agreement(
                call, agreed=typed["agreed"], legal_entity=entity, reason=typed["reason"],
                actor=http.actor, request_id=http.request_id,
            ),
        )  # fmt: skip

    @extend_schema(request=None, responses=MarginCallSerializer)
    @action(detail=True, methods=["post"])
    def dispute(self, request: Request, number: str) -> Response:
        """Take the client's dispute: `undisputed`, `why`, `words`, and the file `file`."""
        form, http = DisputeForm(sent(request), request.FILES), http_of(request)
        return self._claimed(
            request, form, lambda: open_dispute(
                number, form.claim(), actor=http.actor, request_id=http.request_id
            ),
        )  # fmt: skip

    @extend_schema(request=None, responses=MarginCallSerializer)
    @action(detail=True, methods=["post"])
    def promise(self, request: Request, number: str) -> Response:
        """Record a promise or a transfer: `kind`, `amount`, `pay_by`, `reference`, `words`."""
        form, http = PromiseForm(sent(request)), http_of(request)

        def do() -> object:
            typed = form.cleaned_data
            return promise_payment(
                number, kind=typed["kind"], amount=typed["amount"], words=typed["words"],
                pay_by=typed["pay_by"].replace(tzinfo=desk_zone()), reference=typed["reference"],
                actor=http.actor, request_id=http.request_id,
            )  # fmt: skip

        return self._claimed(request, form, do)

    def _claimed(self, request: Request, form: forms.Form, do: Callable[[], object]) -> Response:
        call = self.get_object()
        check_account(http_of(request), CARRY_ON, account_of(call))
        if not form.is_valid():
            return Response(form.errors.get_json_data(), status=422)
        try:
            do()
        except DisputeRefusedError as refused:
            return Response({"rule": refused.rule, "detail": str(refused)}, status=422)
        except RefusedError as refused:
            answer = {"rule": refused.rule, "detail": refused.detail}
            return Response(answer, status=status.HTTP_409_CONFLICT)
        return Response(self.get_serializer(self.get_queryset().get(pk=call.pk)).data)
