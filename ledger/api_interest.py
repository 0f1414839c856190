"""Rate curves and accruals for programs; every number is a text."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from accounts.api_fields import ExactText
from accounts.roles import permission, roles_in
from ledger.accrual import exact_amount
from ledger.models import Accrual, RateCurve, RateVersion


class RateVersionSerializer(serializers.ModelSerializer[RateVersion]):
    """Rates from a day on; points and tenor are pairs of texts."""

    floor = ExactText()
    cap = ExactText()
    account_cap = ExactText()
    pool_cap = ExactText()
    utilisation_cap = ExactText()

    class Meta:
        model = RateVersion
        fields = [
            "version", "effective_from", "day_count", "points", "tenor", "floor", "cap", "charged",
            "compounds", "paid_from", "repays_from_free_money", "account_cap", "pool_cap",
            "utilisation_cap",
        ]  # fmt: skip
        read_only_fields = fields


class RateCurveSerializer(serializers.ModelSerializer[RateCurve]):
    """A curve with all its versions, the first first."""

    legal_entity = serializers.CharField(source="legal_entity.code")
    asset = serializers.CharField(source="asset.code")
    versions = RateVersionSerializer(many=True)

    class Meta:
        model = RateCurve
        fields = ["id", "legal_entity", "asset", "side", "versions"]
        read_only_fields = fields


class RateCurveViewSet(mixins.ListModelMixin, viewsets.GenericViewSet[RateCurve]):
    """Rate curves by asset and side."""

    queryset = RateCurve.objects.all()
    serializer_class = RateCurveSerializer
    permission_classes = [permission("read")]

    def get_queryset(self) -> Any:  # noqa: ANN401
        """Curves of the legal entities this person reads."""
        return (
            RateCurve.objects.filter(legal_entity__in=roles_in(self.request).entities("read"))
            .select_related("legal_entity", "asset")
            .prefetch_related("versions")
            .order_by("legal_entity__code", "asset__code", "side")
        )


class AccrualSerializer(serializers.ModelSerializer[Accrual]):
    """One account's interest of one day; what the client owes is positive."""

    ledger_account = serializers.IntegerField(source="account_id")
    day = serializers.DateField(source="run.day")
    account = serializers.CharField(source="account.margin_account.code")
    bucket = serializers.CharField(source="account.bucket.code")
    asset = serializers.CharField(source="account.asset.code")
    side = serializers.CharField(source="curve.side")
    base = ExactText()
    rate = ExactText()
    accrued = serializers.SerializerMethodField()
    accrued_so_far = serializers.SerializerMethodField()
    due = ExactText()

    class Meta:
        model = Accrual
        fields = [
            "ledger_account", "day", "account", "bucket", "asset", "side", "base", "rate", "days",
            "year", "accrued", "accrued_so_far", "due",
        ]  # fmt: skip
        read_only_fields = fields

    def get_accrued(self, row: Accrual) -> str:
        """Of this day and its corrections, to ten decimals."""
        return exact_amount(row.numerator + row.corrected)

    def get_accrued_so_far(self, row: Accrual) -> str:
        """Since the account first bore interest, to ten decimals."""
        return exact_amount(row.cumulative)


class AccrualViewSet(mixins.ListModelMixin, viewsets.GenericViewSet[Accrual]):
    """Accruals, newest day first; `?account=A00015` for one margin account."""

    queryset = Accrual.objects.all()
    serializer_class = AccrualSerializer
    permission_classes = [permission("read")]

    def get_queryset(self) -> Any:  # noqa: ANN401
        """Accruals of the legal entities this person reads."""
        found = Accrual.objects.filter(
            run__legal_entity__in=roles_in(self.request).entities("read")
        ).select_related(
            "run", "curve", "account__margin_account", "account__bucket", "account__asset"
        )
        account = self.request.query_params.get("account")
        if account is not None:
            found = found.filter(account__margin_account__code=account)
        return found.order_by("-run_id", "account_id")

    @extend_schema(parameters=[OpenApiParameter("account", OpenApiTypes.STR)])
    def list(self, request: Request, *args: object, **kwargs: object) -> Response:
        """Accruals of the filter."""
        return super().list(request, *args, **kwargs)


def register(router: BaseRouter) -> None:
    """Add these resources to the API's router."""
    router.register("rates", RateCurveViewSet, basename="rate")
    router.register("accruals", AccrualViewSet, basename="accrual")
