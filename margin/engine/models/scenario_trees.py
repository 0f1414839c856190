"""Why the scenario margin requires what it does: the trees of one scope."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from margin.engine.books import Books
from margin.engine.explain import TIMES, figure_of
from margin.engine.given import Float
from margin.engine.market import Index, Kind
from margin.engine.model import Explained, Part, Requirement
from margin.engine.option_value import OptionValue, value_part

if TYPE_CHECKING:
    from margin.engine.models.scenario import Losses, PreparedScenario


def trees(
    prepared: "PreparedScenario", one: Books, *, losses: "Losses", said: Requirement
) -> Explained:
    """The trees of the only scope of `one`."""
    return Explained(
        _Tree(prepared, one, losses, prepared.initial_rates).root(
            "Initial", said.initial, said.initial_parts
        ),
        _Tree(prepared, one, losses, prepared.maintenance_rates).root(
            "Maintenance", said.maintenance, said.maintenance_parts
        ),
    )


class _Tree:
    """One of the two trees; `rates` are what its first nine parts are multiplied by."""

    def __init__(
        self, prepared: "PreparedScenario", one: Books, losses: "Losses", rates: Float
    ) -> None:
        self.prepared, self.one, self.losses = prepared, one, losses
        self.market, self.rates = prepared.market, [float(rate) for rate in rates]
        self.factor = f"{'initial' if rates is prepared.initial_rates else 'maintenance'}_factor"
        self.instruments, self.quantities = one.of(0)

    def root(self, name: str, total: Float, parts: Float) -> Part:
        """The tree with its ten branches."""
        amounts = [float(part) for part in parts[0]]
        basis = len(self.prepared.scenarios)
        is_basis = self.losses.outcomes == basis
        opened = (
            ("Scenario loss", "worst scenario of each netting unit", self._units(~is_basis, 0)),
            ("Basis", "an expiry moves alone, and that is worse", self._units(is_basis, 1)),
            ("Perpetuals", "share of notional", self._sizes(Kind.PERPETUAL, 2)),
            ("Futures", "share of notional", self._sizes(Kind.FUTURE, 3)),
            ("Short options", "net short at a strike, share of spot value", self._shorts()),
            ("Liquidity", "beyond a share of the value traded on a day", self._large()),
            ("Interest rates", "all rates move together", self._rate_move()),
            ("Confidence", "doubt in prices", self._doubts()),
            ("Peg", "the stable coin is not stable", iter(())),
        )
        children = [
            Part(label, amount, how, children=tuple(inside))
            for amount, (label, how, inside) in zip(amounts[:-1], opened, strict=True)
        ]
        children[-1] = self._peg(amounts[-2])
        children.append(self._option_value(amounts[-1]))
        return Part(f"{name} margin by scenarios", float(total[0]), "sum", children=tuple(children))

    def _units(self, chosen: np.ndarray, place: int) -> Iterator[Part]:
        """The netting units whose worst is a scenario, or the basis."""
        factor = self.rates[place]
        for row in np.flatnonzero(chosen):
            loss = float(self.losses.amounts[row])
            worst = self.prepared.bindings[self.losses.outcomes[row]]
            yield Part(
                self.prepared.unit_names[self.losses.units[row]],
                factor * loss,
                f"{figure_of(factor)} {TIMES} loss {figure_of(loss)} with: {worst}",
                ({"scenario": worst}, {"parameter": self.factor}),
                tuple(self._legs(int(row), worst, factor)) if loss > 0 else (),
            )

    def _legs(self, row: int, worst: str, factor: float) -> Iterator[Part]:
        mine = self.losses.rows[self.losses.held.books.scopes] == row
        instruments = self.losses.held.books.instruments[mine]
        for place, gain in zip(instruments, self.losses.gains[mine], strict=True):
            name = self.market.instruments.names[place]
            yield Part(
                name,
                -factor * float(gain),
                f"profit {figure_of(gain)}, a loss counts {TIMES} {figure_of(factor)}",
                ({"price": name}, {"scenario": worst}),
            )

    def _sizes(self, kind: Kind, place: int) -> Iterator[Part]:
        mine = self.market.instruments.kinds[self.instruments] == kind
        yield from self._by_position(
            self.instruments[mine],
            np.abs(self.quantities[mine]) * self.market.notionals[self.instruments[mine]],
            rate=self.rates[place],
            parameter=f"contingencies.{kind.name.lower()}",
        )

    def _by_position(
        self, instruments: Index, notionals: Float, *, rate: float, parameter: str
    ) -> Iterator[Part]:
        for place, notional in zip(instruments, notionals, strict=True):
            name = self.market.instruments.names[place]
            yield Part(
                name,
                float(rate * notional),
                f"notional {figure_of(notional)} {TIMES} {figure_of(rate)}",
                ({"price": name}, {"parameter": parameter}),
            )

    def _shorts(self) -> Iterator[Part]:
        """Strikes at which more is short than long."""
        strikes = self.prepared.strikes
        held = self.one.matrix(instruments=strikes.shape[0])
        net = (held @ strikes).toarray()[0]
        for strike in np.flatnonzero(net < 0):
            listed = strikes[:, [strike]].tocoo().coords[0]
            mine = [place for place in self.instruments if place in listed]
            names = [self.market.instruments.names[place] for place in mine]
            yield Part(
                ", ".join(names),
                float(self.rates[4] * -net[strike]),
                f"net short {figure_of(-net[strike])} of spot value {TIMES} "
                f"{figure_of(self.rates[4])}",
                (*({"price": name} for name in names), {"parameter": "contingencies.option"}),
            )

    def _large(self) -> Iterator[Part]:
        amounts, _, underlyings = self.prepared.large_positions(self.one)
        for amount, underlying in zip(amounts, underlyings, strict=True):
            if amount:
                yield Part(
                    self.market.underlyings[underlying],
                    float(amount),
                    f"{figure_of(self.prepared.parameters.liquidity.rate)} {TIMES} what is beyond",
                    ({"parameter": "liquidity.rate"}, {"parameter": "liquidity.volume_share"}),
                )

    def _rate_move(self) -> Iterator[Part]:
        up, down, _ = self.prepared.rate_columns.gains
        lost = [
            (name, -self.quantities * column[self.instruments])
            for name, column in (("up", up), ("down", down))
        ]
        way, worse = max(lost, key=lambda each: float(each[1].sum()))
        if worse.sum() > 0:
            for place, amount in zip(self.instruments, worse, strict=True):
                name = self.market.instruments.names[place]
                if self.market.instruments.is_option[place]:
                    yield Part(
                        name,
                        float(amount),
                        f"rates {way} by {figure_of(self.prepared.parameters.rate_move)} a year",
                        ({"price": name}, {"parameter": "rate_move"}),
                    )

    def _doubts(self) -> Iterator[Part]:
        costs = self.prepared.parameters.confidence.cost(self.market.confidences)
        if self.rates[7]:
            for place, quantity in zip(self.instruments, self.quantities, strict=True):
                name, cost = self.market.instruments.names[place], float(costs[place])
                notional = abs(float(quantity)) * float(self.market.notionals[place])
                if cost:
                    sure = figure_of(self.market.confidences[place])
                    yield Part(
                        name,
                        cost * notional,
                        f"notional {figure_of(notional)} {TIMES} (1 - {sure}) {TIMES} rate",
                        ({"price": name}, {"parameter": "confidence.rate"}),
                    )

    def _peg(self, amount: float) -> Part:
        coin = self.prepared.parameters.stable_coin
        how = f"{figure_of(self.rates[8])} {TIMES} loss of all units"
        inputs = ({"price": coin}, {"parameter": "peg.factor"}) if coin else ()
        return Part("Peg", amount, how if coin else "no stable coin is named", inputs)

    def _option_value(self, amount: float) -> Part:
        if self.prepared.parameters.option_value is OptionValue.IN_EQUITY:
            return Part("Option value", amount, "equity counts it")
        return value_part(
            self.market,
            amount=amount,
            instruments=self.instruments,
            values=self.quantities * self.prepared.option_values[self.instruments],
        )
