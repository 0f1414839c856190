"""Published cases of the models in closed form: their inputs read into the engine, no sums here."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from math import isnan
from typing import Any

from numpy.typing import ArrayLike

from margin.engine import (
    close_out,
    leverage,
    liquidation,
    open_interest,
    pricing,
    risk_arrays,
)
from margin.engine import (
    naked_option as naked,
)
from margin.engine import (
    value_at_risk as tail,
)
from margin.engine.rejected import RejectedInputError
from margin.engine.tiers import tiered_schedule
from margin.published.reading import decimal, flag, given, number, numbers, whole, word

Inputs = Mapping[str, Any]
Figures = dict[str, float | None]

RIGHTS = {"call": 1.0, "put": -1.0}


def black_scholes(inputs: Inputs) -> Figures:
    """`price` and the five Greeks of one European option."""
    values = pricing.black_scholes(
        number(inputs, "spot"),
        right=_right(inputs, "type"),
        strike=number(inputs, "strike"),
        t=number(inputs, "t"),
        volatility=number(inputs, "vol"),
        rate=number(inputs, "r"),
        dividend_yield=number(inputs, "q"),
    )
    return {name: float(value) for name, value in values._asdict().items()}


def liquidation_price(inputs: Inputs) -> Figures:
    """`liquidation_price` of one isolated linear position, None where it has none."""
    position = liquidation.isolated_position(
        number(inputs, "side"),
        size=number(inputs, "size"),
        entry=number(inputs, "entry"),
        wallet=number(inputs, "wallet"),
        leverage=number(inputs, "leverage"),
        maintenance_rate=number(inputs, "mmr"),
        maintenance_amount=number(inputs, "maintenance_amount"),
        taker_fee=number(inputs, "taker_fee"),
    )
    price = liquidation.liquidation_price(position, convention=word(inputs, "exchange"))
    return {"liquidation_price": _figure(price)}


def tier_deductions(schedule: Sequence[Inputs]) -> list[Figures]:
    """`maint_amount` of every tier of one schedule, in its order."""
    deductions = tiered_schedule(
        [_cap(tier) for tier in schedule], rates=[decimal(tier, "mmr") for tier in schedule]
    ).deductions
    return [{"maint_amount": float(deduction)} for deduction in deductions]


def open_interest_scaled(inputs: Inputs) -> Figures:
    """`imr` and `mmr` of one position, whole numbers of any size."""
    requirement = open_interest.open_interest_requirement(
        whole(inputs, "bigBaseQuantums"),
        market=open_interest.Market(
            price=whole(inputs, "price"),
            exponent=whole(inputs, "exponent"),
            base_exponent=whole(inputs, "baseCurrencyAtomicResolution"),
        ),
        tier=open_interest.InterestTier(
            initial_ppm=whole(inputs, "initialMarginPpm"),
            maintenance_fraction_ppm=whole(inputs, "maintenanceFractionPpm"),
            lower_cap=_whole_or_none(inputs, "openInterestLowerCap"),
            upper_cap=_whole_or_none(inputs, "openInterestUpperCap"),
        ),
        open_interest=_whole_or_none(inputs, "openInterest"),
    )
    return {"imr": requirement.initial, "mmr": requirement.maintenance}


def naked_option(inputs: Inputs) -> Figures:
    """`maintenance` of one short option without cover."""
    maintenance = naked.naked_option_maintenance(
        number(inputs, "short_contracts"),
        right=_right(inputs, "right"),
        strike=number(inputs, "strike"),
        premium=number(inputs, "option_price"),
        underlying=number(inputs, "underlying"),
        rate=number(inputs, "pct"),
        multiplier=number(inputs, "multiplier"),
    )
    return {"maintenance": float(maintenance)}


def minimum_close_out(inputs: Inputs) -> Figures:
    """`quantity` to close, None where the fees take all that it sets free."""
    quantity = close_out.minimum_close_out(
        number(inputs, "shortage"),
        margin_rate=number(inputs, "mr"),
        price=number(inputs, "px"),
        quote_price=number(inputs, "quote_px"),
        liquidator_fee=number(inputs, "liq_fee"),
        insurance_fee=number(inputs, "if_fee"),
    )
    return {"quantity": _figure(quantity)}


def leverage_margin(inputs: Inputs) -> Figures:
    """`margin` of one position by rate and leverage."""
    margin = leverage.leverage_margin(
        number(inputs, "quantity"),
        price=number(inputs, "price"),
        leverage=number(inputs, "leverage"),
        rate=number(inputs, "rate"),
        inverse="inverse" in inputs and flag(inputs, "inverse"),
    )
    return {"margin": float(margin)}


def span_scan(inputs: Inputs) -> Figures:
    """`scan_risk` of one portfolio, an array for each of its legs."""
    arrays = given(inputs, "arrays")
    if not isinstance(arrays, list):
        raise RejectedInputError("arrays is not a list of risk arrays")
    legs = [numbers(array, name="a risk array") for array in arrays]
    scanned = risk_arrays.exact_scan_risk([[Decimal(repr(each)) for each in leg] for leg in legs])
    return {"scan_risk": float(scanned)}


def value_at_risk(inputs: Inputs) -> Figures:
    """`value_at_risk` and `expected_shortfall` of one history, by the convention it names."""
    returns, convention = numbers(given(inputs, "returns"), name="returns"), _convention(inputs)
    if convention == tail.LINEAR_PERCENTILE:
        risk = tail.percentile_tail(returns, cutoff=number(inputs, "cutoff"))
    elif convention == tail.ORDER_STATISTIC:
        risk = tail.order_statistic_tail(returns, confidence=number(inputs, "confidence"))
    else:
        raise RejectedInputError(f"the convention {convention!r} is not known")
    return {name: float(value) for name, value in risk._asdict().items()}


def _convention(inputs: Inputs) -> str:
    """As it is named, or told by which of the two levels the case gives."""
    if "convention" in inputs:
        return word(inputs, "convention")
    return tail.ORDER_STATISTIC if "confidence" in inputs else tail.LINEAR_PERCENTILE


def _right(inputs: Inputs, name: str) -> float:
    right = word(inputs, name).lower()
    if right not in RIGHTS:
        raise RejectedInputError(f"{name} is neither Call nor Put")
    return RIGHTS[right]


def _cap(tier: Inputs) -> Decimal | None:
    return None if given(tier, "cap") is None else decimal(tier, "cap")


def _whole_or_none(inputs: Inputs, name: str) -> int:
    return 0 if inputs.get(name) is None else whole(inputs, name)


def _figure(value: ArrayLike) -> float | None:
    """What the engine marks as none is none."""
    figure = float(value)  # type: ignore[arg-type]
    return None if isnan(figure) else figure
