"""Balances, pools, locations, entries and breaks for programs; every number is a text."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from accounts.api_fields import ExactText
from accounts.roles import permission, roles_in
from ledger.api_times import TWO_TIMES, accounts_known, balances_page, point_asked, reading
from ledger.models import Balance, Break, Entry, Location, Posting
from ledger.screens.entries import absence
from ledger.screens.visible import hidden_accounts, visible_entries
from ledger.segregation import pool_assets
from ledger.times import as_known, entries_at


class BalanceSerializer(serializers.ModelSerializer[Balance]):
    """A balance of the book; positive is a debit."""

    id = serializers.IntegerField(source="account_id")
    pool = serializers.CharField(source="account.pool.code")
    asset = serializers.CharField(source="account.asset.code")
    account_class = serializers.CharField(source="account.account_class")
    account = serializers.CharField(
        source="account.margin_account.code", allow_null=True, default=None
    )
    bucket = serializers.CharField(source="account.bucket.code", allow_null=True, default=None)
    location = serializers.CharField(source="account.location.code", allow_null=True, default=None)
    amount = ExactText()
    average_cost = ExactText()

    class Meta:
        model = Balance
        fields = [
            "id", "pool", "asset", "account_class", "account", "bucket", "location", "amount",
            "average_cost", "seq",
        ]  # fmt: skip
        read_only_fields = fields


class BalanceViewSet(mixins.ListModelMixin, viewsets.GenericViewSet[Balance]):
    """Balances by ledger account; `?account=A00015` for one margin account."""

    queryset = Balance.objects.all()
    serializer_class = BalanceSerializer
    permission_classes = [permission("read")]

    def get_queryset(self) -> Any:  # noqa: ANN401
        """Balances this person reads: pools of their legal entities, accounts of their desks."""
        here: Any = self.request._request
        balances = (
            Balance.objects.exclude(hidden_accounts(here, path="account"))
            .select_related(
                "account__pool",
                "account__asset",
                "account__margin_account",
                "account__bucket",
                "account__location",
            )
            .order_by("account_id")
        )
        account = self.request.query_params.get("account")
        return (
            balances if account is None else balances.filter(account__margin_account__code=account)
        )

    @extend_schema(parameters=[OpenApiParameter("account", OpenApiTypes.STR), *TWO_TIMES])
    def list(self, request: Request, *args: object, **kwargs: object) -> Response:
        """Balances of the filter, now or as they stood."""
        with reading(request) as point:
            if point is None:
                return super().list(request, *args, **kwargs)
            accounts = accounts_known(request, point)
            code = request.query_params.get("account")
            if code is not None:
                accounts = accounts.filter(margin_account__code=code)
            page = self.paginate_queryset(accounts)
            assert page is not None, "lists come in pages"
            rows = balances_page(list(page), point)
            return self.get_paginated_response(BalanceSerializer(rows, many=True).data)


class PostingSerializer(serializers.ModelSerializer[Posting]):
    """One leg of an entry."""

    ledger_account = serializers.IntegerField(source="account_id")
    pool = serializers.CharField(source="account.pool.code")
    asset = serializers.CharField(source="account.asset.code")
    account_class = serializers.CharField(source="account.account_class")
    amount = ExactText()
    balance_after = ExactText()
    price = ExactText()
    average_after = ExactText()
    realised = ExactText()

    class Meta:
        model = Posting
        fields = [
            "ledger_account", "account_seq", "pool", "asset", "account_class", "amount",
            "balance_after", "reference", "price", "average_after", "realised",
        ]  # fmt: skip
        read_only_fields = fields


class EntrySerializer(serializers.ModelSerializer[Entry]):
    """An entry with its postings."""

    kind = serializers.CharField(source="kind_id")
    reverses = serializers.IntegerField(source="reverses_id", allow_null=True)
    postings = PostingSerializer(many=True)

    class Meta:
        model = Entry
        fields = [
            "id", "kind", "effective_at", "recorded_at", "reference", "narrative", "reverses",
            "postings",
        ]  # fmt: skip
        read_only_fields = fields


class EntryViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Entry]
):
    """Entries, newest first; `?reference=` for those of one event."""

    queryset = Entry.objects.all()
    serializer_class = EntrySerializer
    permission_classes = [permission("read")]
    lookup_value_regex = r"\d{1,18}"

    def get_queryset(self) -> Any:  # noqa: ANN401
        """Entries of which this person may read every leg."""
        here: Any = self.request._request
        entries = (
            visible_entries(here)
            .prefetch_related("postings__account__pool", "postings__account__asset")
            .order_by("-pk")
        )
        point = point_asked(self.request)
        if point is not None and self.action == "list":
            entries = entries_at(entries, point)
        reference = self.request.query_params.get("reference")
        return entries if reference is None else entries.filter(reference=reference)

    @extend_schema(parameters=[OpenApiParameter("reference", OpenApiTypes.STR), *TWO_TIMES])
    def list(self, request: Request, *args: object, **kwargs: object) -> Response:
        """Entries of the filter, those that had taken effect and were known."""
        with reading(request):
            return super().list(request, *args, **kwargs)

    @extend_schema(parameters=TWO_TIMES)
    def retrieve(self, request: Request, *args: object, **kwargs: object) -> Response:
        """One entry; 404 and a sentence where it was not there at the two times."""
        with reading(request) as point:
            entry = self.get_object()
            sentence = "" if point is None else absence(entry, point)
            if sentence:
                raise NotFound(sentence)
            return Response(self.get_serializer(entry).data)


class LocationSerializer(serializers.ModelSerializer[Location]):
    """A place that holds one pool's assets."""

    pool = serializers.CharField(source="pool.code")

    class Meta:
        model = Location
        fields = [
            "code", "pool", "kind", "title", "account_number", "venue", "chain",
            "letter_reference", "letter_signed_on", "letter_expires_on", "closed_on",
        ]  # fmt: skip
        read_only_fields = fields


