"""The form of a haircut: one share, or tiers and what scales them, typed a line each."""

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

from django import forms

from accounts.screens.asking import AskForm, amount_field, day_field
from margin.engine.collateral import ConcentrationTier, HaircutTier, PegTier
from margin.engine.collateral_schedule import CollateralSchedule, VolatilityRule
from margin.engine.exact import plain
from margin.engine.rejected import RejectedInputError
from margin.engine.volatility import Estimator

VOLATILITY_WORDS = (
    "One line: sample or ewma, multiple, horizon in days, days looked back on, decay (0 for"
    " sample), least days, haircut with fewer. Empty: not scaled."
)


def lines_field(label: str, hint: str) -> forms.CharField:
    """Lines of numbers, with commas."""
    return forms.CharField(
        label=label, required=False, max_length=2000, help_text=hint,
        widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false"}),
    )  # fmt: skip


class HaircutForm(AskForm):
    """The share of a currency that does not count, with its tiers."""

    haircut = amount_field("Haircut", hint="A share: 0.20 is 20 %. Of the first tier, if tiered.")
    effective_from = day_field("From")
    tiers = lines_field("Further tiers", "One line each: value from which it holds, haircut.")
    concentration = lines_field(
        "Concentration", "One line each: share of all money of a scope, addition to the haircut."
    )
    peg = lines_field(
        "Lost peg", "One line each, prices falling: price below which, multiple, least haircut."
    )
    volatility = lines_field("Volatility", VOLATILITY_WORDS)
    field_order = (
        "haircut", "effective_from", "tiers", "concentration", "peg", "volatility", "reason",
    )  # fmt: skip

    def clean_tiers(self) -> list[HaircutTier]:
        """The tiers after the first."""
        return self._rows("tiers", HaircutTier)

    def clean_concentration(self) -> list[ConcentrationTier]:
        return self._rows("concentration", ConcentrationTier)

    def clean_peg(self) -> list[PegTier]:
        return self._rows("peg", PegTier)

    def clean_volatility(self) -> VolatilityRule | None:
        """The rule, if one is typed."""
        typed: str = self.cleaned_data["volatility"].strip()
        if not typed:
            return None
        name, *numbers = (part.strip() for part in typed.split(","))
        try:
            multiple, horizon, lookback, decay, least, without = map(Decimal, numbers)
            counts = [int(count) for count in (horizon, lookback, least)]
            if counts != [horizon, lookback, least] or not multiple.is_finite():
                raise ValueError(typed)
            return VolatilityRule(
                Estimator(name), multiple, counts[0], counts[1], decay, counts[2], without
            )
        except (ValueError, OverflowError, InvalidOperation):
            raise forms.ValidationError(f"“{typed[:60]}” is not such a line.") from None

    def clean(self) -> dict[str, Any]:
        """The whole schedule, in `schedule`; None where the haircut is flat."""
        typed: dict[str, Any] = super().clean() or self.cleaned_data
        typed["schedule"] = None
        parts = [typed.get(name) for name in ("tiers", "concentration", "peg", "volatility")]
        if not self.errors and any(parts):
            first = HaircutTier(Decimal(0), typed["haircut"])
            try:
                typed["schedule"] = CollateralSchedule(
                    tiers=(first, *typed["tiers"]), concentration=tuple(typed["concentration"]),
                    peg=tuple(typed["peg"]), volatility=typed["volatility"],
                )  # fmt: skip
            except RejectedInputError as refused:
                self.add_error(None, f"{refused}.")
        return typed

    def _rows(self, name: str, kind: Callable[..., Any]) -> list[Any]:
        rows = []
        width = len(kind._fields)  # type: ignore[attr-defined]
        for line in self.cleaned_data[name].splitlines():
            try:
                numbers = [Decimal(part.strip()) for part in line.split(",")]
            except InvalidOperation:
                numbers = []
            if len(numbers) != width or not all(n.is_finite() for n in numbers):
                raise forms.ValidationError(f"“{line[:40]}” is not {width} numbers.")
            rows.append(kind(*numbers))
        return rows


def typed_schedule(schedule: CollateralSchedule | None) -> dict[str, str]:
    """A schedule as the form's lines, for the next one to begin with."""
    if schedule is None:
        return {}
    rule = schedule.volatility
    said = {
        "tiers": _lines(schedule.tiers[1:]),
        "concentration": _lines(schedule.concentration),
        "peg": _lines(schedule.peg),
    }
    if rule is None:
        return said
    numbers = (rule.multiple, *map(Decimal, (rule.horizon_days, rule.lookback_days)), rule.decay,
               Decimal(rule.least_days), rule.without_history)  # fmt: skip
    return said | {"volatility": ", ".join([str(rule.estimator), *map(plain, numbers)])}


def _lines(rows: Any) -> str:  # noqa: ANN401 (tuples of numbers)
    return "\n".join(", ".join(plain(number) for number in row) for row in rows)
