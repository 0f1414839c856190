"""Delta margin: net directional exposure by underlying times a shock, and a share of the gross.

requirement = sum over underlyings of shock x |net delta value| + residual x gross delta value,
where the gross counts long and short apart. Maintenance margin is a share of that.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.sparse import csr_array

from margin.engine.books import Books
from margin.engine.explain import TIMES, figure_of
from margin.engine.given import Float
from margin.engine.greeks import delta_values
from margin.engine.market import Index, Market
from margin.engine.model import (
    NOTHING_BINDS,
    Explained,
    Law,
    Model,
    Part,
    Prepared,
    Requirement,
    first_greatest,
    in_order,
)
from margin.engine.parameters import check_parameters, parameter

PARTS: Final = ("net_delta", "gross_delta")


@dataclass(frozen=True, slots=True)
class DeltaParameters:
    """Shocks of the delta margin."""

    shock: float = parameter(
        "Fall or rise of an underlying that net exposure must bear",
        unit="share of the price",
        least=0.0,
        most=1.0,
        is_shock=True,
    )
    residual: float = parameter(
        "What hedged exposure is charged still, for basis, volatility and gaps",
        unit="share of gross delta value",
        least=0.0,
        most=1.0,
        is_shock=True,
    )
    maintenance_share: float = parameter(
        "Maintenance margin as a share of initial margin", unit="share", least=0.0, most=1.0
    )

    def __post_init__(self) -> None:
        check_parameters(self)


class PreparedDelta(Prepared):
    """A market with the delta of one contract of everything.

    Attributes:
        delta_values: (I,) settlement currency per 1.00 of relative move of the underlying.
    """

    parts = PARTS

    def __init__(self, market: Market, parameters: DeltaParameters) -> None:
        self.market, self.parameters = market, parameters
        self.bindings = market.underlyings
        self.delta_values = delta_values(market)
        contract = market.instruments
        self._by_underlying = csr_array(
            (self.delta_values, (np.arange(len(contract)), contract.underlyings)),
            shape=(len(contract), len(market.underlyings)),
        )

    def requirement(self, books: Books) -> Requirement:
        held = books.matrix(instruments=len(self.market.instruments))
        net: Float = np.abs((held @ self._by_underlying).toarray())
        gross: Float = abs(held) @ np.abs(self.delta_values)
        directional = self.parameters.shock * net
        parts = np.column_stack([in_order(directional), self.parameters.residual * gross])
        kept = self.parameters.maintenance_share * parts
        initial = in_order(parts)
        return Requirement(
            initial=initial,
            maintenance=in_order(kept),
            initial_parts=parts,
            maintenance_parts=kept,
            binding=np.where(initial > 0, first_greatest(directional), NOTHING_BINDS),
        )

    def explain(self, books: Books, *, scope: int) -> Explained:
        one = books.select([scope])
        said = self.requirement(one)
        trees = [
            Part(
                f"{name} margin by delta",
                float(total[0]),
                "net delta and gross delta",
                children=tuple(self._children(one, parts[0], share)),
            )
            for name, total, parts, share in (
                ("Initial", said.initial, said.initial_parts, 1.0),
                ("Maintenance", said.maintenance, said.maintenance_parts,
                 self.parameters.maintenance_share),
            )
        ]  # fmt: skip
        return Explained(*trees)

    def _children(self, one: Books, parts: Float, share: float) -> list[Part]:
        instruments, quantities = one.of(0)
        values = quantities * self.delta_values[instruments]
        net_rate, gross_rate = share * self.parameters.shock, share * self.parameters.residual
        places = self.market.instruments.underlyings[instruments]
        by_underlying = []
        for asset in np.unique(places):
            mine = places == asset
            net = float(values[mine].sum())
            legs = self._legs(instruments[mine], values[mine] * np.sign(net), net_rate, "shock")
            amount = net_rate * abs(net)
            how = f"{figure_of(net_rate)} {TIMES} |net delta value {figure_of(net)}|"
            by_underlying.append(
                Part(self.market.underlyings[asset], amount, how, children=tuple(legs))
            )
        gross = self._legs(instruments, np.abs(values), gross_rate, "residual")
        return [
            Part("Net delta", float(parts[0]), "by underlying", children=tuple(by_underlying)),
            Part("Gross delta", float(parts[1]), "long and short apart", children=tuple(gross)),
        ]

    def _legs(self, instruments: Index, values: Float, rate: float, parameter: str) -> list[Part]:
        return [
            Part(
                self.market.instruments.names[place],
                float(rate * value),
                f"delta value {figure_of(value)} {TIMES} {figure_of(rate)}",
                ({"price": self.market.instruments.names[place]}, {"parameter": parameter}),
            )
            for place, value in zip(instruments, values, strict=True)
        ]


MODEL: Final = Model(
    name="delta",
    version="v1",
    title="Delta margin",
    parameters=DeltaParameters,
    standard=DeltaParameters(shock=0.15, residual=0.02, maintenance_share=0.75),
    prepare=PreparedDelta,
    laws=frozenset({Law.SCALE, Law.SUBADDITIVE, Law.MONOTONE}),
    source="Net sensitivity by underlying, as in the delta charge of the Basel standardised"
    " approach (MAR21), with one bucket an underlying and a residual on gross.",
)