class LocationViewSet(mixins.ListModelMixin, viewsets.GenericViewSet[Location]):
    """Locations by pool and code."""

    queryset = Location.objects.all()
    serializer_class = LocationSerializer
    permission_classes = [permission("read")]

    def get_queryset(self) -> Any:  # noqa: ANN401
        """Locations of the legal entities this person reads."""
        entities = roles_in(self.request).entities("read")
        return (
            Location.objects.filter(pool__legal_entity__in=entities)
            .select_related("pool")
            .order_by("pool__code", "code")
        )

    @extend_schema(parameters=[TWO_TIMES[1]])
    def list(self, request: Request, *args: object, **kwargs: object) -> Response:
        """Locations, now or as they were known; those that were not are not there."""
        with reading(request) as point:
            if point is None:
                return super().list(request, *args, **kwargs)
            page = self.paginate_queryset(as_known(self.get_queryset(), point))
            return self.get_paginated_response(LocationSerializer(page, many=True).data)


class BreakSerializer(serializers.ModelSerializer[Break]):
    """Where a statement and the book differ."""

    location = serializers.CharField(source="location.code")
    asset = serializers.CharField(source="asset.code", allow_null=True, default=None)
    ledger = ExactText(source="ledger_amount")
    statement = ExactText(source="statement_amount")
    owner = serializers.CharField(source="owner.username", allow_null=True, default=None)

    class Meta:
        model = Break
        fields = [
            "id", "business_day", "location", "kind", "asset", "reference", "ledger", "statement",
            "detail", "status", "owner", "closed_at", "closing_reason",
        ]  # fmt: skip
        read_only_fields = fields


class BreakViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Break]
):
    """Breaks, oldest first; `?open=true` leaves out the closed ones."""

    queryset = Break.objects.all()
    serializer_class = BreakSerializer
    permission_classes = [permission("read")]
    lookup_value_regex = r"\d{1,18}"

    def get_queryset(self) -> Any:  # noqa: ANN401
        """Breaks of the legal entities this person reads."""
        entities = roles_in(self.request).entities("read")
        found = Break.objects.filter(location__pool__legal_entity__in=entities)
        found = found.select_related("location", "asset", "owner").order_by("business_day", "pk")
        is_past = self.action == "list" and "known_at" in self.request.query_params
        if self.request.query_params.get("open") == "true" and not is_past:
            found = found.unresolved()
        return found

    @extend_schema(parameters=[OpenApiParameter("open", OpenApiTypes.BOOL), TWO_TIMES[1]])
    def list(self, request: Request, *args: object, **kwargs: object) -> Response:
        """Breaks of the filter, as they stand or stood."""
        with reading(request) as point:
            if point is None:
                return super().list(request, *args, **kwargs)
            found = as_known(self.get_queryset(), point)
            if request.query_params.get("open") == "true":
                found = [each for each in found if each.status != Break.Status.CLOSED]
            page = self.paginate_queryset(found)
            return self.get_paginated_response(BreakSerializer(page, many=True).data)


class SegregationSerializer(serializers.Serializer[Any]):
    """One asset of one pool: held = owed."""

    pool = serializers.CharField()
    asset = serializers.CharField()
    custody = serializers.SerializerMethodField()
    claims = ExactText()
    unallocated = ExactText()
    requirement = ExactText()
    residual_interest = ExactText()
    shortfall = ExactText()
    own_equity = ExactText()
    loans_receivable = ExactText()
    in_transit = ExactText()
    resource = ExactText()
    excess = ExactText()
    is_whole = serializers.BooleanField()

    def get_custody(self, row: Any) -> dict[str, str]:  # noqa: ANN401
        """What each location holds."""
        return {place: format(held, "f") for place, held in row.custody.items()}


class SegregationViewSet(viewsets.ViewSet):
    """What each pool holds and owes, by asset."""

    permission_classes = [permission("read")]

    @extend_schema(parameters=TWO_TIMES, responses=SegregationSerializer(many=True))
    def list(self, request: Request) -> Response:
        """Every pool and asset, now or at a point."""
        with reading(request) as point:
            rows = pool_assets(
                kinds=("money", "security", "derivative"),
                entities=roles_in(request).entities("read"),
                point=point,
            )
        return Response(SegregationSerializer(rows, many=True).data)


def register(router: BaseRouter) -> None:
    """Add these resources to the API's router."""
    router.register("balances", BalanceViewSet, basename="balance")
    router.register("entries", EntryViewSet, basename="entry")
    router.register("locations", LocationViewSet, basename="location")
    router.register("breaks", BreakViewSet, basename="break")
    router.register("segregation", SegregationViewSet, basename="segregation")
