"""What is said now of markets, terms and models, read once for as long as nothing is added to it.

Questions about scopes are asked one after the other at the newest marks. What they are asked of is
the same until something new is said, so a process keeps it and looks, in one query, whether it
still stands.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from datetime import UTC, date, datetime
from threading import Lock
from typing import Final, NamedTuple, TypeVar, cast

from django.db import connection
from django.db.models import Max, Model, Subquery

from ledger.models import Asset
from margin.book.closes import Closes, closes_until
from margin.book.market_data import MarketData, read_market
from margin.engine.policies import CROWDING
from margin.model_registry import UsedModel, decisions_in_force, parameters_in_force
from margin.models import (
    Bracket,
    CallTerms,
    Contract,
    Haircut,
    HaircutSchedule,
    InstrumentTerms,
    Mark,
    MarketRow,
    MarketRule,
    ModelDecision,
    ParameterSet,
    PriceFile,
)
from margin.moving_levels import terms_that_move
from margin.terms import TermsInForce, terms_in_force

Part = TypeVar("Part")


# All that it is read of. Rows are only ever added, and each says which transaction wrote it.
OF_CLOSES: Final[tuple[type[Model], ...]] = (Mark, PriceFile)
BESIDES: Final[tuple[type[Model], ...]] = (
    Asset, Bracket, CallTerms, Contract, Haircut, HaircutSchedule, InstrumentTerms, MarketRow,
    MarketRule, ModelDecision, ParameterSet,
)  # fmt: skip
TABLES: Final = OF_CLOSES + BESIDES
# Parts for so many days, instants and parameters.
PARTS_KEPT, CLOSES_KEPT = 64, 2


class Parts:
    """So many things that were read, the oldest given up first; nothing is not kept."""

    def __init__(self, most: int) -> None:
        self._read: dict[Hashable, object] = {}
        self._most = most
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._read)

    def once(self, what: Hashable, read: Callable[[], Part]) -> Part:
        """What is kept of it, or what reading it gives."""
        with self._lock:
            if what in self._read:
                return cast(Part, self._read[what])
        part = read()
        if part is not None:
            with self._lock:
                self._read[what] = part
                while len(self._read) > self._most:
                    del self._read[next(iter(self._read))]
        return part


class MarketNow:
    """Each part is read when it is first asked for, and must not be changed by who asks.

    Args:
        closes: those that were read before and still stand; reading five years takes longest.
    """

    def __init__(self, closes: Parts | None = None) -> None:
        self._parts = Parts(PARTS_KEPT)
        self._closes = Parts(CLOSES_KEPT) if closes is None else closes

    def newest_as_of(self) -> datetime | None:
        """The moment of the newest marks; None before the first."""
        return self._parts.once("newest", _newest_as_of)

    def marks(self, as_of: datetime) -> Mapping[int, Mark]:
        """The standing marks of an instant, by asset id."""
        return self._parts.once(("marks", as_of), lambda: _marks(as_of))

    def assets(self) -> Mapping[int, Asset]:
        """Every asset by id."""
        return self._parts.once(
            "assets", lambda: {asset.pk: asset for asset in Asset.objects.all()}
        )

    def assets_by_code(self) -> Mapping[str, Asset]:
        """Every asset by code."""
        return self._parts.once(
            "codes", lambda: {each.code: each for each in self.assets().values()}
        )

    def contracts(self) -> Mapping[int, Contract]:
        """Every contract by asset id, with what it is written on."""
        return self._parts.once("contracts", _contracts)

    def terms(self, day: date) -> TermsInForce:
        """Haircuts, rates and brackets of all assets on a day."""
        return self._parts.once(("terms", day), lambda: terms_in_force(day))

    def market(self, as_of: datetime, *, day: date) -> MarketData:
        """Curves, volatilities, volumes and open interest at an instant, by the rules of a day."""
        return self._parts.once(
            ("market", as_of, day), lambda: read_market(horizon_id=None, as_of=as_of, day=day)
        )

    def closes(self, as_of: datetime) -> Closes:
        """The last mark of every asset and day up to an instant."""
        return self._closes.once(as_of, lambda: closes_until(as_of))

    def any_watched(self, day: date) -> bool:
        """Whether a model is watched beside production on a day."""
        return self._parts.once(("watched", day), lambda: _any_watched(day))

    def parameters(self, model: str, code: str, *, day: date) -> UsedModel | None:
        """A model with the parameters in force on a day; None without any.

        Raises:
            RejectedInputError: the parameters cannot be read.
        """
        return self._parts.once(
            ("parameters", model, code, day), lambda: parameters_in_force(model, code, day=day)
        )

    def crowded(self) -> frozenset[str]:
        """Codes of the instruments whose crowded sides are charged for."""
        return self._parts.once("crowded", _crowded)

    def moving_terms(self, day: date) -> Mapping[int, CallTerms]:
        """Terms of calls in force on a day that move levels, by agreement."""
        return self._parts.once(("moving", day), lambda: terms_that_move(day))

    def besides_closes(self) -> "MarketNow":
        """The same closes, and everything else to be read again."""
        return MarketNow(self._closes)


def _newest_as_of() -> datetime | None:
    newest_day = Mark.objects.order_by("-business_day").values("business_day")[:1]
    of_day = Mark.objects.filter(business_day=Subquery(newest_day))
    newest: datetime | None = of_day.aggregate(newest=Max("as_of"))["newest"]
    return newest


def _marks(as_of: datetime) -> dict[int, Mark]:
    day = as_of.astimezone(UTC).date()  # of every mark of that instant
    found = Mark.objects.standing().filter(business_day=day, as_of=as_of)
    return {mark.asset_id: mark for mark in found}


def _contracts() -> dict[int, Contract]:
    rows = Contract.objects.select_related("asset", "underlying")
    return {each.asset_id: each for each in rows}


def _any_watched(day: date) -> bool:
    decided = decisions_in_force(day)
    return any(each.standing == ModelDecision.Standing.SHADOW for each in decided)


def _crowded() -> frozenset[str]:
    return frozenset(ParameterSet.objects.filter(model=CROWDING).values_list("code", flat=True))


# ---------------------------------------------------------------- kept in a process


class _Kept(NamedTuple):
    """What was read, and by what one tells that nothing was added since.

    Attributes:
        place: of the tables: a database that is emptied or made anew keeps them elsewhere, and a
            server that was put back to an earlier state has been started since.
        snapshot: what was seen before the first part was read.
    """

    place: str
    snapshot: str
    now: MarketNow


_kept: _Kept | None = None


def _nothing_since(tables: Iterable[type[Model]]) -> str:
    """Whether nothing was added to some tables since a snapshot that this server has given."""
    return " AND ".join(
        (
            "coalesce(pg_snapshot_xmax(k.seen) <= pg_snapshot_xmax(pg_current_snapshot()), false)",
            *(
                f"NOT EXISTS (SELECT FROM {table._meta.db_table} t"
                " WHERE t.xid >= pg_snapshot_xmin(k.seen)"
                " AND NOT pg_visible_in_snapshot(t.xid, k.seen))"
                for table in tables
            ),
        )
    )


_PLACES: Final = ", ".join(f"pg_relation_filenode('{table._meta.db_table}')" for table in TABLES)
STANDS: Final = f"""
    SELECT concat_ws(' ', pg_postmaster_start_time(), d.oid, {_PLACES}),
           pg_current_snapshot()::text,
           pg_current_xact_id_if_assigned() IS NULL
               AND current_setting('transaction_isolation') = 'read committed',
           {_nothing_since(OF_CLOSES)},
           {_nothing_since(BESIDES)}
    FROM pg_database d, (SELECT %(snapshot)s::pg_snapshot AS seen) k
    WHERE d.datname = current_database()
"""  # noqa: S608 - names of tables


def market_now() -> MarketNow:
    """What is said now: what this process read before, as long as nothing was said since.

    A part that is read later than another may know more; whoever looks next then finds all of it
    new. Nothing is kept of a transaction that has itself written, or that sees one instant only.
    """
    global _kept
    kept = _kept
    with connection.cursor() as cursor:
        cursor.execute(STANDS, {"snapshot": None if kept is None else kept.snapshot})
        place, snapshot, is_reader, closes_stand, all_else_stands = cursor.fetchone()
    if not is_reader:
        return MarketNow()
    found = MarketNow()
    if kept is not None and closes_stand and kept.place == place:
        if all_else_stands:
            return kept.now
        found = kept.now.besides_closes()
    _kept = _Kept(place, snapshot, found)
    return found


__all__ = ["TABLES", "MarketNow", "market_now"]
