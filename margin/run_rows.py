"""What runs by rows and runs in columns have in common: assets as they count, and numbers."""

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Final, Protocol

from django.db import connection
from django.db.models import QuerySet

from ledger.models import Asset
from margin.book import ReadInputs
from margin.book.options import terms_of
from margin.engine.exact import ONE
from margin.engine.inputs import AssetRow
from margin.market.marks import BASE
from margin.market.states import doubt_of
from margin.models import MarginRun, Mark
from margin.parameters import engine_terms
from margin.terms import TermsInForce

# What a run is made for: everything at the end of a day, everything at an instant inside one, or
# what something has touched since the run before.
END_OF_DAY: Final = "end-of-day"
INTRADAY: Final = "intraday"
INCREMENTAL: Final = "incremental"
INSIDE_DAYS: Final = (INTRADAY, INCREMENTAL)
# What is done one after another by all processes together.
TAKING: Final = "take prices"
SETTLING: Final = "make and settle margin runs"


def whole_runs() -> "QuerySet[MarginRun]":
    """Runs that speak of every scope."""
    return MarginRun.objects.exclude(purpose=INCREMENTAL)


def day_runs() -> "QuerySet[MarginRun]":
    """Runs of days, whatever was run at instants inside them."""
    return MarginRun.objects.exclude(purpose__in=INSIDE_DAYS)


def settled_runs() -> "QuerySet[MarginRun]":
    """Runs that say how scopes stand, the newest last: of days, and of what came inside them."""
    purposes = (END_OF_DAY, *INSIDE_DAYS)
    return MarginRun.objects.filter(purpose__in=purposes, restates=None).order_by("pk")


def one_after_another(what: str) -> None:
    """Wait for whoever else does it now, and let others wait until the act ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [what])


class Priced(Protocol):
    """Assets with marks and terms, as a run has read them."""

    @property
    def assets(self) -> Mapping[int, Asset]: ...
    @property
    def marks(self) -> Mapping[int, Mark]: ...
    @property
    def terms(self) -> TermsInForce: ...


def asset_rows(read: Priced) -> Iterator[AssetRow]:
    """Every asset with terms and a mark; the currency is worth one of itself."""
    for asset in sorted(read.assets.values(), key=lambda each: each.code):
        terms = engine_terms(read.terms, asset_id=asset.pk, kind=asset.kind)
        if terms is None:
            continue
        if asset.code == BASE:
            yield AssetRow(asset.code, terms, ONE)
            continue
        mark = read.marks.get(asset.pk)
        if mark is not None:
            overridden = mark.state == Mark.State.OVERRIDDEN
            is_doubted = mark.state != Mark.State.VALID
            yield AssetRow(
                asset.code, terms, mark.price, is_doubted, overridden, doubt=doubt_of(mark)
            )


def option_assets(read: ReadInputs) -> Iterator[AssetRow]:
    """Every option held, by code; one that is not priced by itself sets off no liquidation."""
    for pk, price in sorted(read.options.items(), key=lambda each: read.assets[each[0]].code):
        contract, mark = read.contracts[pk], read.marks.get(pk)
        beneath = read.assets[contract.underlying_id].code
        is_valid = price.is_own and mark is not None and mark.state == Mark.State.VALID
        yield AssetRow(
            read.assets[pk].code,
            terms_of(contract, underlying=beneath),
            price.middle,
            insufficient=not is_valid,
            overridden=price.is_own and mark is not None and mark.state == Mark.State.OVERRIDDEN,
            doubt=price.doubt or (None if mark is None else doubt_of(mark)),
        )


def next_number(business_day: date) -> str:
    """The next run of a day."""
    prefix = f"MR-{business_day:%y%m%d}-"
    return f"{prefix}{MarginRun.objects.filter(number__startswith=prefix).count() + 1}"
