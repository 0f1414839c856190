"""The statement of one ledger account for programs: a page at a time, at any date and horizon."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter
from rest_framework.utils.urls import replace_query_param

from accounts.api_fields import ExactText
from accounts.roles import permission
from ledger.account_statement import PAGE_SIZE, PAGE_SIZE_MAX, statement_page
from ledger.api_times import TWO_TIMES, reading
from ledger.screens.times import is_known_then, not_known
from ledger.screens.visible import ledger_account_or_404

# Places of postings are counted in 64 bits.
PLACE_MAX = 2**63 - 1


class StatementLineSerializer(serializers.Serializer[Any]):
    """One posting; positive is a debit. `balance` is what the account held with it."""

    account_seq = serializers.IntegerField()
    entry = serializers.IntegerField(source="entry_id")
    kind = serializers.CharField()
    effective_at = serializers.DateTimeField()
    entry_reference = serializers.CharField()
    narrative = serializers.CharField()
    reference = serializers.CharField(allow_null=True)
    amount = ExactText()
    balance = ExactText()
    price = ExactText(allow_null=True)
    average_cost = ExactText(allow_null=True)
    realised = ExactText(allow_null=True)


class StatementPageSerializer(serializers.Serializer[Any]):
    """A page of a statement, newest first.

    `balance` is what the account held at the two times; `before` and `next` lead to older lines
    and are null on the last page.
    """

    id = serializers.IntegerField()
    pool = serializers.CharField()
    asset = serializers.CharField()
    account_class = serializers.CharField()
    account = serializers.CharField(allow_null=True)
    bucket = serializers.CharField(allow_null=True)
    location = serializers.CharField(allow_null=True)
    balance = ExactText()
    newest = serializers.IntegerField()
    before = serializers.IntegerField(allow_null=True)
    next = serializers.URLField(allow_null=True)
    lines = StatementLineSerializer(many=True)


class PageAskedSerializer(serializers.Serializer[Any]):
    """Which stretch of the statement is asked for."""

    before = serializers.IntegerField(
        required=False, default=None, min_value=1, max_value=PLACE_MAX
    )
    size = serializers.IntegerField(
        required=False, default=PAGE_SIZE, min_value=1, max_value=PAGE_SIZE_MAX
    )


class LedgerAccountViewSet(viewsets.ViewSet):
    """Ledger accounts: every number of `/api/balances/` is the end of one's statement."""

    permission_classes = [permission("read")]
    lookup_value_regex = r"\d{1,18}"

    @extend_schema(
        parameters=[
            OpenApiParameter("id", OpenApiTypes.INT, OpenApiParameter.PATH),
            OpenApiParameter(
                "before", OpenApiTypes.INT, description="Only lines before this place"
            ),
            OpenApiParameter("size", OpenApiTypes.INT, description="Lines of a page, 500 at most"),
            *TWO_TIMES,
        ],
        responses=StatementPageSerializer,
    )
    @action(detail=True, methods=["get"])
    def statement(self, request: Request, pk: str) -> Response:
        """A page of the statement; 404 for an account that was not known then."""
        asked = PageAskedSerializer(data=request.query_params)
        asked.is_valid(raise_exception=True)
        here: Any = request._request
        with reading(request) as point:
            account = ledger_account_or_404(here, int(pk))
            if point is not None and not is_known_then(account, point):
                raise NotFound(not_known(f"Ledger account {pk}", point))
            page = statement_page(account.pk, point=point, **asked.validated_data)
        owner, bucket, place = account.margin_account, account.bucket, account.location
        found = {
            "id": account.pk,
            "pool": account.pool.code,
            "asset": account.asset.code,
            "account_class": account.account_class,
            "account": None if owner is None else owner.code,
            "bucket": None if bucket is None else bucket.code,
            "location": None if place is None else place.code,
            "balance": page.balance,
            "newest": page.newest,
            "before": page.before,
            "next": older(request, page.before),
            "lines": page.lines,
        }
        return Response(StatementPageSerializer(found).data)


def older(request: Request, before: int | None) -> str | None:
    """The address of the next page, with the same two times and size."""
    if before is None:
        return None
    return str(replace_query_param(request.build_absolute_uri(), "before", before))


def register(router: BaseRouter) -> None:
    """Add this resource to the API's router."""
    router.register("ledger/accounts", LedgerAccountViewSet, basename="ledger-account")
