"""Moves between buckets and withdrawals for programs: looked at and made by the same code."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from accounts.audit import RefusedError
from accounts.models import Bucket
from accounts.roles import check, permission
from ledger.bucket_moves import BucketMove
from ledger.models import Asset, Location, MoveGuard
from ledger.posting import plain
from margin.bucket_moves import MovePlan, MoveRefusedError, make_move, plan_move, request_move
from margin.collateral import Payment, WithdrawalRefusedError, withdraw
from margin.engine.gate import Standing
from margin.free import free_amount
from margin.holding import newest_gate
from margin.screens.moves import MOVE, account_named
from margin.screens.visible import entity_here, of_accounts

RELEASE = "release.withdrawal"


class MoveSerializer(serializers.Serializer[Any]):
    """A move as it is asked for; the same key is made once."""

    key = serializers.CharField(max_length=120, required=False, default="")
    account = serializers.CharField(max_length=40)
    from_bucket = serializers.CharField(max_length=60)
    to_bucket = serializers.CharField(max_length=60)
    asset = serializers.SlugRelatedField(slug_field="code", queryset=Asset.objects.all())
    amount = serializers.DecimalField(max_digits=40, decimal_places=18)
    reason = serializers.CharField(min_length=10, max_length=2000)


def conflict(rule: str, detail: str, **more: object) -> Response:
    """409 with the rule's id."""
    return Response({"rule": rule, "detail": detail, **more}, status=status.HTTP_409_CONFLICT)


class BucketMoveViewSet(viewsets.ViewSet):
    """Moves between the buckets of an account."""

    permission_classes = [permission("read")]

    def _asked(self, request: Request) -> tuple[BucketMove, str]:
        http: Any = request._request
        check(http, MOVE, entity_here(http))
        said = MoveSerializer(data=request.data)
        said.is_valid(raise_exception=True)
        typed = said.validated_data
        account = account_named(http, typed["account"])
        buckets = {
            bucket.code: bucket
            for bucket in Bucket.objects.filter(account=account).select_related("account")
        }
        if account is None or not {typed["from_bucket"], typed["to_bucket"]} <= buckets.keys():
            raise NotFound("There is no such account or bucket.")
        key = typed["key"] or f"move:{uuid4()}"
        asked = BucketMove(
            key=key, source=buckets[typed["from_bucket"]], target=buckets[typed["to_bucket"]],
            asset=typed["asset"], amount=Decimal(plain(typed["amount"])), reference=key[-40:],
            effective_at=datetime.now(tz=UTC),
        )  # fmt: skip
        return asked, typed["reason"]

    @extend_schema(request=MoveSerializer, responses=OpenApiTypes.OBJECT)
    @action(detail=False, methods=["post"])
    def preview(self, request: Request) -> Response:
        """What the move would do, and why it would be refused if it would."""
        asked, _ = self._asked(request)
        return Response(as_json(plan_move(asked)))

    @extend_schema(request=MoveSerializer, responses=OpenApiTypes.OBJECT)
    def create(self, request: Request) -> Response:
        """Make the move; 202 where it waits for a second person, 409 where it is refused."""
        asked, reason = self._asked(request)
        http: Any = request._request
        acts: dict[str, Any] = {
            "actor": http.actor, "reason": reason, "request_id": http.request_id,
        }  # fmt: skip
        try:
            if plan_move(asked).guard == MoveGuard.TWO:
                approval = request_move(asked, **acts)
                return Response({"approval": str(approval)}, status=status.HTTP_202_ACCEPTED)
            posted = make_move(asked, **acts)
        except MoveRefusedError as refused:
            short = None if refused.shortfall is None else format(refused.shortfall, "f")
            return conflict(refused.rule, str(refused), shortfall=short)
        except RefusedError as refused:
            return conflict(refused.rule, refused.detail)
        made = {"entry": posted.entry_id, "is_new": posted.is_new}
        return Response(
            made, status=status.HTTP_201_CREATED if posted.is_new else status.HTTP_200_OK
        )


