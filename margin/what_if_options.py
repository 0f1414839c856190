"""Options in changes that are thought of: what they are worth, traded and at other prices."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from decimal import Decimal

import numpy as np

from ledger.models import Asset
from ledger.positions import Position
from margin.asking import ModelRefusedError
from margin.book import UNPRICED
from margin.book.now import MarketNow, market_now
from margin.book.options import NO_OPTION_RULES, OWN, PLACES, OptionPrice, terms_of
from margin.engine.exact import ZERO, exact, plain
from margin.engine.market import Market
from margin.engine.revaluation import option_prices
from margin.models import Contract
from margin.scope_standing import Ground
from margin.trades import Trade, TradeOutcome, option_trade


def options_among(codes: Iterable[str], *, now: MarketNow | None = None) -> dict[str, Asset]:
    """Those of some codes that are options, with what they are written on."""
    now = now or market_now()
    known, contracts = now.assets_by_code(), now.contracts()
    found = {code: known[code] for code in codes if code in known and known[code].is_option}
    return {code: contracts[asset.pk].asset for code, asset in found.items()}


def with_options(ground: Ground, options: Mapping[str, Asset]) -> Ground:
    """The ground with the worth of options; their market has been read.

    Raises:
        ModelRefusedError: `no_option_rules` where no model is asked, `unpriced_position`.
    """
    if not options:
        return ground
    if ground.asked is None:
        raise ModelRefusedError(NO_OPTION_RULES, house_words(options))
    prices: dict[str, OptionPrice] = {}
    for code, asset in options.items():
        price = ground.asked.read.options.get(asset.pk)
        if price is None:
            raise ModelRefusedError(UNPRICED, f"{code} has no price and no volatility.")
        prices[code] = price
    return replace(
        ground,
        kinds={**ground.kinds, **{code: asset.kind for code, asset in options.items()}},
        marks={**ground.marks, **{code: price.middle for code, price in prices.items()}},
        terms={
            **ground.terms,
            **{
                code: terms_of(asset.contract, underlying=asset.contract.underlying.code)
                for code, asset in options.items()
            },
        },
        carried=ground.carried | {code for code, price in prices.items() if not price.is_own},
        doubts={
            **ground.doubts,
            **{code: doubt for code, price in prices.items() if (doubt := price.doubt)},
        },
        options=prices,
    )


def house_words(options: Collection[str]) -> str:
    """Why nothing is said of options under house rules."""
    return f"House rules have no requirement for {min(options)}."


def at_prices(
    options: Mapping[str, OptionPrice], prices: Mapping[str, Decimal]
) -> dict[str, OptionPrice]:
    """The worth of options where some have a price that is thought of."""
    return {
        code: price
        if code not in prices
        else price._replace(
            long=prices[code], short=prices[code], middle=prices[code], basis=OWN,
            facts=(("basis", "thought of"),),
        )
        for code, price in options.items()
    }  # fmt: skip


def revalued(
    options: Mapping[str, OptionPrice], *, now: Market, then: Market, said: Collection[str]
) -> dict[str, OptionPrice]:
    """Options whose price is not said, as far as the formula says that they move.

    Each side moves by as much as the models move the option, and never below nothing.
    """
    place = {name: n for n, name in enumerate(now.instruments.names)}
    codes = [code for code in sorted(options) if code in place and code not in said]
    rows = np.array([place[code] for code in codes], dtype=np.intp)
    moves = option_prices(then, rows) - option_prices(now, rows)
    found = {}
    for code, move in zip(codes, moves.tolist(), strict=True):
        if move:
            price, by = options[code], Decimal(move).quantize(PLACES)
            with exact():
                long, short, middle = (
                    max(each + by, ZERO) for each in (price.long, price.short, price.middle)
                )
            facts = (*price.facts, ("moved", plain(by)))
            found[code] = price._replace(long=long, short=short, middle=middle, facts=facts)
    return found


def wrong_volatility(volatilities: Mapping[str, Decimal]) -> str | None:
    """Why volatilities that are thought of do not do: only options have one, and it is above 0."""
    if not volatilities:
        return None
    rows = Contract.objects.filter(form=Contract.Form.OPTION, asset__code__in=volatilities)
    options = set(rows.values_list("asset__code", flat=True))
    for code, volatility in volatilities.items():
        if volatility <= 0:
            return "A volatility is above 0."
        if code not in options:
            return f"{code} has no volatility."
    return None


def option_traded(
    trade: Trade, *, price: OptionPrice, position: Position, spare_claim: Decimal
) -> TradeOutcome:
    """What a trade at a premium per unit does to its bucket.

    Raises:
        TradeRefusedError: `claim_below_zero`.
    """
    with exact():
        of_contract = trade.price * price.multiplier
    return option_trade(
        replace(trade, price=of_contract), position=position, spare_claim=spare_claim
    )
