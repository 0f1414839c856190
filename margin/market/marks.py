"""Prices in, marks out: rows are kept as they came, marks are composed from them."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from django.db.models import OuterRef, Q, Subquery

from accounts.bulk import copy_rows
from ledger.models import Asset
from margin.engine.marks import Mark as ComposedMark
from margin.engine.marks import MarkPolicy, PriceObservation, compose_marks
from margin.engine.price_quality import QualifiedMark
from margin.market.rules import InForce, rules_in_force
from margin.market.states import Moment, mark_fields, qualified_marks
from margin.models import Contract, Mark, MarketRule, Price, PriceFile, PriceOverride
from margin.models.market import BASE as BASE
from margin.models.market import MarkQuerySet

POLICY = MarkPolicy()
OVERRIDDEN = "overridden"
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class ReceivedPrice:
    """One readable price of a file, by its line."""

    instrument: str
    source: str
    observed_at: datetime
    price: Decimal
    line: int


def priced_assets() -> list[Asset]:
    """What needs a mark: every instrument, and every money asset but the base currency."""
    return list(Asset.objects.filter(~Q(kind="money") | ~Q(code=BASE)).order_by("code"))


def priced_names() -> frozenset[str]:
    """Codes of what needs a mark."""
    return frozenset(asset.code for asset in priced_assets())


def record_prices_of(
    received: Sequence[ReceivedPrice],
    *,
    business_day: date,
    file_sha256: str,
    price_file: PriceFile | None = None,
) -> None:
    """Keep prices as received, whatever they are worth; call inside an act.

    Args:
        price_file: the file of an instant inside the day they came in; None for a day's prices.
    """
    assets = {asset.code: asset for asset in priced_assets()}
    copy_rows(
        [
            Price(
                asset=assets[row.instrument],
                source=row.source,
                observed_at=row.observed_at,
                price=row.price,
                business_day=business_day,
                file_sha256=file_sha256,
                line=row.line,
                price_file=price_file,
            )
            for row in received
        ]
    )


def newest_marks(before: date, *, besides: str | None = None) -> dict[str, Mark]:
    """The newest day's mark of every priced asset of a day before this one.

    What was taken at instants inside days does not count: a day stands on the day before it.

    Args:
        besides: a state in which marks do not count.
    """
    return _newest(Mark.objects.of_days().filter(business_day__lt=before), besides=besides)


def known_marks(*, before: datetime | None = None, besides: str | None = None) -> dict[str, Mark]:
    """The newest mark of every priced asset there is, of a day or of an instant inside one.

    Args:
        before: only marks of earlier instants.
        besides: a state in which marks do not count.
    """
    rows = Mark.objects.all() if before is None else Mark.objects.filter(as_of__lt=before)
    return _newest(rows, besides=besides)


def _newest(rows: MarkQuerySet, *, besides: str | None) -> dict[str, Mark]:
    """The newest of each asset, looked up asset by asset: there may be a great many of each."""
    of_asset = rows.exclude(state=besides or "").filter(asset=OuterRef("pk"))
    newest = Asset.objects.annotate(
        mark=Subquery(of_asset.order_by("-as_of", "-revision").values("pk")[:1])
    )
    found = Mark.objects.filter(pk__in=newest.values("mark")).select_related("asset")
    return {mark.asset.code: mark for mark in found.order_by("asset_id")}


def compose_day(*, business_day: date, as_of: datetime, file_sha256: str) -> list[Mark]:
    """Compose the day's mark of every priced asset from the prices kept; call inside an act.

    An asset with rules in force is marked by them, any other as house rules v1 say.
    """
    prices = (
        Price.objects.filter(
            file_sha256=file_sha256, business_day=business_day, price_file__isnull=True
        )
        .select_related("asset")
        .order_by("line")
    )
    # What people set ends when it expires, so it is never carried.
    previous = newest_marks(business_day, besides=Mark.State.OVERRIDDEN)
    by_line = {price.line: price for price in prices}
    return compose(by_line, previous=previous, business_day=business_day, as_of=as_of)


def compose(
    by_line: Mapping[int, Price],
    *,
    previous: Mapping[str, Mark],
    business_day: date,
    as_of: datetime,
) -> list[Mark]:
    """Compose and keep the mark of every asset that had one before; call inside an act.

    Args:
        by_line: prices by a number that orders those of one source and instant.
        previous: the marks before, by asset code, which stay where too few sources are left.
    """
    over = _expired(as_of)
    previous = {code: mark for code, mark in previous.items() if code not in over}
    rules = {
        code: found
        for code, found in rules_in_force(business_day, MarketRule.Kind.PRICE).items()
        if code in previous
    }
    observed: dict[str, list[PriceObservation]] = defaultdict(list)
    for line, p in ((line, p) for line, p in by_line.items() if p.asset.code not in over):
        row = PriceObservation(p.asset.code, p.source, p.observed_at, p.price, line)
        observed[p.asset.code].append(row)
    plain = compose_marks(
        [
            row
            for code, rows in observed.items()
            if code in previous and code not in rules
            for row in rows
        ],
        as_of=as_of,
        names=sorted(previous.keys() - rules.keys()),
        previous={code: mark.price for code, mark in previous.items()},
        policy=POLICY,
    )
    overrides, at = overrides_in_force(as_of), (business_day, as_of)
    apart = frozenset(code for code, mark in previous.items() if mark.asset_id in overrides)
    ruled = qualified_marks(
        rules,
        observed=observed,
        marked={m.instrument: (m.price, m.state) for m in plain if m.instrument not in apart},
        moment=Moment(business_day, as_of, previous, apart),
    )
    found: dict[str, ComposedMark | QualifiedMark] = {each.instrument: each for each in plain}
    composed = [(found | ruled)[code] for code in sorted(previous)]
    first = _first_marks(observed, besides=previous.keys(), by_line=by_line, at=at)
    return copy_rows(
        [
            _overridden(mark, overrides[before.asset_id], by_line=by_line, at=at)
            if before.asset_id in overrides
            else _composed(mark, before, by_line=by_line, at=at, rule=rules.get(mark.instrument))
            for mark, before in ((mark, previous[mark.instrument]) for mark in composed)
        ]
        + first
    )


def _expired(as_of: datetime) -> set[str]:
    """Codes of options that are over: nothing marks them any more."""
    rows = Contract.objects.filter(form=Contract.Form.OPTION, expires_at__lte=as_of)
    return set(rows.values_list("asset__code", flat=True))


def _first_marks(
    observed: Mapping[str, Sequence[PriceObservation]],
    *,
    besides: Collection[str],
    by_line: Mapping[int, Price],
    at: tuple[date, datetime],
) -> list[Mark]:
    """Marks of options that have none yet; where the sources make none, there is none."""
    business_day, as_of = at
    options = Asset.objects.filter(is_option=True, code__in=observed.keys() - set(besides))
    assets = {asset.code: asset for asset in options}
    rows = [row for code in assets for row in observed[code]]
    nothing = dict.fromkeys(assets, ZERO)
    marks = compose_marks(rows, as_of=as_of, names=sorted(assets), previous=nothing, policy=POLICY)
    return [
        Mark(
            asset=assets[mark.instrument],
            as_of=as_of,
            business_day=business_day,
            price=mark.price,
            state=mark.state,
            used=[{"source": r.source, "price_id": by_line[r.line].pk} for r in mark.used_prices],
            dropped=[_dropped(by_line[each.line], each.reason) for each in mark.dropped],
        )
        for mark in marks
        if mark.state == Mark.State.VALID
    ]


def overrides_in_force(at: datetime) -> dict[int, PriceOverride]:
    """The newest override of every asset that has one at an instant."""
    rows = (
        PriceOverride.objects.filter(begins_at__lte=at, ends_at__gt=at)
        .order_by("asset_id", "-pk")
        .distinct("asset_id")
    )
    return {row.asset_id: row for row in rows}


def _composed(
    mark: ComposedMark | QualifiedMark,
    before: Mark,
    *,
    by_line: Mapping[int, Price],
    at: tuple[date, datetime],
    rule: InForce | None,
) -> Mark:
    """The mark as the sources make it, or as it was before where they do not."""
    business_day, as_of = at
    if isinstance(mark, QualifiedMark):
        assert rule is not None, "an asset is qualified by its rules"
        used, is_carried, more = mark.used, mark.is_carried, mark_fields(mark, rule)
    else:
        used, is_carried, more = mark.used_prices, mark.state != "VALID", {}
    return Mark(
        asset=before.asset,
        as_of=as_of,
        business_day=business_day,
        price=mark.price,
        state=mark.state,
        used=[{"source": row.source, "price_id": by_line[row.line].pk} for row in used],
        dropped=[_dropped(by_line[each.line], each.reason) for each in mark.dropped],
        carried_from=before if is_carried else None,
        **more,
    )


def _overridden(
    mark: ComposedMark | QualifiedMark,
    override: PriceOverride,
    *,
    by_line: Mapping[int, Price],
    at: tuple[date, datetime],
) -> Mark:
    """What two people put in the place of the mark; no source counts."""
    business_day, as_of = at
    dropped = [_dropped(by_line[each.line], each.reason) for each in mark.dropped]
    used = mark.used if isinstance(mark, QualifiedMark) else mark.used_prices
    dropped += [_dropped(by_line[row.line], OVERRIDDEN) for row in used]
    return Mark(
        asset_id=override.asset_id,
        as_of=as_of,
        business_day=business_day,
        price=override.price,
        state=Mark.State.OVERRIDDEN,
        used=[],
        dropped=dropped,
        override=override,
    )


def _dropped(price: Price, reason: str) -> dict[str, object]:
    return {
        "source": price.source,
        "observed_at": price.observed_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "reason": reason,
        "price_id": price.pk,
    }


def marks_of(business_day: date) -> dict[str, Mark]:
    """The day's marks by asset code, as they stand."""
    rows = Mark.objects.standing().filter(business_day=business_day).select_related("asset")
    return {mark.asset.code: mark for mark in rows.order_by("as_of")}
