"""Approvals and the audit trail for programs: the same questions, acts and refusals as on screen.

Signing in is the session of the browser with its CSRF token; every number is a text.
"""

from typing import Any

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from accounts import approvals, trail
from accounts.approvals import UnknownActionError
from accounts.audit import RefusedError
from accounts.models import Act, Approval
from accounts.roles import DECIDE, one_of, permission, refusal, roles_in
from accounts.screens.record import FilterForm


class ApprovalSerializer(serializers.ModelSerializer[Approval]):
    """A request with its decision."""

    number = serializers.SerializerMethodField()
    legal_entity = serializers.CharField(source="legal_entity.code")
    action = serializers.CharField(source="action_id")
    title = serializers.CharField(source="action.title")
    maker = serializers.CharField(source="maker.username")
    checker = serializers.CharField(source="checker.username", allow_null=True, default=None)
    payload_sha256 = serializers.SerializerMethodField()
    state = serializers.SerializerMethodField()

    class Meta:
        model = Approval
        fields = [
            "id", "number", "legal_entity", "action", "title", "subject", "payload",
            "payload_sha256", "reason", "maker", "made_at", "expires_at", "state", "checker",
            "decision", "decision_reason", "decided_at", "used_at",
        ]  # fmt: skip
        read_only_fields = fields

    def get_number(self, approval: Approval) -> str:
        """The number people call it by."""
        return approvals.number_of(approval)

    def get_payload_sha256(self, approval: Approval) -> str:
        """The content the approval is bound to."""
        return bytes(approval.payload_sha256).hex()

    @extend_schema_field(serializers.ChoiceField(choices=approvals.State.choices))
    def get_state(self, approval: Approval) -> str:
        """Where it stands."""
        return approvals.state_of(approval, now=timezone.now()).value


class DecisionSerializer(serializers.Serializer[Any]):
    """A verdict and its reason."""

    verdict = serializers.ChoiceField(choices=Approval.Decision.choices)
    reason = serializers.CharField(min_length=10, max_length=2000)


class ApprovalViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Approval]
):
    """Requests for a second person's agreement, newest first."""

    queryset = approvals.requests()
    serializer_class = ApprovalSerializer
    permission_classes = [permission("approval.read")]

    def get_queryset(self) -> Any:  # noqa: ANN401
        """What this person may know of."""
        return approvals.visible(roles_in(self.request))

    @extend_schema(request=DecisionSerializer, responses=ApprovalSerializer)
    @action(detail=True, methods=["post"])
    def decide(self, request: Request, pk: str) -> Response:
        """Approve or reject, once; what is approved is applied at once, if its app applies it."""
        asked = self.get_object()
        http: Any = request._request
        if not approvals.may_decide(asked, http.operator, http.roles):
            raise PermissionDenied(no_decision_text(asked, operator_id=http.operator.pk))
        said = DecisionSerializer(data=request.data)
        said.is_valid(raise_exception=True)
        acts = {"actor": http.actor, "request_id": http.request_id}
        try:
            decided = approvals.decide(asked.pk, **said.validated_data, **acts)
            if decided.decision == Approval.Decision.APPROVED:
                approvals.apply_approved(decided, **acts)
        except UnknownActionError:
            pass  # whoever asked uses the approval; there is nothing to apply here
        except RefusedError as refused:
            answer = {"rule": refused.rule, "detail": refused.detail}
            return Response(answer, status=status.HTTP_409_CONFLICT)
        return Response(self.get_serializer(self.get_queryset().get(pk=asked.pk)).data)


def no_decision_text(asked: Approval, *, operator_id: int) -> str:
    """Why this person cannot decide, and who can."""
    if asked.maker_id == operator_id:
        names = one_of(approvals.deciders(asked)) or "Nobody else"
        return f"You made this request, so you cannot approve it. {names} can."
    act = f"{DECIDE}{asked.action_id}"
    return refusal(act, asked.legal_entity_id, besides=asked.maker_id)


class ActSerializer(serializers.ModelSerializer[Act]):
    """The header of a transaction that changed something."""

    transaction = serializers.CharField(source="xid")
    operator = serializers.CharField(source="operator.username", allow_null=True, default=None)

    class Meta:
        model = Act
        fields = [
            "transaction", "recorded_at", "actor", "operator", "channel", "request_id", "reason",
        ]  # fmt: skip
        read_only_fields = fields


class ActDetailSerializer(ActSerializer):
    """An act with what it changed."""

    block = serializers.SerializerMethodField()
    changes = serializers.SerializerMethodField()

    class Meta(ActSerializer.Meta):
        fields = [*ActSerializer.Meta.fields, "block", "changes"]
        read_only_fields = fields

    def get_block(self, act: Act) -> int | None:
        """The sealed block that covers it; null while the seal is pending."""
        return trail.blocks_of([act]).get(act.pk)

    @extend_schema_field(OpenApiTypes.OBJECT)
    def get_changes(self, act: Act) -> list[dict[str, Any]]:
        """Rows before and after; secrets and personal data only as changed."""
        return [
            {
                "verb": row.verb,
                "kind": row.kind,
                "name": row.name,
                "fields": [field._asdict() for field in row.fields],
            }
            for row in trail.changed_rows(act)
        ]


class AuditViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Act]):
    """The audit trail, newest first, with the filters of the screen."""

    queryset = Act.objects.all()
    serializer_class = ActSerializer
    permission_classes = [permission("audit.read")]
    lookup_value_regex = r"\d{1,19}"

    def get_queryset(self) -> Any:  # noqa: ANN401
        """What this person may read."""
        return trail.visible_acts(roles_in(self.request))

    @extend_schema(
        parameters=[
            OpenApiParameter(name, OpenApiTypes.STR)
            for name in ("actor", "q", "from_on", "to_on", "kind")
        ]
    )
    def list(self, request: Request, *args: object, **kwargs: object) -> Response:
        """Acts of the filter."""
        form = FilterForm(request.query_params)
        if not form.is_valid():
            raise serializers.ValidationError(form.errors.get_json_data())
        acts = trail.find_acts(form.asked(), roles=roles_in(request))
        page = self.paginate_queryset(acts)
        return self.get_paginated_response(ActSerializer(page, many=True).data)

    @extend_schema(responses=ActDetailSerializer)
    def retrieve(self, request: Request, *args: object, **kwargs: object) -> Response:
        """One act, before and after."""
        return Response(ActDetailSerializer(self.get_object()).data)


def register(router: BaseRouter) -> None:
    """Add these resources to the API's router."""
    router.register("approvals", ApprovalViewSet, basename="approval")
    router.register("audit", AuditViewSet, basename="audit")


__all__ = ["ApprovalViewSet", "AuditViewSet", "register"]
