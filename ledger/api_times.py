"""The two times of a request, and what the book says of late entries and closed periods."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from accounts.api_fields import ExactText
from accounts.asking_api import http_of
from accounts.audit import Actor, RefusedError
from accounts.clock import utc_stamp
from accounts.models import LegalEntity
from accounts.roles import check, permission, roles_in
from ledger.back_dating import back_dated
from ledger.models import BackDatedEntry, Balance, LedgerAccount
from ledger.periods import CLOSE, Turn, close_period, closed_through, history
from ledger.screens.visible import ledger_accounts
from ledger.standing import balances_at, book_standing
from ledger.times import (
    ReadingPoint,
    TimeRefusedError,
    asked,
    known,
    one_snapshot,
    reading_point,
)

TWO_TIMES = [
    OpenApiParameter(
        "as_of", OpenApiTypes.DATE, description="What takes effect by the end of this date, UTC"
    ),
    OpenApiParameter(
        "known_at",
        OpenApiTypes.DATETIME,
        description="What was known at the newest horizon stored then or before",
    ),
]


def point_asked(request: Request) -> ReadingPoint | None:
    """The point that the address asks for; None for here and now.

    Raises:
        ValidationError: (400) a time is none, or nothing can be read there.
    """
    try:
        return asked(request.query_params)
    except TimeRefusedError as refused:
        raise serializers.ValidationError({"detail": str(refused)}) from refused


@contextmanager
def reading(request: Request) -> Iterator[ReadingPoint | None]:
    """Read at the point that the address asks for: one state, on a connection of its own."""
    point = point_asked(request)
    if point is None:
        yield None
        return
    with one_snapshot():
        yield point


def balances_page(accounts: "list[LedgerAccount]", point: ReadingPoint) -> "list[Balance]":
    """Balances of some ledger accounts as they stood."""
    stood = balances_at(point, account_ids=[account.pk for account in accounts])
    return [
        Balance(
            account=account,
            amount=stood[account.pk].amount,
            seq=stood[account.pk].seq,
            average_cost=stood[account.pk].average_cost,
        )
        for account in accounts
    ]


def accounts_known(request: Request, point: ReadingPoint) -> Any:  # noqa: ANN401 - querysets
    """The ledger accounts that a person reads and the point knows, in the order of their ids."""
    here: Any = request._request
    return known(ledger_accounts(here), point).order_by("pk")


class TrialLineSerializer(serializers.Serializer[Any]):
    """Accounts of one pool, asset, class and place."""

    pool = serializers.CharField()
    asset = serializers.CharField()
    account_class = serializers.CharField()
    location = serializers.CharField()
    debit = ExactText()
    credit = ExactText()


class TrialBalanceViewSet(viewsets.ViewSet):
    """What stands on either side of each pool, by asset, class and place."""

    permission_classes = [permission("read")]

    @extend_schema(parameters=TWO_TIMES, responses=TrialLineSerializer(many=True))
    def list(self, request: Request) -> Response:
        """Every group of accounts that holds something."""
        with reading(request) as point:
            book = book_standing(
                point or reading_point(), entities=roles_in(request).entities("read")
            )
        lines = [
            {
                **dict(zip(("pool", "asset", "account_class", "location"), key, strict=True)),
                "debit": group.debit,
                "credit": group.credit,
            }
            for key, group in book.grouped()
        ]
        return Response(TrialLineSerializer(lines, many=True).data)


class BackDatedSerializer(serializers.ModelSerializer[BackDatedEntry]):
    """An entry that came after its date."""

    entry = serializers.IntegerField(source="entry_id")
    kind = serializers.CharField(source="entry.kind_id")
    reference = serializers.CharField(source="entry.reference")
    ledger_account = serializers.IntegerField(source="account_id", allow_null=True)
    approval = serializers.UUIDField(source="approval_id", allow_null=True)
    balance = ExactText()

    class Meta:
        model = BackDatedEntry
        fields = [
            "entry", "kind", "reference", "effective_on", "overtaken_on", "broken_rule",
            "ledger_account", "broken_on", "balance", "approval",
        ]  # fmt: skip
        read_only_fields = fields


class BackDatedViewSet(mixins.ListModelMixin, viewsets.GenericViewSet[BackDatedEntry]):
    """Entries that came after their date, newest first; `?broken=true` for those with a breach."""

    queryset = BackDatedEntry.objects.all()
    serializer_class = BackDatedSerializer
    permission_classes = [permission("read")]

    def get_queryset(self) -> Any:  # noqa: ANN401
        """Those into pools that this person reads."""
        found = back_dated(roles_in(self.request).entities("read"))
        point = point_asked(self.request)
        if point is not None:
            found = known(found, point)
        if self.request.query_params.get("broken") == "true":
            found = found.exclude(broken_rule="")
        return found

    @extend_schema(parameters=[OpenApiParameter("broken", OpenApiTypes.BOOL), TWO_TIMES[1]])
    def list(self, request: Request, *args: object, **kwargs: object) -> Response:
        """Late entries of the filter."""
        return super().list(request, *args, **kwargs)


class ClosingSerializer(serializers.Serializer[Any]):
    """What is asked for when a period is closed."""

    legal_entity = serializers.CharField()
    through = serializers.DateField()
    reason = serializers.CharField()


class PeriodViewSet(viewsets.ViewSet):
    """Closed periods: which dates the book takes nothing more for, and every turn of that."""

    permission_classes = [permission("read")]

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def list(self, request: Request) -> Response:
        """By legal entity, newest turn first."""
        entities = LegalEntity.objects.filter(pk__in=roles_in(request).entities("read"))
        return Response([period_json(entity) for entity in entities.order_by("code")])

    @extend_schema(request=ClosingSerializer, responses=OpenApiTypes.OBJECT)
    def create(self, request: Request) -> Response:
        """Close everything through a date."""
        entity_here = http_of(request).legal_entity
        if entity_here is not None and not roles_in(request).entities(CLOSE):
            check(request, CLOSE, entity_here)
        asked_for = ClosingSerializer(data=request.data)
        asked_for.is_valid(raise_exception=True)
        said = asked_for.validated_data
        entity = LegalEntity.objects.filter(
            code=said["legal_entity"], pk__in=roles_in(request).entities("read")
        ).first()
        if entity is None:
            raise serializers.ValidationError({"legal_entity": "There is no such legal entity."})
        check(request, CLOSE, entity)
        try:
            close_period(
                entity.pk,
                through=said["through"],
                reason=said["reason"],
                actor=_person(request),
            )
        except RefusedError as refused:
            answer = {"rule": refused.rule, "detail": refused.detail}
            return Response(answer, status=status.HTTP_409_CONFLICT)
        return Response(period_json(entity), status=status.HTTP_201_CREATED)


def _person(request: Request) -> Actor:
    key = request.session.session_key
    assert key is not None, "who is signed in has a session"
    return Actor.person(key, channel="api")


def period_json(entity: LegalEntity) -> dict[str, Any]:
    """What is closed at a firm, and how it came to that."""
    closed = closed_through(entity.pk)
    return {
        "legal_entity": entity.code,
        "closed_through": None if closed is None else closed.isoformat(),
        "events": [turn_json(turn) for turn in history(entity.pk)],
    }


def turn_json(turn: Turn) -> dict[str, Any]:
    """A closing or reopening as programs have it."""
    event = turn.event
    return {
        "number": event.number,
        "event": event.event,
        "closed_through": None
        if event.closed_through is None
        else event.closed_through.isoformat(),
        "recorded_at": utc_stamp(event.recorded_at),
        "by": turn.by,
        "reason": event.reason,
        "approval": None if event.approval_id is None else str(event.approval_id),
    }


def register(router: BaseRouter) -> None:
    """Add these resources to the API's router."""
    router.register("trial-balance", TrialBalanceViewSet, basename="trial-balance")
    router.register("back-dated-entries", BackDatedViewSet, basename="back-dated-entry")
    router.register("periods", PeriodViewSet, basename="period")
