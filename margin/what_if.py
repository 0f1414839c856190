"""What a scope would stand like after trades, money and prices that are only thought of.

Nothing is written. The scope as it is and as it would be go through the same evaluation as every
run, so what is shown here is what the next run says once the change is booked.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal

from django.db.models import Max

from accounts.agreements import account_terms
from accounts.models import AgreementVersion, Bucket
from ledger.debts import pledged_in
from ledger.models import Asset, AssetKind
from ledger.positions import Position
from margin.engine.exact import ONE, ZERO, exact
from margin.engine.house_rules import MODEL as HOUSE_RULES
from margin.engine.inputs import MoneyTerms
from margin.holding import balances_of
from margin.market_states import doubt_of
from margin.marks import BASE
from margin.models import Mark
from margin.parameters import engine_terms
from margin.scope_standing import NOTHING, Ground, Holding, Side, side_of
from margin.terms import terms_in_force
from margin.trades import (
    Trade,
    TradeOutcome,
    TradeRefusedError,
    derivative_trade,
    security_trade,
)


class WhatIfRefusedError(ValueError):
    """A change that could not be booked, or a scope of which nothing can be said.

    Attributes:
        rule: what it breaks.
        detail: a sentence for people.
    """

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(detail)
        self.rule, self.detail = rule, detail


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
        prices: by asset, the mark instead of the newest one, above 0.
        haircuts: by money asset, the share that does not count.
    """

    trades: Sequence[ThoughtTrade] = ()
    money: Mapping[str, Decimal] = field(default_factory=dict)
    prices: Mapping[str, Decimal] = field(default_factory=dict)
    haircuts: Mapping[str, Decimal] = field(default_factory=dict)

    @property
    def assets(self) -> set[str]:
        """Everything it names."""
        traded = {trade.asset for trade in self.trades}
        return traded | self.money.keys() | self.prices.keys() | self.haircuts.keys()


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


def what_if(bucket: Bucket, change: Change) -> WhatIf:
    """How a scope would stand after a change, at the newest marks and the terms in force.

    Raises:
        WhatIfRefusedError: `unknown_asset`, `no_mark`, `no_agreement`, `invalid`,
            `under_house_rules`, and what booking would refuse: `claim_below_zero`.
    """
    held = holding_of(bucket)
    as_of = newest_as_of()
    agreement = account_terms(bucket.account_id, day=as_of.astimezone(UTC).date())
    if agreement is None:
        detail = f"{bucket.account.code} has no agreement in force."
        raise WhatIfRefusedError("no_agreement", detail)
    if agreement.model != HOUSE_RULES:
        detail = f"{bucket.account.code} is under {agreement.model}; only house rules are shown."
        raise WhatIfRefusedError("under_house_rules", detail)
    ground, assets = _ground(held.assets | change.assets, as_of=as_of)
    _check(change, ground)
    moved = _moved(ground, change)
    holding, notes = _after(bucket, held, change, moved, assets)
    is_cash = bucket.account.mode == "cash"
    now, after = (
        side_of(each, ground=at, agreement=agreement, is_cash_account=is_cash)
        for each, at in ((held, ground), (holding, moved))
    )
    return WhatIf(bucket, agreement, as_of, change, ground, now, after, tuple(notes))


def holding_of(bucket: Bucket) -> Holding:
    """What a bucket holds now."""
    balances = balances_of(bucket)
    positions = {code: Position(*held) for code, held in balances.positions.items()}
    return Holding(claims=balances.claims, positions=positions, loan=balances.loan)


def newest_as_of() -> datetime:
    """The moment of the newest marks.

    Raises:
        WhatIfRefusedError: `no_mark`: there are none yet.
    """
    newest: datetime | None = Mark.objects.aggregate(newest=Max("as_of"))["newest"]
    if newest is None:
        raise WhatIfRefusedError("no_mark", "There are no marks yet; a day's files bring them.")
    return newest


def _ground(codes: Iterable[str], *, as_of: datetime) -> tuple[Ground, dict[str, Asset]]:
    """Marks and terms of these assets and of the currency, and the assets."""
    wanted = {*codes, BASE}
    assets = {asset.code: asset for asset in Asset.objects.filter(code__in=wanted)}
    strange = sorted(wanted - assets.keys())
    if strange:
        raise WhatIfRefusedError("unknown_asset", f"The book has no {strange[0]}.")
    ids = {asset.pk: code for code, asset in assets.items()}
    marks = {
        ids[mark.asset_id]: mark for mark in Mark.objects.filter(as_of=as_of, asset_id__in=ids)
    }
    in_force = terms_in_force(as_of.astimezone(UTC).date(), asset_ids=list(ids))
    terms = {
        code: found
        for code, asset in assets.items()
        if (found := engine_terms(in_force, asset_id=asset.pk, kind=asset.kind)) is not None
    }
    bare = sorted(code for code in wanted - {BASE} if code not in marks or code not in terms)
    if bare:
        raise WhatIfRefusedError("no_mark", f"{bare[0]} has no mark or no terms.")
    ground = Ground(
        kinds={code: asset.kind for code, asset in assets.items()},
        marks={code: mark.price for code, mark in marks.items()} | {BASE: ONE},
        terms=terms,
        carried=frozenset(code for code, mark in marks.items() if mark.state != Mark.State.VALID),
        overridden=frozenset(
            code for code, mark in marks.items() if mark.state == Mark.State.OVERRIDDEN
        ),
        doubts={code: doubt for code, mark in marks.items() if (doubt := doubt_of(mark))},
    )
    return ground, assets


def _moved(ground: Ground, change: Change) -> Ground:
    """The ground with what is thought of; a price that is given is no carried one."""
    haircuts = {code: MoneyTerms(haircut) for code, haircut in change.haircuts.items()}
    return replace(
        ground,
        marks={**ground.marks, **change.prices},
        terms={**ground.terms, **haircuts},
        carried=ground.carried - change.prices.keys(),
        overridden=ground.overridden - change.prices.keys(),
        doubts={c: doubt for c, doubt in ground.doubts.items() if c not in change.prices},
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
            if amount < 0 and claims[code] < _pledged(bucket, assets[code]):
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
        if ground.kinds[thought.asset] == AssetKind.SECURITY:
            return security_trade(
                trade,
                position=position,
                spare_position=position.quantity - _pledged(bucket, assets[thought.asset]),
                spare_claim=claim - _pledged(bucket, assets[BASE]),
            )
        return derivative_trade(trade, position=position, claim=claim)
    except TradeRefusedError as refused:
        detail = f"The bucket cannot settle the trade of {thought.asset}."
        raise WhatIfRefusedError(refused.rule, detail) from refused


def _pledged(bucket: Bucket, asset: Asset) -> Decimal:
    return pledged_in(bucket.pk, asset.pk)
