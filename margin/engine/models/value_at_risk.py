"""Value at risk and expected shortfall of past days: every instrument priced again on each of them.

requirement = multiplier x measure of the losses of the newest days; a stressed stretch of days is
measured beside and either the greater counts or both in shares. Options are priced again at the
moved forward with their volatility as it is. Nothing is drawn at random: the same days give the
same figures. Axes: S scenarios (days), W windows (newest days, stressed days).
"""

from abc import abstractmethod
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from scipy.sparse import csr_array

from margin.engine.books import Books
from margin.engine.chunks import row_chunks
from margin.engine.explain import TIMES, figure_of
from margin.engine.given import Float
from margin.engine.history import (
    Filtering,
    History,
    Scaling,
    Scenarios,
    recent_scenarios,
    stressed_scenarios,
)
from margin.engine.market import Index, Market
from margin.engine.model import (
    NOTHING_BINDS,
    Counterexample,
    Explained,
    Law,
    Model,
    Part,
    Prepared,
    Requirement,
    in_order,
    of_past_days,
)
from margin.engine.models.value_at_risk_parameters import (
    Combination,
    ExpectedShortfallParameters,
    Stress,
    TailParameters,
    ValueAtRiskParameters,
)
from margin.engine.revaluation import profit_table
from margin.engine.tails import (
    QuantileConvention,
    ShortfallConvention,
    aged_quantile,
    aged_tail,
    aged_weights,
    measured,
    quantile_weights,
    shortfall_weights,
    worst_first,
)

PARTS: Final = ("recent", "stressed")
RECENT: Final = 0
STRESSED: Final = 1


class Figures(NamedTuple):
    """Measures of one window, and the day that stands for initial margin; (A,) each."""

    initial: Float
    maintenance: Float
    day: Index


class Window(NamedTuple):
    """A stretch of days, priced.

    Attributes:
        losses: (I, S) what one contract loses on each day.
        ages: (S,) weights of the days where they differ, else none.
    """

    scenarios: Scenarios
    losses: Float
    ages: Float | None


