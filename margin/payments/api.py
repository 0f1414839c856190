"""Withdrawals, payment files and instructions for programs: the same forms, acts and refusals."""

import base64
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from accounts.api_fields import ExactText
from accounts.approvals import AskRefusedError
from accounts.asking_api import AskedSerializer, ask_by_api, entity_of, http_of, sent
from accounts.audit import RefusedError
from accounts.models import Client, PaymentInstruction
from accounts.payees import SET, as_payee, request_end, request_instruction
from accounts.personal import ErasedPersonError
from accounts.roles import REQUEST, check, permission
from accounts.screens.asking import AskForm
from ledger.models import Payment, PaymentFile
from ledger.pain import CannotOrderError
from ledger.payment_files import ABANDON, record_sent, request_abandon, write_files
from ledger.payments import OUTCOME, PAY, State
from margin.api_buckets import conflict
from margin.payments.outcomes import OUTCOMES, request_outcome
from margin.payments.reports import ReportTooLargeError, read_report
from margin.payments.withdrawals import Withdrawal, cancel_withdrawal, look, request_withdrawal
from margin.screens.instructions import InstructionForm, instructions_here
from margin.screens.payment_files import FILE, WriteForm, file_or_404, files_here
from margin.screens.withdrawals import (
    OutcomeForm,
    WithdrawalForm,
    account_named,
    payment_or_404,
    payments_here,
)

UNFIT = status.HTTP_422_UNPROCESSABLE_ENTITY


class PaymentSerializer(serializers.ModelSerializer[Payment]):
    """A withdrawal as it stands, with what the gate said of it."""

    account = serializers.CharField(source="bucket.account.code")
    bucket = serializers.CharField(source="bucket.code")
    asset = serializers.CharField(source="asset.code")
    amount = ExactText()
    free_amount = ExactText()
    location = serializers.CharField(source="location.code")
    instruction = serializers.CharField(source="instruction.code")

    class Meta:
        model = Payment
        fields = [
            "id", "key", "account", "bucket", "asset", "amount", "location", "instruction",
            "pay_on", "end_to_end_id", "state", "note", "binding_term", "free_amount", "terms",
            "approval", "hold_entry", "paid_entry", "return_entry", "return_code",
            "requested_at",
        ]  # fmt: skip
        read_only_fields = fields


class PaymentViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Payment]
):
    """Withdrawals from the request to the bank's line, the newest first."""

    queryset = Payment.objects.none()
    serializer_class = PaymentSerializer
    permission_classes = [permission("read")]
    lookup_value_regex = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"

    def get_queryset(self) -> Any:  # noqa: ANN401
        """Payments that this person may see."""
        found = payments_here(http_of(self.request)).order_by("-requested_at", "-pk")
        asked = self.request.query_params.get("state", "")
        return found.filter(state=asked) if asked else found

    @extend_schema(parameters=[OpenApiParameter("state", OpenApiTypes.STR)])
    def list(self, request: Request, *args: object, **kwargs: object) -> Response:
        """Payments of the filter."""
        return super().list(request, *args, **kwargs)

    def _asked(self, request: Request) -> tuple[WithdrawalForm, Withdrawal] | Response:
        http = http_of(request)
        check(http, f"{REQUEST}{PAY}", entity_of(request))
        said = sent(request)
        account = account_named(http, said.get("account", ""))
        if account is None:
            raise NotFound("There is no such account of a client.")
        form = WithdrawalForm(said, account=account)
        if not form.is_valid():
            return Response(form.errors.get_json_data(), status=UNFIT)
        return form, form.asked()

    @extend_schema(request=OpenApiTypes.OBJECT, responses=OpenApiTypes.OBJECT)
    @action(detail=False, methods=["post"])
    def preview(self, request: Request) -> Response:
        """What may leave, term by term, and whether this would be released."""
        asked = self._asked(request)
        if isinstance(asked, Response):
            return asked
        seen = look(asked[1])
        return Response(
            {
                "free": format(seen.free.amount, "f"),
                "binding": seen.free.binding.name,
                "terms": seen.terms,
                "refusal": None if seen.refusal is None else seen.refusal[0],
                "detail": "" if seen.refusal is None else seen.refusal[1],
            }
        )

    @extend_schema(request=OpenApiTypes.OBJECT, responses=PaymentSerializer)
    def create(self, request: Request) -> Response:
        """Ask for a withdrawal; 409 with the binding term where it is refused. One per key."""
        asked = self._asked(request)
        if isinstance(asked, Response):
            return asked
        form, wanted = asked
        http = http_of(request)
        try:
            payment = request_withdrawal(
                wanted, reason=form.cleaned_data["reason"], actor=http.actor,
                request_id=http.request_id,
            )  # fmt: skip
        except AskRefusedError as refused:
            said = {refused.field: [{"message": str(refused), "code": "refused"}]}
            return Response(said, status=UNFIT)
        except RefusedError as refused:
            return conflict(refused.rule, refused.detail)
        if payment.state == State.REFUSED:
            free = format(payment.free_amount or 0, "f")
            return conflict(payment.binding_term, payment.note, free=free, payment=str(payment.pk))
        return Response(PaymentSerializer(payment).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=OpenApiTypes.OBJECT, responses=PaymentSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Take back what nobody has agreed to; 409 where somebody has."""
        http = http_of(request)
        payment = payment_or_404(http, pk)  # type: ignore[arg-type]
        check(http, f"{REQUEST}{PAY}", payment.legal_entity)
        form = AskForm(sent(request))
        if not form.is_valid():
            return Response(form.errors.get_json_data(), status=UNFIT)
        try:
            done = cancel_withdrawal(
                payment, reason=form.cleaned_data["reason"], actor=http.actor,
                request_id=http.request_id,
            )  # fmt: skip
        except RefusedError as refused:
            return conflict(refused.rule, refused.detail)
        return Response(PaymentSerializer(done).data)

    @extend_schema(request=OpenApiTypes.OBJECT, responses={201: AskedSerializer})
    @action(detail=True, methods=["post"])
    def outcome(self, request: Request, pk: str) -> Response:
        """Ask a second person what became of it: confirmed, returned or cancelled."""
        http = http_of(request)
        payment = payment_or_404(http, pk)  # type: ignore[arg-type]
        said = sent(request)
        outcome = said.get("outcome", "")
        if outcome not in [each.value for each in OUTCOMES]:
            detail = "confirmed, returned or cancelled"
            return Response({"outcome": [{"message": detail, "code": "invalid"}]}, status=UNFIT)
        return ask_by_api(
            request, OutcomeForm(said), action=OUTCOME, entity=payment.legal_entity,
            do=lambda typed: request_outcome(
                payment, outcome=outcome, reference=typed["reference"], reason=typed["reason"],
                actor=http.actor, request_id=http.request_id,
            ),
        )  # fmt: skip


class PaymentFileSerializer(serializers.ModelSerializer[PaymentFile]):
    """A payment file without its bytes."""

    location = serializers.CharField(source="location.code")
    control_sum = ExactText()

    class Meta:
        model = PaymentFile
        fields = [
            "id", "message_id", "name", "location", "pay_on", "format", "payment_count",
            "control_sum", "sha256", "state", "note", "written_at", "placed_at", "ended_at",
        ]  # fmt: skip
        read_only_fields = fields


class PaymentFileViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[PaymentFile]
):
    """Payment files, the newest first."""

    queryset = PaymentFile.objects.none()
    serializer_class = PaymentFileSerializer
    permission_classes = [permission("read")]
    lookup_value_regex = "[0-9]+"

    def get_queryset(self) -> Any:  # noqa: ANN401
        """Files that this person may see."""
        return files_here(http_of(self.request)).order_by("-pk")

    @extend_schema(request=OpenApiTypes.OBJECT, responses=PaymentFileSerializer(many=True))
    def create(self, request: Request) -> Response:
        """Write files of all that is approved and due."""
        http, entity = http_of(request), entity_of(request)
        check(http, FILE, entity)
        form = WriteForm(sent(request))
        if not form.is_valid():
            return Response(form.errors.get_json_data(), status=UNFIT)
        try:
            files = write_files(
                legal_entity_id=entity.pk, until=form.cleaned_data["until"],
                format=form.cleaned_data["format"], reason=form.cleaned_data["reason"],
                actor=http.actor, request_id=http.request_id,
            )  # fmt: skip
        except (CannotOrderError, ErasedPersonError) as refused:
            said = {"__all__": [{"message": str(refused), "code": "refused"}]}
            return Response(said, status=UNFIT)
        except RefusedError as refused:
            return conflict(refused.rule, refused.detail)
        made = PaymentFileSerializer(files, many=True).data
        return Response(made, status=status.HTTP_201_CREATED if files else status.HTTP_200_OK)

    @extend_schema(responses=OpenApiTypes.OBJECT)
    @action(detail=True, methods=["get"])
    def content(self, request: Request, pk: str) -> Response:
        """The file's bytes in base64; 409 for one that was abandoned."""
        file = file_or_404(http_of(request), int(pk))
        check(request, FILE, file.location.pool.legal_entity)
        if file.state == PaymentFile.State.ABANDONED:
            return conflict("payment_file_ends_once", f"file {file.message_id} was abandoned")
        said = base64.b64encode(bytes(file.content)).decode()
        return Response({"name": file.name, "sha256": file.sha256, "content": said})

    @extend_schema(request=OpenApiTypes.OBJECT, responses=OpenApiTypes.OBJECT)
    @action(detail=False, methods=["post"])
    def report(self, request: Request) -> Response:
        """Read a pain.002, in base64; read before it changes nothing, and gives the same."""
        http, entity = http_of(request), entity_of(request)
        check(http, FILE, entity)
        said = sent(request)
        form = AskForm(said)
        if not form.is_valid():
            return Response(form.errors.get_json_data(), status=UNFIT)
        try:
            content = base64.b64decode(said.get("content", ""), validate=True)
            report, is_new = read_report(
                content, name=said.get("name", "") or "report.xml", legal_entity=entity,
                actor=http.actor, reason=form.cleaned_data["reason"], request_id=http.request_id,
            )  # fmt: skip
        except (ValueError, ReportTooLargeError) as refused:
            return Response(
                {"content": [{"message": str(refused), "code": "refused"}]}, status=UNFIT
            )
        except RefusedError as refused:
            return conflict(refused.rule, refused.detail)
        statuses = report.statuses.order_by("ordinal").values(
            "ordinal", "payment", "end_to_end_id", "status", "reason_code", "outcome", "detail"
        )
        made = {
            "message_id": report.message_id, "original_message_id": report.original_message_id,
            "sha256": report.file_id, "rejection": report.rejection, "statuses": list(statuses),
        }  # fmt: skip
        return Response(made, status=status.HTTP_201_CREATED if is_new else status.HTTP_200_OK)

    @extend_schema(request=None, responses=PaymentFileSerializer)
    @action(detail=True, methods=["post"])
    def sent(self, request: Request, pk: str) -> Response:
        """Record that the bank has it; again gives the same, 409 where it was abandoned."""
        http = http_of(request)
        file = file_or_404(http, int(pk))
        check(http, FILE, file.location.pool.legal_entity)
        try:
            record_sent(
                file, actor=http.actor, reason=f"File {file.message_id} was sent to the bank",
                request_id=http.request_id,
            )  # fmt: skip
        except RefusedError as refused:
            return conflict(refused.rule, refused.detail)
        return Response(PaymentFileSerializer(file_or_404(http, int(pk))).data)

    @extend_schema(request=OpenApiTypes.OBJECT, responses={201: AskedSerializer})
    @action(detail=True, methods=["post"])
    def abandon(self, request: Request, pk: str) -> Response:
        """Ask a second person to agree that no bank has it."""
        http = http_of(request)
        file = file_or_404(http, int(pk))
        return ask_by_api(
            request, AskForm(sent(request)), action=ABANDON,
            entity=file.location.pool.legal_entity,
            do=lambda typed: request_abandon(
                file, reason=typed["reason"], actor=http.actor, request_id=http.request_id
            ),
        )  # fmt: skip


class InstructionSerializer(serializers.ModelSerializer[PaymentInstruction]):
    """Who may be paid; the details stay sealed."""

    client = serializers.CharField(source="client.code")

    class Meta:
        model = PaymentInstruction
        fields = [
            "id", "client", "code", "version", "asset_code", "method", "is_active", "usable_from",
        ]  # fmt: skip
        read_only_fields = fields


class InstructionViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[PaymentInstruction]
):
    """The newest version of each payment instruction."""

    queryset = PaymentInstruction.objects.none()
    serializer_class = InstructionSerializer
    permission_classes = [permission("read")]
    lookup_value_regex = "[0-9]+"

    def get_queryset(self) -> Any:  # noqa: ANN401
        """Instructions that this person may see."""
        return instructions_here(http_of(self.request)).order_by("client__code", "code", "pk")

    @extend_schema(request=OpenApiTypes.OBJECT, responses={201: AskedSerializer})
    def create(self, request: Request) -> Response:
        """Ask that a client's money may go somewhere; the fields of the screen."""
        http, entity = http_of(request), entity_of(request)
        clients = Client.objects.named().filter(legal_entity=entity, person_key__key__isnull=False)
        return ask_by_api(
            request, InstructionForm(sent(request), clients=clients), action=SET, entity=entity,
            do=lambda typed: request_instruction(
                client=typed["client"], code=typed["code"], asset_code=typed["asset"].code,
                method=typed["method"],
                payee=as_payee(
                    **{n: typed[n] for n in ("name", "iban", "bic", "account", "address")}
                ),
                reason=typed["reason"], actor=http.actor, request_id=http.request_id,
            ),
        )  # fmt: skip

    @extend_schema(request=OpenApiTypes.OBJECT, responses={201: AskedSerializer})
    @action(detail=True, methods=["post"])
    def end(self, request: Request, pk: str) -> Response:
        """Ask that nothing be paid by it any more."""
        http = http_of(request)
        found = instructions_here(http).filter(pk=int(pk), is_active=True).first()
        if found is None:
            raise NotFound("There is no such instruction in force.")
        return ask_by_api(
            request, AskForm(sent(request)), action=SET, entity=found.client.legal_entity,
            do=lambda typed: request_end(
                found, reason=typed["reason"], actor=http.actor, request_id=http.request_id
            ),
        )  # fmt: skip


def register(router: BaseRouter) -> None:
    """Add these resources to the API's router."""
    router.register("payments", PaymentViewSet, basename="payment")
    router.register("payment-files", PaymentFileViewSet, basename="payment-file")
    router.register("payment-instructions", InstructionViewSet, basename="payment-instruction")
