"""The levels that a run used, where terms move them: each as a sum, and why it is that."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from accounts.figures import grouped
from margin.engine.call_terms import CallRules, read_rules
from margin.engine.exact import exact
from margin.levels import UsedLevel, number, used_levels
from margin.models import LevelEvent, MarginResult, MovedLevels

TIMES: Final = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True)
class LevelsShown:
    """The levels of a result.

    Attributes:
        lines: by what each is called.
        why: sentences.
        terms: the version of the terms of calls that says so.
    """

    lines: list[tuple[str, UsedLevel]]
    why: list[str]
    terms: int


def levels_shown(result: MarginResult) -> LevelsShown | None:
    """What the page of a call says of levels; None where they stay."""
    moved = result.moved
    if moved is None:
        return None
    rules = read_rules(moved.call_terms.values)
    return LevelsShown(
        lines=[(LevelEvent.Level(each.name).label, each) for each in used_levels(result)],
        why=[*_of_session(rules, moved), *_of_volatility(rules, moved)],
        terms=moved.call_terms.version,
    )


def _of_session(rules: CallRules, moved: MovedLevels) -> Iterator[str]:
    if not rules.session_calendar:
        return
    if moved.inputs["in_session"]:
        yield f"{rules.session_calendar} is in its session: nothing is added."
    else:
        yield (
            f"{rules.session_calendar} is outside its session: {number(moved.session)} is added."
        )


def _of_volatility(rules: CallRules, moved: MovedLevels) -> Iterator[str]:
    if not rules.volatility_asset:
        return
    said: dict[str, Any] = moved.inputs
    asset, before = rules.volatility_asset, number(moved.volatility_before)
    if said["sigma"] is None:
        yield (
            f"{said['closes']} closes of {asset} give no volatility of {rules.volatility_days}"
            f" days: {before} is added, as on the day before."
        )
        return
    yield (
        f"A day's volatility of {asset} over {rules.volatility_days} days is"
        f" {_percent(Decimal(said['sigma']))}. What is above {_percent(rules.volatility_normal)},"
        f" {TIMES} {number(rules.volatility_factor)} and at most {number(rules.volatility_cap)},"
        f" is {number(Decimal(said['target']))}. It was {before} on the day before and moves by"
        f" {number(rules.volatility_step)} a day: {number(moved.volatility)} is added."
    )


def _percent(share: Decimal) -> str:
    with exact():
        hundredfold = share * 100
    return f"{grouped(hundredfold, decimals=2)}\N{NO-BREAK SPACE}%"
