"""What-if for programs: a scope now and after a change that is only thought of."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status, viewsets
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from accounts.clock import utc_stamp
from accounts.figures import plain
from accounts.models import Bucket
from accounts.roles import permission
from margin.engine.liquidation_points import LiquidationPoints
from margin.scope_standing import Side
from margin.screens.visible import account_or_404
from margin.what_if import MODES, Change, ThoughtTrade, WhatIf, what_if
from margin.what_if_ground import WhatIfRefusedError

LINES_MAX = 50
NUMBER: dict[str, Any] = {"max_digits": 60, "decimal_places": 18}


class ThoughtTradeSerializer(serializers.Serializer[Any]):
    """A trade that is thought of; at the mark where no price is said."""

    asset = serializers.CharField(max_length=40)
    quantity = serializers.DecimalField(**NUMBER)
    price = serializers.DecimalField(**NUMBER, required=False, allow_null=True, default=None)
    fee = serializers.DecimalField(**NUMBER, required=False, default=Decimal(0))


class WhatIfSerializer(serializers.Serializer[Any]):
    """A change of one scope; money, prices, haircuts and volatilities by asset.

    `model` and `parameters` name what decides instead of what the agreement names; `mode` is how
    house rules take the account instead of as it is. Liquidation points are given where a
    formula does; under a model they are searched, which takes longer, if `points` asks for them.
    """

    account = serializers.CharField(max_length=40)
    bucket = serializers.CharField(max_length=60)
    trades = serializers.ListField(
        child=ThoughtTradeSerializer(), required=False, default=list, max_length=LINES_MAX
    )
    money = serializers.DictField(
        child=serializers.DecimalField(**NUMBER), required=False, default=dict
    )
    prices = serializers.DictField(
        child=serializers.DecimalField(**NUMBER), required=False, default=dict
    )
    haircuts = serializers.DictField(
        child=serializers.DecimalField(**NUMBER), required=False, default=dict
    )
    volatilities = serializers.DictField(
        child=serializers.DecimalField(**NUMBER), required=False, default=dict
    )
    model = serializers.CharField(max_length=40, required=False, default="")
    parameters = serializers.CharField(max_length=40, required=False, default="")
    mode = serializers.ChoiceField(MODES, required=False, allow_null=True, default=None)

    points = serializers.BooleanField(required=False, allow_null=True, default=None)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """A model is named with its parameters, and the other way round."""
        if bool(attrs["model"]) != bool(attrs["parameters"]):
            raise serializers.ValidationError("A model is named with its parameters.")
        return attrs


class WhatIfViewSet(viewsets.ViewSet):
    """A scope now and after a change; nothing is written."""

    permission_classes = [permission("read")]

    @extend_schema(request=WhatIfSerializer, responses=OpenApiTypes.OBJECT)
    def create(self, request: Request) -> Response:
        """Both sides; 409 with the rule where the change could not be booked."""
        http: Any = request._request
        said = WhatIfSerializer(data=request.data)
        said.is_valid(raise_exception=True)
        typed = said.validated_data
        try:
            account = account_or_404(http, typed["account"])
        except Http404:
            account = None
        buckets = Bucket.objects.filter(account=account, code=typed["bucket"])
        bucket = buckets.select_related("account").first()
        if account is None or bucket is None:
            raise NotFound("There is no such account or bucket.")
        try:
            said_of = what_if(bucket, change_of(typed), has_points=typed["points"])
            return Response(as_json(said_of))
        except WhatIfRefusedError as refused:
            answer = {"rule": refused.rule, "detail": refused.detail}
            return Response(answer, status=status.HTTP_409_CONFLICT)


def change_of(typed: Mapping[str, Any]) -> Change:
    """The change that was asked about."""
    return Change(
        trades=tuple(ThoughtTrade(**line) for line in typed["trades"]),
        money=typed["money"],
        prices=typed["prices"],
        haircuts=typed["haircuts"],
        volatilities=typed["volatilities"],
        model=(typed["model"], typed["parameters"]) if typed["model"] else None,
        mode=typed["mode"],
    )


def as_json(said: WhatIf) -> dict[str, Any]:
    """Both sides; every number is a text."""
    return {
        "account": said.bucket.account.code,
        "bucket": said.bucket.code,
        "as_of": utc_stamp(said.as_of),
        "agreement": f"{said.agreement.agreement.code} v{said.agreement.version}",
        "now": side_json(said.now),
        "after": side_json(said.after),
        "notes": list(said.notes),
    }


def side_json(side: Side) -> dict[str, Any]:
    """One side; every number is a text."""
    ratio = side.margin_ratio
    return {
        "equity": plain(side.equity),
        "initial_margin": plain(side.initial_margin),
        "maintenance_margin": plain(side.maintenance_margin),
        "spare": plain(side.spare),
        "margin_ratio": None if ratio is None else plain(ratio),
        "state": side.state,
        "call_amount": format(side.call_amount, "f"),
        "flags": list(side.flags),
        "parameter_set": side.parameter_set,
        "binding": side.binding,
        "liquidation_points": {code: _points(each) for code, each in side.liquidation.items()},
        "components": [
            {
                "total": part.total,
                "kind": part.kind.name.lower(),
                "asset": part.asset,
                "amount": plain(part.amount),
                "terms": part.terms(),
            }
            for part in side.components
        ],
    }


def _points(points: LiquidationPoints) -> dict[str, Any]:
    prices = {
        "below": points.below,
        "above": points.above,
        "jumps_below": points.jumps_below,
        "jumps_above": points.jumps_above,
    }
    said = {name: None if price is None else plain(price) for name, price in prices.items()}
    return {**said, "is_reached": points.is_reached}


def register(router: BaseRouter) -> None:
    """Add this resource to the API's router."""
    router.register("what-if", WhatIfViewSet, basename="what-if")