def as_json(plan: MovePlan) -> dict[str, object]:
    """A plan; every number is a text."""
    return {
        "guard": plan.guard.value,
        "kind": plan.kind,
        "refusal": None if plan.refusal is None else plan.refusal[0],
        "detail": "" if plan.refusal is None else plan.refusal[1],
        "shortfall": None if plan.shortfall is None else format(plan.shortfall, "f"),
        **{
            name: {
                "bucket": side.bucket.code,
                "now": format(side.amount_now, "f"),
                "after": format(side.amount_after, "f"),
                "standing_after": standing_json(side.after),
            }
            for name, side in (("source", plan.source), ("target", plan.target))
        },
    }


def standing_json(standing: Standing | None) -> dict[str, str] | None:
    """Equity and initial margin; null for a bucket that is no scope."""
    if standing is None:
        return None
    return {
        "equity": format(standing.equity, "f"),
        "initial_margin": format(standing.initial_margin, "f"),
    }


class WithdrawalSerializer(serializers.Serializer[Any]):
    """A withdrawal as it is asked for; the same key is paid once."""

    key = serializers.CharField(max_length=120)
    account = serializers.CharField(max_length=40)
    bucket = serializers.CharField(max_length=60, required=False, default="FREE")
    asset = serializers.SlugRelatedField(
        slug_field="code", queryset=Asset.objects.filter(kind="money")
    )
    amount = serializers.DecimalField(max_digits=40, decimal_places=18, min_value=Decimal(0))
    location = serializers.CharField(max_length=60)
    reference = serializers.CharField(max_length=60)
    reason = serializers.CharField(min_length=10, max_length=2000)


class WithdrawalViewSet(viewsets.ViewSet):
    """Money that leaves an account, as far as it is free."""

    permission_classes = [permission("read")]

    def _asked(self, request: Request) -> tuple[Payment, str]:
        http: Any = request._request
        entity = entity_here(http)
        check(http, RELEASE, entity)
        said = WithdrawalSerializer(data=request.data)
        said.is_valid(raise_exception=True)
        typed = said.validated_data
        mine = of_accounts(http.roles, [entity.pk], path="account", act=RELEASE)
        bucket = (
            Bucket.objects.filter(mine, account__code=typed["account"], code=typed["bucket"])
            .select_related("account__client")
            .first()
        )
        location = Location.objects.filter(
            code=typed["location"], pool__legal_entity=entity, closed_on__isnull=True
        ).first()
        if bucket is None or location is None:
            raise NotFound("There is no such bucket or location.")
        payment = Payment(
            key=typed["key"], bucket=bucket, asset=typed["asset"],
            amount=Decimal(plain(typed["amount"])),
            location=location, reference=typed["reference"], effective_at=datetime.now(tz=UTC),
        )  # fmt: skip
        return payment, typed["reason"]

    @extend_schema(request=WithdrawalSerializer, responses=OpenApiTypes.OBJECT)
    @action(detail=False, methods=["post"])
    def free(self, request: Request) -> Response:
        """What may leave now, term by term, and which term binds."""
        payment, _ = self._asked(request)
        found = free_amount(payment.bucket, payment.asset, gate=newest_gate())
        terms = [
            {"name": term.name, "amount": format(term.amount, "f"), "why": term.why}
            for term in found.terms
        ]
        answer = {"free": format(found.amount, "f"), "binding": found.binding.name, "terms": terms}
        return Response(answer)

    @extend_schema(request=WithdrawalSerializer, responses=OpenApiTypes.OBJECT)
    def create(self, request: Request) -> Response:
        """Pay it out; 409 with the binding term where it is more than is free."""
        payment, reason = self._asked(request)
        http: Any = request._request
        try:
            posted = withdraw(payment, actor=http.actor, reason=reason, request_id=http.request_id)
        except WithdrawalRefusedError as refused:
            return conflict(refused.term, str(refused), free=format(refused.free_amount, "f"))
        except RefusedError as refused:
            return conflict(refused.rule, refused.detail)
        made = {"entry": posted.entry_id, "is_new": posted.is_new}
        return Response(
            made, status=status.HTTP_201_CREATED if posted.is_new else status.HTTP_200_OK
        )


def register(router: BaseRouter) -> None:
    """Add these resources to the API's router."""
    router.register("bucket-moves", BucketMoveViewSet, basename="bucket-move")
    router.register("withdrawals", WithdrawalViewSet, basename="withdrawal")
