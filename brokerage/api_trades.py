"""Booking one trade, for programs: the same form, function and refusals as on screen."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import status, viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from accounts.asking_api import entity_of, http_of, sent
from accounts.audit import RefusedError
from accounts.roles import check, permission
from brokerage.screens.trades import BOOK, TradeForm, booked


class TradeViewSet(viewsets.ViewSet):
    """Trades that somebody of the desk books."""

    permission_classes = [permission("read")]

    @extend_schema(request=OpenApiTypes.OBJECT, responses={201: OpenApiTypes.OBJECT})
    def create(self, request: Request) -> Response:
        """Book `side`, `quantity`, `price` of `instrument` for `account` and `bucket`.

        201 with the entry, 200 where `key` was booked before, 409 with the rule that refused it.
        """
        check(request, BOOK, entity_of(request))
        form = TradeForm(sent(request))
        if not form.is_valid():
            wrong = form.errors.get_json_data()
            return Response(wrong, status=status.HTTP_422_UNPROCESSABLE_ENTITY)
        try:
            posted = booked(http_of(request), form.cleaned_data)
        except RefusedError as refused:
            answer = {"rule": refused.rule, "detail": refused.detail}
            return Response(answer, status=status.HTTP_409_CONFLICT)
        return Response(
            {"entry": posted.entry_id, "new": posted.is_new},
            status=status.HTTP_201_CREATED if posted.is_new else status.HTTP_200_OK,
        )


def register(router: BaseRouter) -> None:
    """Add this resource to the API's router."""
    router.register("trades", TradeViewSet, basename="trade")
