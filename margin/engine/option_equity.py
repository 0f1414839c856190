"""Which options equity counts at their market value, so that no value counts twice or nowhere.

Requirements of models say what they make of an option's premium; equity takes what is left:

- losses on top of what everything is worth: equity counts every option, bought and sold;
- the same of option strategies: what is spread or covered is required net of premium, and a long
  option has no loan value, as its whole premium is required (FINRA rule 4210(f)(2));
- rules that require each short option by itself with its premium: equity counts long ones alone;
- net option value within the requirement: equity counts none (CME Group, "SPAN methodology");
- only what is above 0 lessens the requirement: equity counts a net debt, and nothing else.
"""

from collections.abc import Sequence
from decimal import Decimal
from enum import StrEnum

from margin.engine.exact import ZERO


class OptionEquity(StrEnum):
    """What of a scope's options counts in its equity."""

    ALL = "all"
    LONG = "long"
    DEBT = "debt"
    NONE = "none"


WORDS = {
    OptionEquity.ALL: "options count at their value, bought and sold",
    OptionEquity.LONG: "long options count; the requirement holds the premium of short ones",
    OptionEquity.DEBT: "a net debt counts; the requirement holds what is above 0",
    OptionEquity.NONE: "no option counts; the requirement holds their net value",
}


def all_options(parameters: object) -> OptionEquity:
    """Equity counts every option: the requirement is a loss on top of what they are worth."""
    return OptionEquity.ALL


def beside_premium(*, is_required: bool) -> OptionEquity:
    """What equity counts beside rules that require the premium of short options, or do not."""
    return OptionEquity.LONG if is_required else OptionEquity.ALL


def counted(values: Sequence[Decimal], *, counts: OptionEquity) -> list[bool]:
    """Which of one scope's option positions equity counts, by their market values (signed)."""
    if counts is OptionEquity.LONG:
        return [value > 0 for value in values]
    is_all = counts is OptionEquity.ALL or (counts is OptionEquity.DEBT and sum(values, ZERO) < 0)
    return [is_all for _ in values]
