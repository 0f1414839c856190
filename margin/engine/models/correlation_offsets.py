"""Delta margin by underlying, less what approved correlations between underlyings give back.

gross of an underlying = shock x |net delta value|; its direction is the sign of that delta. The
kernel of `margin.engine.offsets` takes gross and directions to net: hedges give credit as far as
the matrix of the parameter set says and the limit on credit lets them. An underlying that no pair
names offsets nothing. Parts are gross and credit; their sum is what is required. The matrix is part
of the set that two people registered, whose version stands on every result.

Where a correlation turns against a hedge its credit is nothing. Axes: A scopes, P positions,
I instruments, U underlyings.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy.sparse import csr_array

from margin.engine.books import Books
from margin.engine.explain import MINUS, TIMES, figure_of
from margin.engine.given import Float
from margin.engine.greeks import delta_values
from margin.engine.market import Market
from margin.engine.model import (
    NOTHING_BINDS,
    Counterexample,
    Explained,
    Law,
    Model,
    Part,
    Prepared,
    Requirement,
    first_greatest,
    in_order,
)
from margin.engine.offsets import ApprovedCorrelations, Offset, OffsetRule, approved, offsets
from margin.engine.parameters import check_parameters, parameter
from margin.engine.rejected import RejectedInputError

PARTS: Final = ("gross", "credit")
# The set that holds the matrix has a version of its own; the matrix needs a name beside it.
IN_SET: Final = "of the parameter set"


@dataclass(frozen=True, slots=True)
class Pair:
    """How two underlyings move together, within bounds that hold whatever was estimated."""

    first: str = parameter("Underlying")
    second: str = parameter("Another underlying")
    correlation: float = parameter(
        "Estimated correlation of their returns", unit="correlation", least=-1.0, most=1.0
    )
    floor: float = parameter("Least that counts", unit="correlation", least=-1.0, most=1.0)
    cap: float = parameter("Most that counts", unit="correlation", least=-1.0, most=1.0)

    def __post_init__(self) -> None:
        check_parameters(self)


@dataclass(frozen=True, slots=True)
class CorrelationOffsetsParameters:
    """What an underlying is charged by itself, and what pairs of them offset."""

    shock: float = parameter(
        "Fall or rise of an underlying that its net exposure must bear",
        unit="share of the price",
        least=0.0,
        most=1.0,
        is_shock=True,
    )
    rule: OffsetRule = parameter("What a correlation is worth")
    credit_most: float = parameter(
        "What offsets may take away at most", unit="share of gross", least=0.0, most=1.0
    )
    tolerance: float = parameter(
        "How far a repair may move the matrix to rid it of negative eigenvalues",
        unit="share of its size",
        least=0.0,
        most=0.5,
    )
    maintenance_share: float = parameter(
        "Maintenance margin as a share of initial margin", unit="share", least=0.0, most=1.0
    )
    pairs: tuple[Pair, ...] = parameter("Pairs that are correlated; all others are not")

    def __post_init__(self) -> None:
        check_parameters(self)
        said = [frozenset((each.first, each.second)) for each in self.pairs]
        if any(len(each) < 2 for each in said) or len(set(said)) != len(said):
            raise RejectedInputError("pairs: two underlyings each, and each pair once")
        if self.pairs:  # a matrix that cannot be approved is not registered
            correlations_of(self, named_units(self))


def named_units(parameters: CorrelationOffsetsParameters) -> tuple[str, ...]:
    """Underlyings that some pair names, by name."""
    return tuple(sorted({name for each in parameters.pairs for name in (each.first, each.second)}))


def correlations_of(
    parameters: CorrelationOffsetsParameters, units: tuple[str, ...]
) -> ApprovedCorrelations:
    """The matrix of named underlyings, within its bounds and repaired.

    Raises:
        RejectedInputError: a correlation or its bounds are none, or the repair would move it more
            than is tolerated.
    """
    place = {name: n for n, name in enumerate(units)}
    size = len(units)
    estimate, low, high = np.eye(size), np.eye(size), np.eye(size)
    for each in parameters.pairs:
        one, other = place[each.first], place[each.second]
        for row, column in ((one, other), (other, one)):
            estimate[row, column] = each.correlation
            low[row, column], high[row, column] = each.floor, each.cap
    return approved(
        estimate, version=IN_SET, units=units, floors=low, caps=high,
        tolerance=parameters.tolerance,
    )  # fmt: skip


class PreparedOffsets(Prepared):
    """A market with deltas, and the matrix of its underlyings.

    Attributes:
        delta_values: (I,) settlement currency per 1.00 of relative move of the underlying.
        correlations: of all underlyings of the market; those that no pair names stand alone.
    """

    parts = PARTS

    def __init__(self, market: Market, parameters: CorrelationOffsetsParameters) -> None:
        self.market, self.parameters = market, parameters
        self.bindings = market.underlyings
        self.delta_values = delta_values(market)
        contract = market.instruments
        self._by_underlying = csr_array(
            (self.delta_values, (np.arange(len(contract)), contract.underlyings)),
            shape=(len(contract), len(market.underlyings)),
        )
        self.correlations = self._of_market()

    def _of_market(self) -> ApprovedCorrelations:
        """The approved matrix, spread over the underlyings of the market."""
        units = named_units(self.parameters)
        matrix = np.eye(len(self.market.underlyings))
        repair = 0.0
        if units:
            found = correlations_of(self.parameters, units)
            place = {name: n for n, name in enumerate(units)}
            here = [n for n, name in enumerate(self.market.underlyings) if name in place]
            there = [place[self.market.underlyings[n]] for n in here]
            matrix[np.ix_(here, here)] = found.matrix[np.ix_(there, there)]
            repair = found.repair
        return ApprovedCorrelations(IN_SET, self.market.underlyings, matrix, repair)

    def offset(self, books: Books) -> tuple[Float, Float, Offset]:
        """(A, U) net delta values, (A, U) gross, and what comes of them."""
        held = books.matrix(instruments=len(self.market.instruments))
        net: Float = (held @ self._by_underlying).toarray()
        gross = self.parameters.shock * np.abs(net)
        said = offsets(
            gross,
            directions=np.sign(net),
            correlations=self.correlations,
            rule=self.parameters.rule,
            credit_most=self.parameters.credit_most,
        )
        return net, gross, said

    def requirement(self, books: Books) -> Requirement:
        _, gross, said = self.offset(books)
        parts = np.column_stack([said.gross, 0.0 - said.credit])
        kept = self.parameters.maintenance_share * parts
        initial = in_order(parts)
        return Requirement(
            initial=initial,
            maintenance=in_order(kept),
            initial_parts=parts,
            maintenance_parts=kept,
            binding=np.where(initial > 0, first_greatest(gross), NOTHING_BINDS),
        )

    def explain(self, books: Books, *, scope: int) -> Explained:
        one = books.select([scope])
        net, gross, said = self.offset(one)
        total = self.requirement(one)
        trees = [
            Part(
                f"{name} margin after offsets",
                float(amount[0]),
                self._words(said, share),
                children=(
                    self._gross(one, net[0], float(parts[0, 0]), share),
                    self._credit(gross[0] - said.parts[0], float(parts[0, 1]), share),
                ),
            )
            for name, amount, parts, share in (
                ("Initial", total.initial, total.initial_parts, 1.0),
                ("Maintenance", total.maintenance, total.maintenance_parts,
                 self.parameters.maintenance_share),
            )
        ]  # fmt: skip
        return Explained(*trees)

    def _words(self, said: Offset, share: float) -> str:
        """Gross, credit and net, and the net were all correlations at either end."""
        gross, credit, up, down = (
            figure_of(share * float(each[0]))
            for each in (said.gross, said.credit, said.stressed_up, said.stressed_down)
        )
        limit = ", as far as the limit lets it" if said.is_limited[0] else ""
        return (
            f"gross {gross} {MINUS} credit {credit}{limit}; were every correlation 1: {up},"
            f" {MINUS}1: {down}"
        )

    def _gross(self, one: Books, net: Float, amount: float, share: float) -> Part:
        contract = self.market.instruments
        instruments, quantities = one.of(0)
        values = quantities * self.delta_values[instruments]
        rate = share * self.parameters.shock
        children = []
        for asset in np.unique(contract.underlyings[instruments]):
            mine = contract.underlyings[instruments] == asset
            sign = float(np.sign(net[asset]))
            legs = tuple(
                Part(
                    contract.names[place],
                    float(rate * sign * value),
                    f"delta value {figure_of(value)} {TIMES} {figure_of(rate)}",
                    ({"price": contract.names[place]}, {"parameter": "shock"}),
                )
                for place, value in zip(instruments[mine], values[mine], strict=True)
            )
            size = float(abs(net[asset]))
            how = f"{figure_of(rate)} {TIMES} |net delta value {figure_of(float(net[asset]))}|"
            name = self.market.underlyings[asset]
            children.append(Part(name, rate * size, how, children=legs))
        return Part("Gross", amount, "by underlying", children=tuple(children))

    def _credit(self, taken: Float, amount: float, share: float) -> Part:
        """What offsets take off, by underlying (Euler)."""
        children = tuple(
            Part(
                self.market.underlyings[asset],
                float(-share * taken[asset]),
                "its share of the credit",
                ({"parameter": "pairs"}, {"parameter": "credit_most"}),
            )
            for asset in np.flatnonzero(taken)
        )
        return Part("Credit", amount, "approved correlations", children=children)


STANDARD: Final = CorrelationOffsetsParameters(
    shock=0.15,
    rule=OffsetRule.HEDGES,
    credit_most=0.5,
    tolerance=0.05,
    maintenance_share=0.75,
    pairs=(),
)
# Underlyings of the made worlds, with pairs of either sign, one beyond its cap.
WITH_PAIRS: Final = replace(
    STANDARD,
    pairs=(
        Pair("U0", "U1", 0.7, 0.0, 0.6),
        Pair("U1", "U2", -0.4, -0.5, 0.0),
    ),
)

MODEL: Final = Model(
    name="correlation-offsets",
    version="v1",
    title="Delta margin with correlation offsets",
    parameters=CorrelationOffsetsParameters,
    standard=STANDARD,
    busy=WITH_PAIRS,
    prepare=PreparedOffsets,
    laws=frozenset({Law.SCALE, Law.MONOTONE}),
    breaks={
        Law.SUBADDITIVE: Counterexample(
            "What is hedged counts for less beside something that nothing hedges: the root is of"
            " the whole, so an unhedged book takes credit from a hedged one.",
            {"seed": 5, "scopes": 4, "positions_most": 2},
        ),
    },
    source="Root aggregation by correlations, as in the Basel framework, MAR21.4; allocation by"
    " Euler's theorem, Tasche (1999).",
)
