"""What holding positions costs from now on: the decay of options, and funding of perpetuals.

Both are said in an hour, at the newest marks, volatilities and funding rates. What options lose
counts where the equity of their scope counts them; who owes options gains. A positive funding
rate is paid by who is long to who is short.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from statistics import median
from typing import Final, NamedTuple

from django.db.models import Q, QuerySet

from ledger.models import Asset, AssetKind, Balance
from margin.book.decay import HOURS_PER_YEAR, hourly_decay
from margin.book.market_data import read_market
from margin.book.options import OptionPrice, option_prices, takes_options
from margin.engine.exact import ONE, ZERO, exact
from margin.engine.option_equity import OptionEquity, counted
from margin.market.marks import BASE, known_marks
from margin.market.rows import SAID_FOR, newest_rows
from margin.model_registry import models_in_use
from margin.models import Contract, MarginResult, Mark, MarketRow, ModelDecision
from margin.pools import Pools

HOURS: Final = Decimal(HOURS_PER_YEAR)
Form = Contract.Form


class Holding(NamedTuple):
    """A position of a bucket that costs something as time passes."""

    bucket: int
    asset_id: int
    quantity: Decimal


class Costs(NamedTuple):
    """What an hour takes from a bucket, in the base currency; below 0 where it brings."""

    decay: Decimal = ZERO
    funding: Decimal = ZERO


class _Known(NamedTuple):
    """Everything that holdings are valued by, by asset id."""

    assets: Mapping[int, Asset]
    contracts: Mapping[int, Contract]
    marks: Mapping[int, Mark]
    prices: Mapping[int, OptionPrice]
    decays: Mapping[int, Decimal]
    rates: Mapping[int, Decimal]

    def in_base(self, asset_id: int) -> Decimal | None:
        """The price of the money that an asset settles in; None without a mark."""
        money = self.assets[asset_id].settles_in
        if money is None:
            return None
        if money.code == BASE:
            return ONE
        mark = self.marks.get(money.pk)
        return None if mark is None else mark.price


def holding_costs(results: Sequence[MarginResult], *, at: datetime) -> dict[int, Costs]:
    """By bucket, what holding what it holds takes; buckets that hold nothing such are left out."""
    of_bucket = {r.scope.bucket_id: r for r in results if r.scope.bucket_id is not None}
    held = _held(of_bucket)
    if not held:
        return {}
    known = _known({each.asset_id for each in held}, at=at)
    by_bucket: dict[int, list[Holding]] = defaultdict(list)
    for each in held:
        by_bucket[each.bucket].append(each)
    counts = _counts([of_bucket[bucket] for bucket in by_bucket], at=at)
    return {
        bucket: Costs(_decay(rows, known, counts=counts[bucket]), _funding(rows, known))
        for bucket, rows in by_bucket.items()
    }


def holding_buckets() -> set[int]:
    """Buckets that hold options or perpetuals; what a member of a group holds, the group holds."""
    groups = Pools.newest().groups
    held = _positions().values_list("account__bucket", flat=True).distinct()
    return {groups.get(bucket, bucket) for bucket in held if bucket is not None}


def _positions() -> "QuerySet[Balance]":
    """Positions in derivatives but futures; one of which nobody said more is a perpetual."""
    futures = Contract.objects.filter(form=Form.FUTURE).values("pk")
    return Balance.objects.filter(
        account__account_class="position", account__asset__kind=AssetKind.DERIVATIVE
    ).exclude(Q(amount=0) | Q(account__asset__in=futures))


def _held(buckets: Mapping[int, MarginResult]) -> list[Holding]:
    groups = Pools.newest().groups
    members = [member for member, group in groups.items() if group in buckets]
    rows = _positions().filter(account__bucket__in=[*buckets, *members])
    return [
        Holding(groups.get(bucket, bucket), asset, amount.copy_negate())
        for bucket, asset, amount in rows.values_list("account__bucket", "account__asset", "amount")
    ]


def _known(held: set[int], *, at: datetime) -> _Known:
    contracts = {each.pk: each for each in Contract.objects.filter(pk__in=held)}
    beneath = {each.underlying_id for each in contracts.values()}
    found = Asset.objects.filter(pk__in=held | beneath).select_related("settles_in")
    assets = {asset.pk: asset for asset in found}
    marks = {mark.asset_id: mark for mark in known_marks().values()}
    options = [pk for pk, contract in contracts.items() if contract.form == Form.OPTION]
    prices: Mapping[int, OptionPrice] = {}
    decays: Mapping[int, Decimal] = {}
    if options:
        market = read_market(horizon_id=None, as_of=at, day=at.date())
        by = {"assets": assets, "contracts": contracts, "marks": marks, "market": market}
        prices = option_prices(options, **by)  # type: ignore[arg-type]
        decays = hourly_decay(prices, **by)  # type: ignore[arg-type]
    return _Known(assets, contracts, marks, prices, decays, _rates(at))


def _rates(at: datetime) -> dict[int, Decimal]:
    """Funding per year by asset: the middle of what the sources said in the last day."""
    said: dict[int, list[Decimal]] = defaultdict(list)
    for row in newest_rows(at, kinds=[MarketRow.Kind.FUNDING], known_for=SAID_FOR):
        if row.value is not None:
            said[row.asset_id].append(row.value)
    return {asset: median(rates) for asset, rates in said.items()}


def _counts(results: Sequence[MarginResult], *, at: datetime) -> dict[int, OptionEquity]:
    """What the equity of each bucket counts of its options."""
    used = models_in_use(at.date(), standing=ModelDecision.Standing.PRODUCTION)
    found = {}
    for result in results:
        terms = result.agreement_version
        model = used.get((terms.model, terms.parameters))
        rule = OptionEquity.NONE if model is None else takes_options(model)
        found[result.scope.bucket_id or 0] = rule
    return found


def _decay(rows: Sequence[Holding], known: _Known, *, counts: OptionEquity) -> Decimal:
    options = [each for each in rows if each.asset_id in known.prices]
    with exact():
        values = [known.prices[each.asset_id].value(each.quantity) for each in options]
    total = ZERO
    for each, does in zip(options, counted(values, counts=counts), strict=True):
        price = known.in_base(each.asset_id)
        if does and price is not None:
            total += each.quantity * known.decays.get(each.asset_id, ZERO) * price
    return total


def _funding(rows: Sequence[Holding], known: _Known) -> Decimal:
    total = ZERO
    for each in rows:
        contract, mark = known.contracts.get(each.asset_id), known.marks.get(each.asset_id)
        rate, price = known.rates.get(each.asset_id), known.in_base(each.asset_id)
        is_option = contract is not None and contract.form == Form.OPTION
        if is_option or mark is None or rate is None or price is None:
            continue
        units = ONE if contract is None else contract.multiplier
        # An inverse contract is so much of its quote, paid in the coin at the coin's own price.
        is_inverse = contract is not None and contract.is_inverse
        each_unit = price / mark.price if is_inverse else mark.price * price
        total += each.quantity * units * each_unit * rate / HOURS
    return total
