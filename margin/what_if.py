"""What a scope would stand like after trades, money and prices that are only thought of.

Nothing is written. The scope as it is and as it would be go through the same evaluation as every
run, so what is shown here is what the next run says once the change is booked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Final

from accounts.models import AgreementVersion, Bucket
from ledger.debts import pledged_in
from ledger.models import Asset, AssetKind
from ledger.positions import Position
from margin.asking import AskedMarket, ModelRefusedError, model_of, named_model
from margin.book.now import MarketNow, market_now
from margin.engine.exact import ZERO, exact
from margin.engine.house_rules import MODEL as HOUSE_RULES
from margin.engine.inputs import MoneyTerms
from margin.market.marks import BASE
from margin.model_registry import UsedModel
from margin.scope_frame import Frame
from margin.scope_holding import Holding
from margin.scope_standing import NOTHING, Ground, Side, side_of
from margin.trades import (
    Trade,
    TradeOutcome,
    TradeRefusedError,
    derivative_trade,
    security_trade,
)
from margin.what_if_ground import WhatIfRefusedError, asked_market, ground_at, newest_as_of
from margin.what_if_options import (
    at_prices,
    option_traded,
    options_among,
    revalued,
    with_options,
    wrong_volatility,
)

# How house rules take a scope: nothing is required of a cash account.
MODES: Final = ("cash", "cross")


@dataclass(frozen=True, slots=True)
class ThoughtTrade:
    """A trade that is thought of; signed quantity, at the mark where no price is said."""

    asset: str
    quantity: Decimal
    price: Decimal | None = None
    fee: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Change:
    """What is thought of: trades in their order, then money, at prices and haircuts.

    Attributes:
        money: by asset, signed; brought in or taken out.
        prices: by asset, the mark instead of the newest one, above 0; closes of past days stay.
        haircuts: by money asset, the share that does not count.
        volatilities: by option, a year's, above 0; models alone know them.
        model: name and code of parameters to decide instead of what the agreement names.
        mode: "cash" or "cross", how house rules take the account instead of as it is.
    """

    trades: Sequence[ThoughtTrade] = ()
    money: Mapping[str, Decimal] = field(default_factory=dict)
    prices: Mapping[str, Decimal] = field(default_factory=dict)
    haircuts: Mapping[str, Decimal] = field(default_factory=dict)
    volatilities: Mapping[str, Decimal] = field(default_factory=dict)
    model: tuple[str, str] | None = None
    mode: str | None = None

    @property
    def assets(self) -> set[str]:
        """Everything it names."""
        traded = {trade.asset for trade in self.trades}
        by_asset = (self.money, self.prices, self.haircuts, self.volatilities)
        return traded.union(*by_asset)


@dataclass(frozen=True, slots=True)
class WhatIf:
    """Now and after, at marks and terms of one moment.

    Attributes:
        ground: marks and terms as they are; what is thought of is not in it.
        notes: what the change would do besides: a loss beyond the bucket, a fee that is waived.
    """

    bucket: Bucket
    agreement: AgreementVersion
    as_of: datetime
    change: Change
    ground: Ground
    now: Side
    after: Side
    notes: tuple[str, ...]


def what_if(bucket: Bucket, change: Change, *, has_points: bool | None = True) -> WhatIf:
    """How a scope would stand after a change, at the newest marks and the terms in force.

    Args:
        has_points: whether liquidation points are looked for; under a model each is a search.
            None: only where a formula gives them, under house rules.

    Raises:
        WhatIfRefusedError: `unknown_asset`, `unknown_model`, `no_mark`, `no_agreement`, `invalid`,
            what booking would refuse: `claim_below_zero`, and where a portfolio model does not
            say what it requires: `model_not_in_use`, `model_refused`, `unpriced_position`.
    """
    now = market_now()
    as_of = newest_as_of(now)
    day = as_of.astimezone(UTC).date()
    try:
        frame = Frame.of(bucket, day=day, at=as_of, now=now)
        held, agreement = frame.held, frame.agreement
        used = models_of(agreement, change, day=day, now=now)
        codes = frame.scope(held).assets | change.assets
        options = options_among(codes, now=now)
        ground, assets = ground_at(as_of, codes=codes - options.keys(), day=day, now=now)
        assets |= options
        if any(used):
            besides = [assets[code].pk for code in codes]
            market = asked_market(as_of, day=day, used=used, besides=besides, now=now)
            ground = replace(ground, asked=market)
        ground = with_options(ground, options)
        _check(change, ground)
        moved = _moved(ground, change)
        holding, notes = _after(bucket, held, change, moved, assets)
        mode = frame.mode
        after = before = _side(frame.scope(held), ground, agreement, mode, used[0], has_points)
        if change != Change():
            mode = change.mode or mode
            after = _side(frame.scope(holding), moved, agreement, mode, used[1], has_points)
    except ModelRefusedError as refused:
        raise WhatIfRefusedError(refused.rule, refused.detail) from refused
    if options and has_points:
        notes.append("Liquidation points are not searched while options are held.")
    notes += frame.notes
    return WhatIf(bucket, agreement, as_of, change, ground, before, after, tuple(notes))


def _side(
    held: Holding,
    ground: Ground,
    agreement: AgreementVersion,
    mode: str,
    used: UsedModel | None,
    has_points: bool | None,
) -> Side:
    return side_of(
        held, ground=ground, agreement=agreement, is_cash_account=mode == "cash", used=used,
        has_points=used is None if has_points is None else has_points,
    )  # fmt: skip


def models_of(
    agreement: AgreementVersion, change: Change, *, day: date, now: MarketNow
) -> tuple[UsedModel | None, UsedModel | None]:
    """The portfolio models that decide now and after; None for house rules.

    Raises:
        ModelRefusedError: one is not in use, or its parameters cannot be read.
        WhatIfRefusedError: `unknown_model`.
    """
    before = None if agreement.model == HOUSE_RULES else model_of(agreement, day=day, now=now)
    if change.model is None:
        return before, before
    if change.model[0] == HOUSE_RULES:
        return before, None
    after = named_model(*change.model, day=day, now=now)
    if after is None:
        detail = f"Margin has no model {' with parameters '.join(change.model)} on {day}."
        raise WhatIfRefusedError("unknown_model", detail)
    return before, after


def _moved(ground: Ground, change: Change) -> Ground:
    """The ground with what is thought of; a price that is given is no carried one."""
    haircuts = {code: MoneyTerms(haircut) for code, haircut in change.haircuts.items()}
    asked = None if ground.asked is None else _asked_after(ground.asked, change)
    options = at_prices(ground.options, change.prices)
    if options and ground.asked is not None and asked is not None:
        now, then = ground.asked.ready.market, asked.ready.market
        others = revalued(options, now=now, then=then, said=change.prices)
        asked = asked.moved(prices={code: float(each.middle) for code, each in others.items()})
        options |= others
    return replace(
        ground,
        marks={
            **ground.marks,
            **change.prices,
            **{code: price.middle for code, price in options.items()},
        },
        terms={**ground.terms, **haircuts},
        carried=ground.carried - change.prices.keys(),
        overridden=ground.overridden - change.prices.keys(),
        doubts={c: doubt for c, doubt in ground.doubts.items() if c not in change.prices},
        asked=asked,
        options=options,
    )


def _asked_after(asked: AskedMarket, change: Change) -> AskedMarket:
    """The market with prices and volatilities that are thought of; past closes stay."""
    if not change.prices and not change.volatilities:
        return asked
    return asked.moved(
        prices={code: float(price) for code, price in change.prices.items()},
        volatilities={code: float(each) for code, each in change.volatilities.items()},
    )


def _check(change: Change, ground: Ground) -> None:
    for trade in change.trades:
        if ground.kinds[trade.asset] == AssetKind.MONEY:
            raise WhatIfRefusedError("invalid", f"{trade.asset} is money and is not traded.")
        if not trade.quantity or (trade.price is not None and trade.price <= 0) or trade.fee < 0:
            detail = f"{trade.asset}: a quantity other than 0, a price above 0, no negative fee."
            raise WhatIfRefusedError("invalid", detail)
    for code in sorted({*change.money, *change.haircuts}):
        if ground.kinds[code] != AssetKind.MONEY:
            raise WhatIfRefusedError("invalid", f"{code} is no money.")
    for code, price in change.prices.items():
        if price <= 0 or code == BASE:
            raise WhatIfRefusedError("invalid", f"{code} cannot have the price {price}.")
    for code, haircut in change.haircuts.items():
        if not 0 <= haircut <= 1:
            raise WhatIfRefusedError("invalid", f"The haircut of {code} is a share from 0 to 1.")
    wrong = wrong_volatility(change.volatilities)
    if wrong is not None:
        raise WhatIfRefusedError("invalid", wrong)
    if change.mode not in (None, *MODES):
        detail = f"A scope is not thought of as {change.mode}: only as {' or '.join(MODES)}."
        raise WhatIfRefusedError("invalid", detail)


def _after(
    bucket: Bucket, held: Holding, change: Change, ground: Ground, assets: Mapping[str, Asset]
) -> tuple[Holding, list[str]]:
    """What would be held, and what is worth saying of it."""
    claims, positions = dict(held.claims), dict(held.positions)
    notes: list[str] = []
    with exact():
        for thought in change.trades:
            outcome = _traded(thought, bucket, claims, positions, ground, assets)
            effect = outcome.effect
            claims[BASE] = claims.get(BASE, ZERO) + outcome.claim_change
            positions[thought.asset] = Position(effect.quantity_after, effect.average_after)
            if outcome.shortfall:
                notes.append(f"The loss exceeds the bucket by {outcome.shortfall:,.2f} {BASE}.")
            if outcome.fee < thought.fee:
                notes.append(f"Of the fee {thought.fee - outcome.fee:,.2f} {BASE} are waived.")
        for code, amount in change.money.items():
            claims[code] = claims.get(code, ZERO) + amount
            if amount < 0 and claims[code] < pledged_in(bucket.pk, assets[code].pk):
                detail = f"The bucket does not have so much {code} to give."
                raise WhatIfRefusedError("claim_below_zero", detail)
    return Holding(claims, positions, held.loan), notes


def _traded(
    thought: ThoughtTrade,
    bucket: Bucket,
    claims: Mapping[str, Decimal],
    positions: Mapping[str, Position],
    ground: Ground,
    assets: Mapping[str, Asset],
) -> TradeOutcome:
    price = ground.marks[thought.asset] if thought.price is None else thought.price
    trade = Trade(thought.quantity, price, thought.fee)
    position, claim = positions.get(thought.asset, NOTHING), claims.get(BASE, ZERO)
    try:
        if thought.asset in ground.options:
            return option_traded(
                trade,
                price=ground.options[thought.asset],
                position=position,
                spare_claim=claim - pledged_in(bucket.pk, assets[BASE].pk),
            )
        if ground.kinds[thought.asset] == AssetKind.SECURITY:
            return security_trade(
                trade,
                position=position,
                spare_position=position.quantity - pledged_in(bucket.pk, assets[thought.asset].pk),
                spare_claim=claim - pledged_in(bucket.pk, assets[BASE].pk),
            )
        return derivative_trade(trade, position=position, claim=claim)
    except TradeRefusedError as refused:
        detail = f"The bucket cannot settle the trade of {thought.asset}."
        raise WhatIfRefusedError(refused.rule, detail) from refused
