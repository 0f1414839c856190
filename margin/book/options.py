"""What the options of a book are worth to each side: by their own prices, or by the surface.

An option whose prices make a mark is worth that mark. One whose prices do not is marked by the
volatilities of its underlying and its forward: lower for who is long, higher for who is short, and
flagged, so that it sets off no liquidation. What neither says has no price. From its expiry on an
option is worth what it pays at the mark of its underlying, and is flagged until it is settled.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Final, NamedTuple, Protocol

import numpy as np

from ledger.models import Asset
from margin.book.market_data import MarketData
from margin.engine.black76 import black76_price
from margin.engine.collateral import Fact
from margin.engine.exact import ZERO, exact, plain
from margin.engine.given import Float
from margin.engine.inputs import Doubt, OptionRow, OptionTerms
from margin.engine.market import DAYS_PER_YEAR, Kind
from margin.engine.option_equity import WORDS, OptionEquity, counted
from margin.engine.option_marks import YEARS_LEAST
from margin.engine.pricing import implied_volatility
from margin.engine.quotes import Support
from margin.engine.rejected import RejectedInputError
from margin.engine.surface import Surface
from margin.model_registry import UsedModel
from margin.models import Contract, Mark, MarketRow

SECONDS_PER_YEAR: Final = DAYS_PER_YEAR * 86_400.0
PLACES: Final = Decimal(1).scaleb(-8)
# Flags of results that rest on something else than prices of the option.
MODELLED, EXPIRED, CARRIED = "modelled_option", "expired_option", "carried_option"
OWN: Final = "own prices"
# Why a scope cannot be computed.
NO_OPTION_RULES: Final = "no_option_rules"
TRUSTED: Final = frozenset({Mark.State.VALID, Mark.State.MARKET_CLOSED, Mark.State.OVERRIDDEN})


class Carrier(Protocol):
    """A scope with the rules it is under."""

    @property
    def model_key(self) -> tuple[str, str] | None: ...


class OptionPrice(NamedTuple):
    """What one option is worth, per unit of what it is written on.

    Attributes:
        long, short: to who holds it, and to who owes it; never lower for who owes it.
        middle: between them; what models see.
        multiplier: units in one contract.
        basis: own prices, or the flag by which a result says otherwise.
        mark_id: of its own mark, where that is what it rests on.
        volatility: by which models move it where nobody quotes any, with whether it is assumed;
            None where the surface of its underlying says it.
        facts: how it came about, as text.
    """

    long: Decimal
    short: Decimal
    middle: Decimal
    multiplier: Decimal
    basis: str
    mark_id: int | None
    facts: tuple[Fact, ...]
    volatility: tuple[float, bool] | None = None

    @property
    def is_own(self) -> bool:
        return self.basis == OWN

    def of(self, quantity: Decimal) -> Decimal:
        """The premium for a side, by the sign of its quantity."""
        return self.long if quantity > 0 else self.short

    def value(self, quantity: Decimal) -> Decimal:
        """What so many contracts are worth, signed; call inside `exact()`."""
        return quantity * self.of(quantity) * self.multiplier

    @property
    def doubt(self) -> Doubt | None:
        """By which flag a result says that it does not rest on its own prices."""
        return None if self.is_own else Doubt(self.basis, waits=False, contingency=ZERO)


def option_prices(
    wanted: Iterable[int],
    *,
    assets: Mapping[int, Asset],
    contracts: Mapping[int, Contract],
    marks: Mapping[int, Mark],
    market: MarketData,
) -> dict[int, OptionPrice]:
    """The price of each option wanted, by asset id; one that nothing says is left out.

    None has a price while its underlying has none: no model could be asked about it.
    """
    found = {}
    for pk in sorted(set(wanted)):
        contract = contracts.get(pk)
        if contract is None or contract.form != Contract.Form.OPTION:
            continue
        beneath = marks.get(contract.underlying_id)
        if beneath is None or beneath.price <= 0:
            continue
        settled_in = assets[pk].settles_in_id
        assert settled_in is not None, "an option settles in money"
        code = assets[contract.underlying_id].code
        moment = Moment(market, beneath, code=code, currency=settled_in)
        try:
            price = _priced(contract, marks.get(pk), moment)
        except RejectedInputError:
            continue  # quotes or rates that nothing can be made of: as good as none
        if price is not None:
            found[pk] = price
    return found


def _priced(contract: Contract, mark: Mark | None, moment: "Moment") -> OptionPrice | None:
    """By what it pays, by its own mark, by volatilities, by a mark that was carried, or nothing."""
    assert contract.expires_at is not None, "an option expires"
    if contract.expires_at <= moment.market.as_of:
        return _paid(contract, moment.beneath)
    if mark is not None and mark.state in TRUSTED:
        return _own(contract, mark, moment)
    price = _modelled(contract, moment)
    if price is None and mark is not None:
        return _own(contract, mark, moment)._replace(basis=CARRIED)
    return price


def uncarried(
    scope: Carrier, *, models: Mapping[tuple[str, str], UsedModel]
) -> tuple[str, str] | None:
    """Why a scope may hold no option, as reason and detail; None where its model knows them."""
    key = scope.model_key
    if key is None:
        return NO_OPTION_RULES, "It holds an option, and house rules have no requirement for one."
    used = models[key]
    try:
        takes_options(used)
    except RejectedInputError as refused:
        return NO_OPTION_RULES, f"{used.parameter_set}: {refused}."
    return None


def takes_options(used: UsedModel) -> OptionEquity:
    """What equity counts of options beside a model.

    Raises:
        RejectedInputError: the model knows no options, or does not say.
    """
    if Kind.OPTION not in used.model.kinds:
        raise RejectedInputError(f"{used.model.name} knows no options")
    return used.model.option_equity(used.parameters)


class HeldOption(NamedTuple):
    """A position in an option: its place among positions, its scope, the asset and how many."""

    position: int
    scope: int
    asset_id: int
    quantity: Decimal


def option_rows(
    held: Sequence[HeldOption],
    *,
    prices: Mapping[int, OptionPrice],
    counts: Callable[[int], OptionEquity],
) -> list[OptionRow]:
    """What each position in an option is worth, and whether the equity of its scope counts it."""
    rows = []
    for scope in sorted({each.scope for each in held}):
        mine = [each for each in held if each.scope == scope]
        rule = counts(scope)
        with exact():
            values = [prices[each.asset_id].value(each.quantity) for each in mine]
        for each, does in zip(mine, counted(values, counts=rule), strict=True):
            price = prices[each.asset_id]
            facts = (("units", plain(price.multiplier)), *price.facts, ("equity", WORDS[rule]))
            rows.append(OptionRow(each.position, price.of(each.quantity), does, facts))
    return rows


def terms_of(contract: Contract, *, underlying: str) -> OptionTerms:
    """A contract as the evaluation takes it."""
    assert contract.strike is not None, "an option has a strike"
    assert contract.is_call is not None, "and a right"
    assert contract.expires_at is not None, "and expires"
    return OptionTerms(
        multiplier=contract.multiplier,
        underlying=underlying,
        strike=contract.strike,
        is_call=contract.is_call,
        expires_at=contract.expires_at.astimezone(UTC).isoformat(),
    )


def intrinsic(contract: Contract, price: Decimal) -> Decimal:
    """What an option pays per unit at a price of its underlying, from 0."""
    assert contract.strike is not None, "an option has a strike"
    strike: Decimal = contract.strike
    with exact():
        return max(price - strike if contract.is_call else strike - price, ZERO)


class Moment(NamedTuple):
    """What is known of an underlying beside its options.

    Attributes:
        beneath: its mark, above 0.
        code, currency: of the underlying, and of the money that options on it settle in.
    """

    market: MarketData
    beneath: Mark
    code: str
    currency: int

    def years(self, contract: Contract) -> Float:
        """(1,) to expiry, a minute at least."""
        assert contract.expires_at is not None, "an option expires"
        return np.array([max(_years(self.market.as_of, contract.expires_at), YEARS_LEAST)])

    def forward(self, years: Float) -> Float:
        """(1,) price of the underlying for that date."""
        return self.market.forwards(self.currency, np.array([float(self.beneath.price)]), years)

    def surface(self) -> Surface | None:
        """The volatilities of the underlying; None where nobody quoted any."""
        spot, pk = float(self.beneath.price), self.beneath.asset_id
        return self.market.surface(pk, code=self.code, spot=spot, currency=self.currency)


def _own(contract: Contract, mark: Mark, moment: Moment) -> OptionPrice:
    price = mark.price
    facts: tuple[Fact, ...] = (("basis", f"mark {mark.state}"),)
    found = OptionPrice(price, price, price, contract.multiplier, OWN, mark.pk, facts)
    if moment.market.quotes.get(contract.underlying_id):
        return found
    volatility, is_assumed = _unquoted(contract, float(price), moment)
    source = "assumed" if is_assumed else "implied by its price"
    facts += (("volatility", f"{volatility:.8f}"), ("volatility_from", source))
    return found._replace(facts=facts, volatility=(volatility, is_assumed))


def _unquoted(contract: Contract, price: float, moment: Moment) -> tuple[float, bool]:
    """The volatility that a price implies; what the rules assume where it implies none."""
    assert contract.strike is not None, "an option has a strike"
    years = moment.years(contract)
    rates = moment.market.rates(moment.currency, years)
    implied = implied_volatility(
        price, right=1 if contract.is_call else -1, spot=moment.forward(years),
        strike=float(contract.strike), t=years, rate=rates, dividend_yield=rates,
    )  # fmt: skip
    found = float(implied[0])
    if found > 0:  # neither nothing nor no number
        return found, False
    return moment.market.policy(moment.code).unquoted, True


def _paid(contract: Contract, beneath: Mark) -> OptionPrice:
    price = intrinsic(contract, beneath.price)
    facts = (("basis", "what it pays"), ("underlying_mark", str(beneath.pk)))
    return OptionPrice(price, price, price, contract.multiplier, EXPIRED, None, facts)


def _modelled(contract: Contract, moment: Moment) -> OptionPrice | None:
    """By the surface of its underlying; None where nobody quoted any volatility."""
    surface, market = moment.surface(), moment.market
    if surface is None:
        return None
    assert contract.strike is not None, "an option has a strike"
    years, strike = moment.years(contract), float(contract.strike)
    forward = moment.forward(years)
    said = surface.volatilities(strike, years=years, forwards=forward)
    prices = [
        black76_price(
            forward, strike=strike, volatility=volatility, years=years,
            discount=np.exp(-market.rates(moment.currency, years) * years),
            is_call=np.array([bool(contract.is_call)]),
        )
        for volatility in (said.long, said.middle, said.short)
    ]  # fmt: skip
    long, middle, short = (Decimal(float(each[0])) for each in prices)
    facts: tuple[Fact, ...] = (
        ("basis", "volatilities of its underlying"),
        ("support", Support(int(said.support[0])).name.lower()),
        ("underlying_mark", str(moment.beneath.pk)),
        ("forward", f"{float(forward[0]):.8f}"),
        ("volatility_long", f"{float(said.long[0]):.8f}"),
        ("volatility_short", f"{float(said.short[0]):.8f}"),
        ("quotes", ",".join(str(row.pk) for row in _rows(market, contract.underlying_id))),
    )
    return OptionPrice(
        long=max(long.quantize(PLACES, ROUND_FLOOR), ZERO),
        short=short.quantize(PLACES, ROUND_CEILING),
        middle=max(middle.quantize(PLACES), ZERO),
        multiplier=contract.multiplier,
        basis=MODELLED,
        mark_id=None,
        facts=facts,
    )


def _rows(market: MarketData, underlying: int) -> list[MarketRow]:
    return sorted(market.quotes.get(underlying, ()), key=lambda row: row.pk)


def _years(now: datetime, expires_at: datetime) -> float:
    return (expires_at.astimezone(UTC) - now).total_seconds() / SECONDS_PER_YEAR
