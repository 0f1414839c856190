"""Why risk arrays require what they do: the trees of one scope."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from margin.engine.books import Books
from margin.engine.explain import TIMES, figure_of
from margin.engine.given import Float
from margin.engine.model import Explained, Part, Requirement
from margin.engine.option_value import OptionValue, value_part
from margin.engine.risk_arrays import SCAN_NAMES

if TYPE_CHECKING:
    from margin.engine.models.risk_arrays import Figures, PreparedRiskArrays


def trees(
    prepared: "PreparedRiskArrays", one: Books, *, figures: "Figures", said: Requirement
) -> Explained:
    """The trees of the only scope of `one`."""
    ratio = prepared.parameters.initial_ratio
    return Explained(
        _Tree(prepared, one, figures, ratio).root("Initial", said.initial, said.initial_parts),
        _Tree(prepared, one, figures, 1.0).root(
            "Maintenance", said.maintenance, said.maintenance_parts
        ),
    )


class _Tree:
    """One of the two trees; all amounts are `ratio` times those of maintenance margin."""

    def __init__(
        self, prepared: "PreparedRiskArrays", one: Books, figures: "Figures", ratio: float
    ) -> None:
        self.prepared, self.figures, self.ratio = prepared, figures, ratio
        self.market, self.parameters = prepared.market, prepared.parameters
        self.instruments, self.quantities = one.of(0)
        self.times = "" if ratio == 1.0 else f" {TIMES} initial ratio {figure_of(ratio)}"

    def root(self, name: str, total: Float, parts: Float) -> Part:
        """The tree with its five branches."""
        scan, calendar, credit, lift, value = (float(part) for part in parts[0])
        children = (
            Part("Scan risk", scan, "worst scenario of each underlying",
                 children=tuple(self._scans())),
            Part("Calendar spreads", calendar, "opposite deltas of two tiers of expiry",
                 children=tuple(self._spreads())),
            Part("Credits between underlyings", credit, "opposite deltas of two underlyings",
                 children=tuple(self._credits())),
            Part("Short option minimum", lift, "what the charges of an underlying fall short of it",
                 children=tuple(self._lifts())),
            self._option_value(value),
        )  # fmt: skip
        return Part(f"{name} margin by risk arrays", float(total[0]), "sum", children=children)

    def _rows(self) -> Iterator[tuple[int, str, str]]:
        """Row, underlying, and under which name its parameters are."""
        names = [each.underlying for each in self.parameters.named]
        for row, place in enumerate(self.figures.legs.underlyings):
            name = self.market.underlyings[place]
            path = f"named.{names.index(name)}.terms" if name in names else "default"
            yield row, name, path

    def _scans(self) -> Iterator[Part]:
        for row, name, path in self._rows():
            amount = float(self.figures.legs.charged[row])
            scenario = int(self.figures.scenarios[row])
            how = f"loses most with: {SCAN_NAMES[scenario]}" if amount > 0 else "no scenario loses"
            mine = (
                self.market.instruments.underlyings[self.instruments]
                == (self.figures.legs.underlyings[row])
            )
            yield Part(
                name,
                self.ratio * amount,
                how + self.times,
                ({"scenario": SCAN_NAMES[scenario]}, {"parameter": f"{path}.price_range"}),
                tuple(self._legs(mine, scenario)) if amount > 0 else (),
            )

    def _legs(self, mine: np.ndarray, scenario: int) -> Iterator[Part]:
        for place, quantity in zip(self.instruments[mine], self.quantities[mine], strict=True):
            profit = float(self.prepared.arrays[scenario, place])
            instrument = self.market.instruments.names[place]
            yield Part(
                instrument,
                -self.ratio * float(quantity) * profit,
                f"{figure_of(quantity)} {TIMES} profit {figure_of(profit)}, a loss counts"
                f"{self.times}",
                ({"price": instrument}, {"scenario": SCAN_NAMES[scenario]}),
            )

    def _spreads(self) -> Iterator[Part]:
        for row, name, path in self._rows():
            for place, charge in enumerate(self.figures.calendar[row]):
                if charge:
                    spread = self.parameters.calendar[place]
                    rate = float(self.prepared.spread_rates[self.figures.legs.underlyings[row]])
                    yield Part(
                        f"{name}, tiers {spread.near} and {spread.far}",
                        self.ratio * float(charge),
                        f"matched delta value {TIMES} {figure_of(rate)} {TIMES} "
                        f"{figure_of(spread.multiple)}{self.times}",
                        ({"parameter": f"{path}.spread_rate"}, {"parameter": f"calendar.{place}"}),
                    )

    def _credits(self) -> Iterator[Part]:
        for row, name, path in self._rows():
            for place, credit in enumerate(self.figures.credits[row]):
                if credit:
                    written = self.prepared.written_pairs[place]
                    pair = self.parameters.credits[written]
                    other = pair.second if name == pair.first else pair.first
                    yield Part(
                        f"{name} against {other}",
                        -self.ratio * float(credit),
                        f"{figure_of(pair.credit)} {TIMES} price range {TIMES} matched delta value,"
                        f" within its scan risk{self.times}",
                        (
                            {"parameter": f"credits.{written}"},
                            {"parameter": f"{path}.price_range"},
                        ),
                    )

    def _lifts(self) -> Iterator[Part]:
        for row, name, path in self._rows():
            lift, minimum = self.figures.lifts[row], self.figures.minimum[row]
            if lift:
                charged = figure_of(self.figures.charges[row])
                yield Part(
                    name,
                    self.ratio * float(lift),
                    f"minimum {figure_of(minimum)} of its short options, of which {charged} is"
                    f" charged{self.times}",
                    ({"parameter": f"{path}.short_minimum"},),
                )

    def _option_value(self, amount: float) -> Part:
        counts = self.parameters.option_value
        if counts is OptionValue.IN_EQUITY:
            return Part("Option value", amount, "equity counts it")
        return value_part(
            self.market,
            amount=amount,
            instruments=self.instruments,
            values=self.ratio * self.quantities * self.prepared.option_values[self.instruments],
        )
