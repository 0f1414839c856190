"""Tiered haircuts as two people declare them, and the terms they make on a day.

Stored as JSON: {"tiers": [{"floor", "haircut"}], "concentration": [{"share", "addition"}],
"peg": [{"below", "multiplier", "least"}], "volatility": {...} or null}; numbers are exact text.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import Any, Final, NamedTuple

from margin.engine.collateral import (
    CloseRow,
    CollateralTerms,
    ConcentrationTier,
    HaircutTier,
    PegTier,
    VolatilityHaircut,
)
from margin.engine.exact import ONE, ZERO, plain, round_up
from margin.engine.rejected import RejectedInputError
from margin.engine.volatility import Estimator, daily_volatility, horizon_move, log_returns

TIERS_MAX: Final = 20
# Digits of a haircut that a volatility makes, rounded up.
HAIRCUT_DECIMALS: Final = 6
LOOKBACK_MAX: Final = 1_250


class VolatilityRule(NamedTuple):
    """haircut >= multiple x sigma x root of horizon.

    Attributes:
        estimator: how sigma is made of the closes of the days before.
        lookback_days: how many of the newest returns are used.
        decay: of `ewma`; 0 for `sample`.
        least_days: returns without which nothing is said of the volatility.
        without_history: the haircut while there are fewer.
    """

    estimator: Estimator
    multiple: Decimal
    horizon_days: int
    lookback_days: int
    decay: Decimal
    least_days: int
    without_history: Decimal


@dataclass(frozen=True, slots=True)
class CollateralSchedule:
    """All that is declared of the haircut of one money.

    Raises:
        RejectedInputError: tiers that do not rise from 0, a haircut that is no share, or a multiple
            of a haircut that is none.
    """

    tiers: tuple[HaircutTier, ...]
    concentration: tuple[ConcentrationTier, ...] = ()
    peg: tuple[PegTier, ...] = ()
    volatility: VolatilityRule | None = None

    def __post_init__(self) -> None:
        _check_tiers(self.tiers)
        _check_concentration(self.concentration)
        _check_peg(self.peg)
        if self.volatility is not None:
            _check_volatility(self.volatility)
        if any(tier.haircut == 0 for tier in self.tiers) and any(p.least == 0 for p in self.peg):
            raise RejectedInputError(
                "peg: a multiple of no haircut is none; name the least haircut of every step"
            )

    @property
    def closes_wanted(self) -> int:
        """How many closes it looks back on; 0 without a volatility."""
        return 0 if self.volatility is None else self.volatility.lookback_days + 1


def collateral_terms(
    schedule: CollateralSchedule, *, closes: Sequence[CloseRow] = ()
) -> CollateralTerms:
    """The terms of a day, out of the closes of the days before it, the oldest first."""
    rule = schedule.volatility
    return CollateralTerms(
        tiers=schedule.tiers,
        volatility=None if rule is None else volatility_haircut(rule, closes=closes),
        concentration=schedule.concentration,
        peg=schedule.peg,
    )


def volatility_haircut(rule: VolatilityRule, *, closes: Sequence[CloseRow]) -> VolatilityHaircut:
    """The least haircut that a volatility asks for, rounded up; 1 at most."""
    used = tuple(closes[-rule.lookback_days - 1 :])
    sigma = None
    haircut = rule.without_history
    if len(used) - 1 >= rule.least_days:
        returns = log_returns([close.price for close in used])
        sigma = daily_volatility(returns, estimator=rule.estimator, decay=rule.decay)
        move = horizon_move(sigma, multiple=rule.multiple, days=Decimal(rule.horizon_days))
        haircut = min(ONE, round_up(move, HAIRCUT_DECIMALS))
    return VolatilityHaircut(
        haircut=haircut,
        sigma=sigma,
        estimator=str(rule.estimator),
        multiple=rule.multiple,
        horizon_days=rule.horizon_days,
        closes=used,
    )


def read_schedule(values: Mapping[str, Any]) -> CollateralSchedule:
    """A schedule out of JSON; `written_schedule` gives the same JSON back.

    Raises:
        RejectedInputError: something is missing, unknown or not what it may be.
    """
    _known("schedule", values, {"tiers", "concentration", "peg", "volatility"})
    volatility = values["volatility"]
    return CollateralSchedule(
        tiers=_rows("tiers", values["tiers"], HaircutTier),
        concentration=_rows("concentration", values["concentration"], ConcentrationTier),
        peg=_rows("peg", values["peg"], PegTier),
        volatility=None if volatility is None else _rule(volatility),
    )


def written_schedule(schedule: CollateralSchedule) -> dict[str, Any]:
    """A schedule as JSON; every number as its shortest text, counts as numbers."""
    return {
        "tiers": [_written(tier) for tier in schedule.tiers],
        "concentration": [_written(tier) for tier in schedule.concentration],
        "peg": [_written(tier) for tier in schedule.peg],
        "volatility": None if schedule.volatility is None else _written(schedule.volatility),
    }


def _written(row: NamedTuple) -> dict[str, Any]:
    said = row._asdict()
    return {
        name: plain(value) if isinstance(value, Decimal) else value
        for name, value in ((n, str(v) if isinstance(v, Estimator) else v) for n, v in said.items())
    }


def _rule(values: Any) -> VolatilityRule:  # noqa: ANN401 (JSON)
    _known("volatility", values, set(VolatilityRule._fields))
    if values["estimator"] not in set(Estimator):
        raise RejectedInputError(f"volatility: no estimator {values['estimator']!r}")
    counts = ("horizon_days", "lookback_days", "least_days")
    if any(type(values[name]) is not int for name in counts):
        raise RejectedInputError(f"volatility: {', '.join(counts)} are whole numbers")
    return VolatilityRule(
        estimator=Estimator(values["estimator"]),
        multiple=_number("volatility.multiple", values["multiple"]),
        horizon_days=values["horizon_days"],
        lookback_days=values["lookback_days"],
        decay=_number("volatility.decay", values["decay"]),
        least_days=values["least_days"],
        without_history=_number("volatility.without_history", values["without_history"]),
    )


def _rows(name: str, rows: Any, kind: Callable[..., Any]) -> tuple[Any, ...]:  # noqa: ANN401
    if not isinstance(rows, list) or len(rows) > TIERS_MAX:
        raise RejectedInputError(f"{name}: a list of at most {TIERS_MAX} is needed")
    fields: tuple[str, ...] = kind._fields  # type: ignore[attr-defined]
    read = []
    for row in rows:
        _known(name, row, set(fields))
        read.append(kind(*(_number(f"{name}.{field}", row[field]) for field in fields)))
    return tuple(read)


def _known(name: str, values: Any, wanted: set[str]) -> None:  # noqa: ANN401 (JSON)
    if not isinstance(values, Mapping) or set(values) != wanted:
        raise RejectedInputError(f"{name}: {', '.join(sorted(wanted))} are needed, and no others")


def _number(name: str, value: Any) -> Decimal:  # noqa: ANN401 (JSON)
    try:
        number = Decimal(value) if isinstance(value, str) else None
    except InvalidOperation:
        number = None
    if number is None or not number.is_finite():
        raise RejectedInputError(f"{name}: an exact number is needed, not {value!r}")
    return number


def _check_tiers(tiers: Sequence[HaircutTier]) -> None:
    if not tiers or tiers[0].floor != 0:
        raise RejectedInputError("tiers: the first floor is 0")
    if any(low.floor >= high.floor for low, high in pairwise(tiers)):
        raise RejectedInputError("tiers: each floor is above the one before")
    if any(not 0 <= tier.haircut <= 1 for tier in tiers):
        raise RejectedInputError("tiers: a haircut is a share from 0 to 1")
    if any(low.haircut > high.haircut for low, high in pairwise(tiers)):
        raise RejectedInputError("tiers: a greater holding has no smaller haircut")


def _check_concentration(tiers: Sequence[ConcentrationTier]) -> None:
    if any(not 0 < tier.share < 1 or not 0 <= tier.addition <= 1 for tier in tiers):
        raise RejectedInputError("concentration: shares lie between 0 and 1")
    if any(
        low.share >= high.share or low.addition > high.addition for low, high in pairwise(tiers)
    ):
        raise RejectedInputError("concentration: shares and additions rise")


def _check_peg(tiers: Sequence[PegTier]) -> None:
    if any(t.below <= 0 or t.multiplier < 1 or not 0 <= t.least <= 1 for t in tiers):
        raise RejectedInputError("peg: a price above 0, a multiple from 1, a least from 0 to 1")
    if any(
        high.below <= low.below or high.multiplier > low.multiplier or high.least > low.least
        for high, low in pairwise(tiers)
    ):
        raise RejectedInputError("peg: prices fall, multiples and least haircuts do not")


def _check_volatility(rule: VolatilityRule) -> None:
    if not 2 <= rule.least_days <= rule.lookback_days <= LOOKBACK_MAX:
        raise RejectedInputError(
            f"volatility: 2 <= least_days <= lookback_days <= {LOOKBACK_MAX} is needed"
        )
    if rule.multiple <= 0 or rule.horizon_days < 1 or not ZERO <= rule.without_history <= 1:
        raise RejectedInputError(
            "volatility: a multiple above 0, a horizon of days, a share without history"
        )
    if (rule.estimator is Estimator.EWMA) != (0 < rule.decay < 1):
        raise RejectedInputError("volatility: ewma has a decay between 0 and 1, sample has 0")
