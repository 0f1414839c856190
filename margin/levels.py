"""Where the states of a scope begin, and what of it may leave."""

from decimal import Decimal
from typing import Any, Final, NamedTuple

from django.db.models import F, Value
from django.db.models.functions import Coalesce

from accounts.drawing import Levels
from accounts.explanation import share_of
from accounts.fields import ExactField
from accounts.figures import WIDE, grouped, plain
from accounts.models import AgreementVersion
from margin.engine.call_terms import read_rules
from margin.engine.exact import exact
from margin.engine.house_rules import INSUFFICIENT_MARK
from margin.models import LevelEvent, MarginResult, MarginState, MovedLevels
from margin.moving_levels import raised

ZERO = Decimal(0)
# From well to worst.
SEVERITY = {state.value: place for place, state in enumerate(MarginState)}


# The liquidation level that a result was computed with, times maintenance margin.
LIQUIDATION_LEVEL: Final = F("agreement_version__liquidation_level") + Coalesce(
    F("moved__session") + F("moved__volatility"), Value(ZERO), output_field=ExactField()
)


def terms_of(result: MarginResult) -> AgreementVersion:
    """The agreement of a result with the levels that its run used; no row."""
    moved = result.moved
    version = result.agreement_version
    return version if moved is None else raised(version, moved.addition)


def levels_of(result: MarginResult) -> Levels:
    """The levels of a result under the agreement it was computed with, as they were then; exact."""
    terms, maintenance = terms_of(result), result.maintenance_margin
    return Levels(
        liquidation=WIDE.multiply(terms.liquidation_level, maintenance),
        call=WIDE.multiply(terms.call_level, maintenance),
        initial=result.initial_margin,
    )


class UsedLevel(NamedTuple):
    """A level of the ladder as a run used it, times maintenance margin: the sum of the others."""

    name: str
    base: Decimal
    session: Decimal
    volatility: Decimal
    used: Decimal


def used_levels(result: MarginResult) -> list[UsedLevel]:
    """Every level of the ladder, the highest first, where terms move them; empty where none do."""
    moved, version = result.moved, result.agreement_version
    if moved is None:
        return []
    rules = read_rules(moved.call_terms.values)
    bases = {
        LevelEvent.Level.NOTICE: rules.notice_level,
        LevelEvent.Level.CALL: version.call_level,
        LevelEvent.Level.CLOSE_ONLY: rules.close_only_level,
        LevelEvent.Level.LIQUIDATE: version.liquidation_level,
    }
    with exact():
        found = [
            UsedLevel(name.value, base, moved.session, moved.volatility, base + moved.addition)
            for name, base in bases.items()
            if base is not None
        ]
    return sorted(found, key=lambda level: -level.used)


def levels_json(result: MarginResult) -> dict[str, Any] | None:
    """The levels that a run used and what they came from, as exact text; None where they stay."""
    moved = result.moved
    if moved is None:
        return None
    return {
        "levels": [
            {name: value if isinstance(value, str) else plain(value)
             for name, value in each._asdict().items()}
            for each in used_levels(result)
        ],
        "volatility_before": plain(moved.volatility_before),
        "call_terms": moved.call_terms.version,
        "inputs": moved.inputs,
    }  # fmt: skip


def additions(moved: MovedLevels) -> tuple[tuple[str, Decimal], ...]:
    """What a run added to levels, in words; what is 0 is left out."""
    calendar, asset = moved.inputs.get("calendar"), moved.inputs.get("asset")
    said = (
        (f"outside the session of {calendar}", moved.session),
        (f"for the volatility of {asset}", moved.volatility),
    )
    return tuple((words, amount) for words, amount in said if amount)


def levels_words(result: MarginResult) -> str:
    """ "call 1.25, liquidate 0.75; + 0.25 outside the session of NYSE"; "" if they stay."""
    if result.moved is None:
        return ""
    said = [f"{each.name.replace('_', ' ')} {number(each.used)}" for each in used_levels(result)]
    added = [f"+ {number(amount)} {words}" for words, amount in additions(result.moved)]
    return f"{', '.join(said)}; {' '.join(added) or 'nothing is added'}"


def number(value: Decimal) -> str:
    """A level as people read it."""
    return grouped(value.normalize(WIDE))


def is_held_at_call(result: MarginResult) -> bool:
    """Whether only a price that is not valid keeps the scope from liquidation."""
    return (
        INSUFFICIENT_MARK in result.flags
        and result.state == MarginState.CALL
        and result.equity < levels_of(result).liquidation
    )


def missing(result: MarginResult) -> Decimal:
    """Initial margin less equity, exact; negative where there is more than enough."""
    return WIDE.subtract(result.initial_margin, result.equity)


def equity_share(result: MarginResult) -> Decimal | None:
    """Equity as part of initial margin, to a millionth; None where nothing is required."""
    if not result.initial_margin:
        return None
    return share_of(result.equity, result.initial_margin)


def withdrawable(result: MarginResult, *, money: Decimal) -> Decimal:
    """What could leave the scope: equity beyond initial margin, as far as its money reaches.

    Args:
        money: the scope's money claims as the run counted them.
    """
    return max(ZERO, min(-missing(result), money))
