"""Whether a model with its parameters may be relied on: its laws, its slow twin, its past.

Every check can fail, and a report says which did. Figures are the same on every machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from margin.engine.backtest import Zone, backtest, walk_forward
from margin.engine.books import Books, books_of
from margin.engine.closes import History, market_of_history
from margin.engine.laws import broken_always, law_excess, raised, slow_excess
from margin.engine.market import Kind, Market
from margin.engine.model import ALWAYS, Law, Model
from margin.engine.parameters import (
    parameter_fields,
    parameters_sha256,
    read_parameters,
    written_parameters,
)
from margin.engine.rejected import RejectedInputError
from margin.engine.source import model_sha256
from margin.engine.worlds import world_for

CONFIDENCE: Final = 0.99
BACKTEST_DAYS: Final = 250
# Days before the first forecast, for models that look back.
LOOK_BACK_DAYS: Final = 300
SENSITIVITY_SEED: Final = 1
SENSITIVITY_SCOPES: Final = 60
# One unit of value, long and short, of each name and of all together.
VALUE: Final = 100_000.0


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        figures: what was seen, by name.
        detail: a sentence; why it failed where it did.
    """

    name: str
    passed: bool
    detail: str
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelReport:
    """What was found of a model with a set of parameters."""

    model: str
    version: str
    parameters: str
    model_sha256: str
    parameters_sha256: str
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)


def validate(
    model: Model[Any],
    parameters: Any,  # noqa: ANN401 (of the type that the model declares)
    *,
    name: str,
    worlds: int,
    history: History,
) -> ModelReport:
    """Look at a model with a set of parameters.

    Args:
        name: of the set.
        worlds: how many random worlds each law and the slow implementation are asked in.
        history: at least BACKTEST_DAYS + LOOK_BACK_DAYS returns.
    """
    is_proven = parameters == model.proven
    return ModelReport(
        model=model.name,
        version=model.version,
        parameters=name,
        model_sha256=model_sha256(model),
        parameters_sha256=parameters_sha256(parameters),
        checks=(
            _check_always(model, parameters, worlds),
            *(_check_law(model, parameters, law, worlds) for law in sorted(model.laws)),
            *(_check_counterexample(model, law) for law in sorted(model.breaks) if is_proven),
            _check_slow(model, parameters, worlds),
            _check_backtest(model, parameters, history),
            _sensitivity(model, parameters),
        ),
    )


def _check_always(model: Model[Any], parameters: Any, worlds: int) -> Check:  # noqa: ANN401
    for seed in range(worlds):
        broken = list(broken_always(model, parameters, seed=seed))
        if broken:
            return Check("laws of every model", False, f"World {seed} breaks {', '.join(broken)}.")
    detail = f"{len(ALWAYS)} laws hold in {worlds} worlds."
    return Check("laws of every model", True, detail, {"worlds": worlds})


def _check_law(model: Model[Any], parameters: Any, law: Law, worlds: int) -> Check:  # noqa: ANN401
    for seed in range(worlds):
        excess = law_excess(law, model, parameters, seed=seed)
        if excess > 0:
            return Check(law, False, f"World {seed} breaks it by {excess:g}.")
    return Check(law, True, f"It holds in {worlds} worlds.", {"worlds": worlds})


def _check_counterexample(model: Model[Any], law: Law) -> Check:
    """That the stored counter-example still is one, so that nobody relies on the law."""
    stored = model.breaks[law]
    excess = law_excess(law, model, model.proven, **stored.world)
    detail = f"Does not hold, as declared: {stored.why}"
    if excess <= 0:
        detail = "The stored counter-example does not break it any more."
    return Check(f"{law} is not declared", excess > 0, detail, {"excess": excess})


def _check_slow(model: Model[Any], parameters: Any, worlds: int) -> Check:  # noqa: ANN401
    name = "slow implementation"
    for seed in range(worlds):
        excess = slow_excess(model, parameters, seed=seed)
        if excess > 0:
            return Check(name, False, f"World {seed} differs by {excess:g} beyond rounding.")
    return Check(name, True, f"It agrees in {worlds} worlds.", {"worlds": worlds})