class PreparedTail(Prepared):
    """A market with the losses of one contract of everything on each of the days."""

    parts = PARTS

    def __init__(self, market: Market, parameters: TailParameters) -> None:
        self.market, self.parameters = market, parameters
        self.windows = tuple(self._windows())
        self.bindings = tuple(name for each in self.windows for name in each.scenarios.names)

    @abstractmethod
    def weights(self, count: int, *, confidence: float) -> Float:
        """(K,) weights of the worst losses of so many days that weigh alike."""

    @abstractmethod
    def aged(self, ordered: Float, *, confidence: float) -> Float:
        """(A, S) weights of the losses, the worst first, of days that weigh as they are given."""

    @abstractmethod
    def deciding_rank(self, weights: Float) -> Index:
        """(A,) the rank of the day that stands for the tail, of weights (A, K)."""

    @property
    @abstractmethod
    def title(self) -> str:
        """The measure, for people."""

    def requirement(self, books: Books) -> Requirement:
        held = books.matrix(instruments=len(self.market.instruments))
        initial, maintenance = np.zeros((2, len(books), len(PARTS)))
        binding = np.full(len(books), NOTHING_BINDS)
        for rows in row_chunks(len(books), width=max(len(self.bindings), 1)):
            figures = [self._measure(held[rows], each) for each in self.windows]
            initial[rows] = self._combined([each.initial for each in figures])
            maintenance[rows] = self._combined([each.maintenance for each in figures])
            days = np.array([each.day for each in figures])
            days[1:] += len(self.windows[RECENT].scenarios.names)
            window = initial[rows, : len(days)].argmax(axis=1)
            binding[rows] = days[window, np.arange(len(window))]
        total = in_order(initial)
        return Requirement(
            initial=total,
            maintenance=in_order(maintenance),
            initial_parts=initial,
            maintenance_parts=maintenance,
            binding=np.where(total > 0, binding, NOTHING_BINDS),
        )

    def explain(self, books: Books, *, scope: int) -> Explained:
        one = books.select([scope])
        said = self.requirement(one)
        given = self.parameters
        return Explained(
            self._tree(one, "Initial", said.initial_parts[0], given.confidence),
            self._tree(one, "Maintenance", said.maintenance_parts[0], given.maintenance_confidence),
        )

    def _windows(self) -> Iterator[Window]:
        history, stress = self.parameters.history, self.parameters.stress
        recent = recent_scenarios(self.market.returns, history=history)
        ages = aged_weights(len(recent.names), decay=history.age_decay)
        yield self._window(recent, ages if history.age_decay < 1 else None)
        if stress.combination is not Combination.NONE:
            stressed = stressed_scenarios(
                self.market.returns,
                history=history,
                oldest_day=stress.oldest_day,
                newest_day=stress.newest_day,
            )
            yield self._window(stressed, None)

    def _window(self, scenarios: Scenarios, ages: Float | None) -> Window:
        gains = profit_table(self.market, spot_moves=scenarios.moves)
        return Window(scenarios, np.ascontiguousarray(-gains.T), ages)

    def _measure(self, held: csr_array, window: Window) -> Figures:
        losses: Float = held @ window.losses
        worst, weights = self._ranked(losses, window)
        initial, maintenance = (np.maximum(measured(worst, weights=each), 0.0) for each in weights)
        rank = self.deciding_rank(weights[0])
        border = worst[np.arange(len(worst)), rank]
        factor = self.parameters.multiplier
        return Figures(
            initial=factor * initial,
            # A smaller tail is no smaller loss; what is left to take away is rounding.
            maintenance=factor * np.minimum(maintenance, initial),
            day=(losses == border[:, None]).argmax(axis=1),
        )

    def _ranked(self, losses: Float, window: Window) -> tuple[Float, tuple[Float, Float]]:
        """The worst losses first, and their weights for initial and maintenance margin."""
        levels = (self.parameters.confidence, self.parameters.maintenance_confidence)
        if window.ages is None:
            initial, maintenance = (
                self.weights(losses.shape[1], confidence=level)[None] for level in levels
            )
            worst = worst_first(losses, ranks=max(initial.shape[1], maintenance.shape[1]))
            return worst, (initial, maintenance)
        order = np.argsort(-losses, axis=1, kind="stable")
        ordered = window.ages[order]
        first, second = (self.aged(ordered, confidence=level) for level in levels)
        return np.take_along_axis(losses, order, axis=1), (first, second)

    def _combined(self, figures: list[Float]) -> Float:
        """(A, 2) what each window adds to the requirement."""
        if len(figures) == 1:
            return np.column_stack([figures[RECENT], np.zeros_like(figures[RECENT])])
        recent, stressed = figures
        stress = self.parameters.stress
        if stress.combination is Combination.WEIGHTED:
            return np.column_stack([(1.0 - stress.weight) * recent, stress.weight * stressed])
        calm = recent >= stressed
        return np.column_stack([np.where(calm, recent, 0.0), np.where(calm, 0.0, stressed)])

    def _tree(self, one: Books, name: str, parts: Float, confidence: float) -> Part:
        counted, beside = [], []
        for place, window in enumerate(self.windows):
            amount = float(parts[place])
            tree = self._window_tree(one, window, place, confidence)
            if amount > 0 or self.parameters.stress.combination is Combination.WEIGHTED:
                counted.append(tree)
            else:
                beside.append(tree)
        total = float(in_order(parts[None])[0])
        how = f"{self.title} at {figure_of(100 * confidence)} %"
        inputs = ({"parameter": "confidence"}, {"parameter": "convention"})
        children = tuple(counted) if total > 0 else ()
        others = tuple(beside) if total > 0 else (*counted, *beside)
        return Part(f"{name} margin by {self.title.lower()}", total, how, inputs, children, others)

    def _window_tree(self, one: Books, window: Window, place: int, confidence: float) -> Part:
        """One stretch of days: what each position loses in its tail, and the days of the tail."""
        factor = self._factor(place)
        instruments, quantities = one.of(0)
        losses = quantities[:, None] * window.losses[instruments]
        total = one.matrix(instruments=len(self.market.instruments)) @ window.losses
        days, weights = self._tail_days(total[0], window, confidence)
        legs = factor * (losses[:, days] @ weights)
        amount = float(legs.sum())
        label = "Stressed days" if place == STRESSED else "Newest days"
        how = f"{figure_of(factor)} {TIMES} mean of {len(days)} of {len(total[0])} days"
        return Part(
            label,
            max(amount, 0.0),
            how if amount > 0 else f"{how}, which earn",
            ({"parameter": "multiplier"}, {"parameter": "history"}),
            tuple(self._leg(*leg) for leg in zip(instruments, quantities, legs, strict=True))
            if amount > 0
            else (),
            tuple(
                self._day(window.scenarios.names[day], float(total[0, day]), float(weight))
                for day, weight in zip(days, weights, strict=True)
            ),
        )

    def _factor(self, place: int) -> float:
        """What a measure of a window is multiplied with on its way into the requirement."""
        stress = self.parameters.stress
        if stress.combination is not Combination.WEIGHTED:
            return self.parameters.multiplier
        share = stress.weight if place == STRESSED else 1.0 - stress.weight
        return self.parameters.multiplier * share

    def _tail_days(self, losses: Float, window: Window, confidence: float) -> tuple[Index, Float]:
        """The days that the measure is made of, the worst first, with their weights."""
        order = np.argsort(-losses, kind="stable")
        if window.ages is None:
            weights = self.weights(len(losses), confidence=confidence)
        else:
            weights = self.aged(window.ages[order][None], confidence=confidence)[0]
        used = np.flatnonzero(weights)
        return order[used], weights[used]

    def _leg(self, instrument: int, quantity: float, amount: float) -> Part:
        name = self.market.instruments.names[instrument]
        how = f"what {figure_of(quantity)} contracts lose on these days"
        return Part(name, float(amount), how, ({"price": name}, {"instrument": name}))

    def _day(self, name: str, loss: float, weight: float) -> Part:
        how = f"a loss of {figure_of(loss)}, weight {figure_of(weight)}"
        return Part(name, loss, how, ({"scenario": name},))


