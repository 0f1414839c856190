"""Capital efficiency: what collateral lies idle, what that costs, what other models would free.

An agreement is of an account, so alternatives are compared account by account; collateral of one
bucket cannot serve another, so what is idle is counted scope by scope.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from django.conf import settings

from ledger.models import RateCurve, RateVersion
from ledger.rates import points_of, rate_on
from margin.alternatives import Alternative, ModelKey, alternatives_of, current_key
from margin.book import BASE, ReadInputs
from margin.engine.exact import ZERO, exact, round_half_even
from margin.engine.states import CENTS
from margin.known import known_at
from margin.models import MarginResult, MarginRun, ModelDecision


class IdleRate(NamedTuple):
    """What a unit of idle collateral costs in a year, and where that stands."""

    rate: Decimal
    source: str


@dataclass(frozen=True, slots=True)
class Mode:
    """What an account would require under a model.

    Attributes:
        initial, maintenance: of all its scopes; none where the model would not say of one.
        saving: of initial margin against now; negative where it requires more.
    """

    key: ModelKey
    standing: str
    initial: Decimal | None
    maintenance: Decimal | None
    saving: Decimal | None
    why: str

    @property
    def name(self) -> str:
        return " ".join(self.key)

    @property
    def may_be_chosen(self) -> bool:
        return self.initial is not None and self.standing == ModelDecision.Standing.PRODUCTION


@dataclass(frozen=True, slots=True)
class AccountEfficiency:
    """An account's collateral beside what it needs.

    Attributes:
        key: the model it is under; of scopes under several the first.
        excess: equity beyond initial margin, of the scopes that have any.
        idle_cost: of a year.
        modes: other models, the least first.
        suggested: the one in production that requires least, if less than now.
    """

    account_id: int
    account: str
    scopes: int
    key: ModelKey
    equity: Decimal
    initial: Decimal
    maintenance: Decimal
    excess: Decimal
    rate: IdleRate
    idle_cost: Decimal
    modes: tuple[Mode, ...]
    suggested: Mode | None

    @property
    def saved_cost(self) -> Decimal:
        """What choosing the suggested mode frees in a year, at the idle rate."""
        if self.suggested is None or self.suggested.saving is None:
            return ZERO
        return _cost(self.suggested.saving, self.rate)


def efficiency(run: MarginRun, *, read: ReadInputs, rate: IdleRate) -> list[AccountEfficiency]:
    """Every account of a run, the dearest idle collateral first.

    Args:
        read: the run's inputs with models.
    """
    results = {
        result.scope_id: result
        for result in MarginResult.objects.filter(run=run).only(
            "scope_id", "equity", "initial_margin", "maintenance_margin"
        )
    }
    places: dict[int, list[int]] = defaultdict(list)
    for place, row in enumerate(read.scopes):
        if row.scope_id in results:
            places[row.account_id].append(place)
    asked = alternatives_of(read)
    rows = [
        _account(read, at, [results[read.scopes[n].scope_id] for n in at], asked, rate)
        for at in places.values()
    ]
    return sorted(rows, key=lambda row: (-row.idle_cost, -row.excess, row.account))


def _account(
    read: ReadInputs,
    places: Sequence[int],
    results: Sequence[MarginResult],
    asked: Sequence[Sequence[Alternative]],
    rate: IdleRate,
) -> AccountEfficiency:
    first = read.scopes[places[0]]
    with exact():
        equity, initial, maintenance = (
            sum((getattr(result, total) for result in results), ZERO)
            for total in ("equity", "initial_margin", "maintenance_margin")
        )
        excess = sum((max(r.equity - r.initial_margin, ZERO) for r in results), ZERO)
    modes = tuple(
        mode
        for mode in _modes([asked[place] for place in places], initial)
        if mode.key != current_key(first)
    )
    best = next((mode for mode in modes if mode.may_be_chosen), None)
    return AccountEfficiency(
        account_id=first.account_id,
        account=first.account,
        scopes=len(places),
        key=current_key(first),
        equity=equity,
        initial=initial,
        maintenance=maintenance,
        excess=excess,
        rate=rate,
        idle_cost=_cost(excess, rate),
        modes=modes,
        suggested=best if best is not None and (best.saving or ZERO) > 0 else None,
    )


def _modes(asked: Sequence[Sequence[Alternative]], initial: Decimal) -> list[Mode]:
    """Alternatives of all scopes of an account together, the least first, refusals last."""
    by_key: Mapping[ModelKey, list[Alternative]] = defaultdict(list)
    for of_scope in asked:
        for each in of_scope:
            by_key[each.key].append(each)
    modes = [_mode(each, initial) for each in by_key.values()]
    return sorted(modes, key=lambda m: (m.initial is None, m.initial or ZERO, m.key))


def _mode(asked: Sequence[Alternative], initial: Decimal) -> Mode:
    first = asked[0]
    why = next((each.why for each in asked if each.why), "")
    if why:
        return Mode(first.key, first.standing, None, None, None, why)
    with exact():
        required = sum((each.initial or ZERO for each in asked), ZERO)
        maintenance = sum((each.maintenance or ZERO for each in asked), ZERO)
        return Mode(first.key, first.standing, required, maintenance, initial - required, "")


def _cost(amount: Decimal, rate: IdleRate) -> Decimal:
    """Of a year, to the cent."""
    with exact():
        cost = amount * rate.rate
    return round_half_even(cost, CENTS)


def idle_rate(entity_id: int, *, day: date, horizon_id: int | None = None) -> IdleRate:
    """What idle money of the base currency costs: the credit rate, else the rate in settings.

    The credit rate is that of an unused lending pool, as a horizon knew it.
    """
    curve = RateCurve.objects.filter(
        legal_entity=entity_id, asset__code=BASE, side=RateCurve.Side.CREDIT
    ).first()
    if curve is not None:
        known = known_at(RateVersion.objects.filter(curve=curve), horizon_id)
        version = known.filter(effective_from__lte=day).order_by("-effective_from").first()
        if version is not None:
            rate = rate_on(points_of(version.points), ZERO)
            return IdleRate(rate, f"credit rate of {BASE}, version {version.version}")
    return IdleRate(settings.IDLE_COLLATERAL_RATE, "setting IDLE_COLLATERAL_RATE")
