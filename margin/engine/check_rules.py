"""How often every scope must be looked at, and when."""

from dataclasses import dataclass
from typing import Final

from margin.engine.parameters import check_parameters, parameter
from margin.engine.rejected import RejectedInputError


@dataclass(frozen=True, slots=True)
class CheckRules:
    """What a firm has promised of its margin checks."""

    seconds_most: float = parameter(
        "Longest time between two checks of a scope while the calendar is open",
        unit="seconds",
        least=1.0,
    )
    calendar: str = parameter("Trading calendar in whose sessions checks are promised")

    def __post_init__(self) -> None:
        check_parameters(self)
        if not self.calendar:
            raise RejectedInputError("calendar: a name is needed")


# From which people begin; nothing is promised before two of them have agreed.
FIRST_CHECK_RULES: Final = CheckRules(seconds_most=300.0, calendar="ALWAYS")