class PreparedValueAtRisk(PreparedTail):
    """The loss at the border of the tail."""

    parameters: ValueAtRiskParameters
    title = "Value at risk"

    def weights(self, count: int, *, confidence: float) -> Float:
        return quantile_weights(count, confidence=confidence, convention=self.parameters.convention)

    def aged(self, ordered: Float, *, confidence: float) -> Float:
        weights = np.zeros_like(ordered)
        weights[np.arange(len(ordered)), aged_quantile(ordered, confidence=confidence)] = 1.0
        return weights

    def deciding_rank(self, weights: Float) -> Index:
        """The worse of the days that the loss lies between."""
        rank: Index = (weights > 0).argmax(axis=1)
        return rank


class PreparedExpectedShortfall(PreparedTail):
    """The mean of the tail."""

    parameters: ExpectedShortfallParameters
    title = "Expected shortfall"

    def weights(self, count: int, *, confidence: float) -> Float:
        return shortfall_weights(
            count, confidence=confidence, convention=self.parameters.convention
        )

    def aged(self, ordered: Float, *, confidence: float) -> Float:
        return aged_tail(ordered, confidence=confidence)

    def deciding_rank(self, weights: Float) -> Index:
        """The worst day of all."""
        return np.zeros(len(weights), dtype=np.intp)


HISTORY: Final = History(
    lookback_days=250,
    filtering=Filtering.VOLATILITY,
    volatility_decay=0.97,
    ratio_most=4.0,
    horizon_days=2,
    scaling=Scaling.SQUARE_ROOT,
    age_decay=1.0,
)
STRESS: Final = Stress(combination=Combination.MAX, oldest_day=250, newest_day=191, weight=0.25)
SOURCE: Final = (
    "Historical and filtered simulation: Hull and White (1998); expected shortfall: Acerbi and"
    " Tasche (2002); stressed days beside the newest: Basel framework, MAR30 (2009 revisions)."
)

VALUE_AT_RISK: Final = Model(
    name="value-at-risk",
    version="v1",
    title="Historical value at risk",
    parameters=ValueAtRiskParameters,
    standard=ValueAtRiskParameters(
        confidence=0.99,
        maintenance_confidence=0.97,
        multiplier=1.0,
        history=HISTORY,
        stress=STRESS,
        convention=QuantileConvention.ORDER_STATISTIC,
    ),
    looks_back=of_past_days,
    prepare=PreparedValueAtRisk,
    laws=frozenset({Law.SCALE, Law.MONOTONE}),
    breaks={
        Law.SUBADDITIVE: Counterexample(
            "Two books whose worst days differ have them all in the tail of both together.",
            {"seed": 1},
        )
    },
    source=SOURCE,
)
EXPECTED_SHORTFALL: Final = Model(
    name="expected-shortfall",
    version="v1",
    title="Historical expected shortfall",
    parameters=ExpectedShortfallParameters,
    standard=ExpectedShortfallParameters(
        confidence=0.975,
        maintenance_confidence=0.95,
        multiplier=1.0,
        history=HISTORY,
        stress=STRESS,
        convention=ShortfallConvention.TAIL_MEAN,
    ),
    looks_back=of_past_days,
    prepare=PreparedExpectedShortfall,
    laws=frozenset({Law.SCALE, Law.SUBADDITIVE, Law.MONOTONE}),
    source=SOURCE,
)