def _check_backtest(model: Model[Any], parameters: Any, history: History) -> Check:  # noqa: ANN401
    """That a day's losses pass initial margin no more often than at 99 % they may."""
    kind = Kind.SECURITY if Kind.SECURITY in model.kinds else min(model.kinds)
    market = market_of_history(history, kind=kind)
    books = _test_books(market)
    try:
        walk = walk_forward(
            lambda known: model.prepare(known, parameters), market, books, days=BACKTEST_DAYS
        )
    except RejectedInputError as refusal:
        return Check("backtest", False, f"The model refuses the past days: {refusal}.")
    found = backtest(walk.forecasts, walk.losses, confidence=CONFIDENCE)
    most = int(np.argmax(found.exceptions))
    figures = {
        "history": history.label,
        "days": found.days,
        "exceptions": found.exceptions.tolist(),
        "zones": [Zone(int(zone)).name for zone in found.zones],
        "kupiec_p_values": [round(float(p), 6) for p in found.coverage.p_value],
        "christoffersen_p_values": [round(float(p), 6) for p in found.independence.p_value],
        "notes": list(history.notes),
    }
    red = bool((found.zones == Zone.RED).any())
    detail = (
        f"At most {found.exceptions[most]} of {found.days} days passed initial margin"
        f" ({history.label} prices){', which is red' if red else ''}."
    )
    return Check("backtest", not red, detail, figures)


def _test_books(market: Market) -> Books:
    """Long and short in each name, and in all of them alike."""
    count = len(market.instruments)
    sizes = VALUE / market.notionals
    rows = [(2 * n + side, n, sign * sizes[n]) for n in range(count) for side, sign in _SIDES]
    rows += [
        (2 * count + side, n, sign * sizes[n] / count)
        for n in range(count)
        for side, sign in _SIDES
    ]
    return books_of(
        scopes=[row[0] for row in rows],
        instruments=[row[1] for row in rows],
        quantities=[row[2] for row in rows],
        cash=np.zeros(2 * count + 2),
    )


_SIDES: Final = ((0, 1.0), (1, -1.0))


def _sensitivity(model: Model[Any], parameters: Any) -> Check:  # noqa: ANN401
    """What a tenth more of each parameter does to the initial margin of a whole world."""
    market, books = world_for(model, SENSITIVITY_SEED, scopes=SENSITIVITY_SCOPES)
    before = float(model.prepare(market, parameters).requirement(books).initial.sum())
    figures: dict[str, Any] = {}
    for each in parameter_fields(parameters):
        if isinstance(each.value, float) and each.value:
            figures[each.path] = _change(model, parameters, market, books, each.path, before)
    detail = f"Of {len(figures)} figures, each a tenth greater; relative change of initial margin."
    return Check("sensitivity", bool(np.isfinite(before)), detail, figures)


def _change(
    model: Model[Any],
    parameters: Any,  # noqa: ANN401
    market: Market,
    books: Books,
    path: str,
    before: float,
) -> float | str:
    try:
        other = read_parameters(model.parameters, raised(written_parameters(parameters), path))
        after = float(model.prepare(market, other).requirement(books).initial.sum())
    except RejectedInputError as refusal:
        return f"refused: {refusal}"
    return round(after / before - 1.0, 9) if before else 0.0


def as_json(reports: Sequence[ModelReport]) -> list[dict[str, Any]]:
    """The reports as JSON values."""
    return [
        {
            "model": report.model,
            "version": report.version,
            "parameters": report.parameters,
            "model_sha256": report.model_sha256,
            "parameters_sha256": report.parameters_sha256,
            "passed": report.passed,
            "checks": [
                {
                    "name": check.name,
                    "passed": check.passed,
                    "detail": check.detail,
                    "figures": check.figures,
                }
                for check in report.checks
            ],
        }
        for report in reports
    ]
