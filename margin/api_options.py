"""Options that the book carries for programs, and asking that another be listed."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from accounts.asking_api import AskedSerializer, ask_by_api, entity_of, http_of, sent
from accounts.roles import permission
from ledger.models import Asset
from margin.option_listing import LIST, listed_options
from margin.screens.contracts import asked_option, option_form


class OptionSerializer(serializers.Serializer[Any]):
    """A listed option; strike and units of one contract are texts."""

    code = serializers.CharField(source="asset.code")
    underlying = serializers.CharField(source="underlying.code")
    right = serializers.SerializerMethodField()
    strike = serializers.CharField()
    multiplier = serializers.CharField()
    expires_at = serializers.DateTimeField()
    style = serializers.CharField()  # type: ignore[assignment] # a field of that name
    settlement = serializers.CharField()

    def get_right(self, contract: Any) -> str:  # noqa: ANN401
        return "call" if contract.is_call else "put"


class OptionListingSerializer(serializers.Serializer[Any]):
    """An option to list: the fields of the screen, texts as there."""

    code = serializers.CharField(max_length=40, help_text="By which files name it; new.")
    underlying = serializers.CharField(help_text="Code of money or a security.")
    right = serializers.ChoiceField(choices=["call", "put"])
    strike = serializers.CharField(help_text="In the currency of the book, above 0.")
    multiplier = serializers.CharField(help_text="Units in one contract, above 0.")
    expires_at = serializers.CharField(help_text="By the clock of the desk: 2031-06-27T16:00:00.")
    style = serializers.CharField(  # type: ignore[assignment] # a field of that name
        help_text="european; american is refused with a reason."
    )
    settlement = serializers.CharField(help_text="cash; physical is refused with a reason.")
    price_scale = serializers.IntegerField(help_text="Decimals of prices.")
    locations = serializers.ListField(
        child=serializers.CharField(), help_text="Codes of venues, one for each pool."
    )
    reason = serializers.CharField()


class OptionViewSet(viewsets.GenericViewSet[Any]):
    """Listed options, and asking for another."""

    queryset = Asset.objects.none()
    permission_classes = [permission("read")]
    serializer_class = OptionSerializer
    pagination_class = None

    @extend_schema(responses=OptionSerializer(many=True))
    def list(self, request: Request) -> Response:
        """Every option that was ever listed, by code."""
        found = [contract for _, contract in sorted(listed_options().items())]
        return Response(OptionSerializer(found, many=True).data)

    @extend_schema(request=OptionListingSerializer, responses={201: AskedSerializer})
    def create(self, request: Request) -> Response:
        """Ask a second person that an option be listed; refused as on the screen."""
        http, entity = http_of(request), entity_of(request)
        return ask_by_api(
            request, option_form(sent(request), entity), action=LIST, entity=entity,
            do=lambda typed: asked_option(
                typed, entity=entity, actor=http.actor, request_id=http.request_id
            ),
        )  # fmt: skip


def register(router: BaseRouter) -> None:
    """Add this resource to the API's router."""
    router.register("options", OptionViewSet, basename="option")
