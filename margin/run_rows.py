"""What runs by rows and runs in columns have in common: assets as they count, and numbers."""

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Final, Protocol

from django.db.models import QuerySet

from ledger.models import Asset
from margin.book import ReadInputs
from margin.book.options import terms_of
from margin.engine.exact import ONE
from margin.engine.inputs import AssetRow
from margin.market_states import doubt_of
from margin.marks import BASE
from margin.models import MarginRun, Mark
from margin.parameters import engine_terms
from margin.terms import TermsInForce

# What a run is made for: everything at the end of a day, or what something has touched since.
END_OF_DAY: Final = "end-of-day"
INCREMENTAL: Final = "incremental"


def whole_runs() -> "QuerySet[MarginRun]":
    """Runs that speak of every scope."""
    return MarginRun.objects.exclude(purpose=INCREMENTAL)


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
