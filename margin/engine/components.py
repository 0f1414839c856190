"""The parts of a result: every amount with what it was made from, adding up exactly."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from margin.engine.collateral import Detail, Slice
from margin.engine.exact import ZERO, Exact, Index, exact, plain, sums


class ComponentKind(IntEnum):
    """What an amount is; the order in which parts are listed."""

    MONEY_CLAIM = 0
    SECURITY = 1
    PERPETUAL_UNREALISED = 2
    LOAN = 3
    IM_SECURITY = 4
    IM_PERPETUAL = 5
    MM_SECURITY = 6
    MM_PERPETUAL = 7
    IM_MODEL = 8
    MM_MODEL = 9
    HAIRCUT_VOLATILITY = 10
    HAIRCUT_CONCENTRATION = 11
    HAIRCUT_PEG = 12
    IM_DOUBT = 13
    IM_DOUBT_MONEY = 14
    MM_DOUBT = 15
    MM_DOUBT_MONEY = 16
    CROWDING = 17
    OPTION = 18


TOTALS: Final = ("equity", "initial_margin", "maintenance_margin")
TOTAL_OF: Final[Mapping[ComponentKind, str]] = {
    ComponentKind.MONEY_CLAIM: "equity",
    ComponentKind.SECURITY: "equity",
    ComponentKind.PERPETUAL_UNREALISED: "equity",
    ComponentKind.LOAN: "equity",
    ComponentKind.IM_SECURITY: "initial_margin",
    ComponentKind.IM_PERPETUAL: "initial_margin",
    ComponentKind.MM_SECURITY: "maintenance_margin",
    ComponentKind.MM_PERPETUAL: "maintenance_margin",
    ComponentKind.IM_MODEL: "initial_margin",
    ComponentKind.MM_MODEL: "maintenance_margin",
    ComponentKind.HAIRCUT_VOLATILITY: "equity",
    ComponentKind.HAIRCUT_CONCENTRATION: "equity",
    ComponentKind.HAIRCUT_PEG: "equity",
    ComponentKind.IM_DOUBT: "initial_margin",
    ComponentKind.IM_DOUBT_MONEY: "initial_margin",
    ComponentKind.MM_DOUBT: "maintenance_margin",
    ComponentKind.MM_DOUBT_MONEY: "maintenance_margin",
    ComponentKind.CROWDING: "initial_margin",
    ComponentKind.OPTION: "equity",
}
# What doubted prices add.
OF_DOUBT: Final = frozenset(
    {
        ComponentKind.IM_DOUBT,
        ComponentKind.IM_DOUBT_MONEY,
        ComponentKind.MM_DOUBT,
        ComponentKind.MM_DOUBT_MONEY,
    }
)
# Parts of a portfolio model: they have a name instead of an asset, and nothing they multiply.
OF_MODELS: Final = frozenset({ComponentKind.IM_MODEL, ComponentKind.MM_MODEL})
# What is taken from money beside its schedule, in the order of the steps.
HAIRCUTS: Final = (
    ComponentKind.HAIRCUT_VOLATILITY,
    ComponentKind.HAIRCUT_CONCENTRATION,
    ComponentKind.HAIRCUT_PEG,
)
OF_MONEY: Final = frozenset({ComponentKind.MONEY_CLAIM, *HAIRCUTS})
# What is made from a claim; the other two that doubted prices add are made from positions.
OF_CLAIMS: Final = OF_MONEY | {ComponentKind.IM_DOUBT_MONEY, ComponentKind.MM_DOUBT_MONEY}


class Component(NamedTuple):
    """One part of one scope's result.

    Attributes:
        asset: its code; of a portfolio model's part the part's name.
        amount: signed part of its total.
        quantity: claim, contracts, shares or loan; signed.
        price: the mark used.
        average_cost: of a perpetual's unrealised profit.
        rate: haircut or requirement rate; of an option units in one contract, 0 where its value
            does not count in equity.
        bracket: index from 0, of a perpetual's requirement.
        deduction: of that bracket.
        row: index of the claim or position it came from; of the scope, for a loan; None where
            several are netted.
        detail: slice by slice, of money whose haircut has tiers; what makes a side crowded; how
            an option was priced.
    """

    kind: ComponentKind
    asset: str
    amount: Decimal
    quantity: Decimal = ZERO
    price: Decimal = ZERO
    average_cost: Decimal | None = None
    rate: Decimal | None = None
    bracket: int | None = None
    deduction: Decimal | None = None
    row: int | None = None
    detail: Detail | None = None

    @property
    def label(self) -> str:
        """What people call it: the asset, or the words of a model's part."""
        if self.kind in OF_MODELS:
            return self.asset.replace("_", " ").capitalize()
        return self.asset

    @property
    def total(self) -> str:
        """Name of the total it is part of."""
        return TOTAL_OF[self.kind]

    @property
    def total_words(self) -> str:
        """That name as people say it."""
        return self.total.replace("_", " ")

    def terms(self) -> dict[str, Any]:
        """What the amount was made from, as exact text; what does not apply is left out."""
        if self.kind in OF_MODELS:
            return {"part": self.asset}
        said = {
            "quantity": self.quantity,
            "price": self.price,
            "average_cost": self.average_cost,
            "rate": self.rate,
            "deduction": self.deduction,
        }
        terms = {name: plain(value) for name, value in said.items() if value is not None}
        if self.detail is not None:
            return terms | _written(self.detail)
        return terms if self.bracket is None else terms | {"bracket": str(self.bracket)}


def component_of(*, kind: str, asset: str, amount: Decimal, terms: Mapping[str, Any]) -> Component:
    """The component that was stored as such a kind (name in lower case), amount and terms."""
    if "part" in terms:
        return Component(ComponentKind[kind.upper()], terms["part"], amount)
    detail = _read(terms) if "slices" in terms else None
    others = {"bracket", "slices", "facts"}
    numbers = {name: Decimal(text) for name, text in terms.items() if name not in others}
    return Component(
        kind=ComponentKind[kind.upper()],
        asset=asset,
        amount=amount,
        quantity=numbers["quantity"],
        price=numbers["price"],
        average_cost=numbers.get("average_cost"),
        rate=numbers.get("rate"),
        bracket=int(terms["bracket"]) if "bracket" in terms else None,
        deduction=numbers.get("deduction"),
        detail=detail,
    )


def _written(detail: Detail) -> dict[str, Any]:
    names = ("from", "to", "share")
    return {
        "slices": [dict(zip(names, map(plain, each), strict=True)) for each in detail.slices],
        "facts": dict(detail.facts),
    }


def _read(terms: Mapping[str, Any]) -> Detail:
    slices = [
        Slice(Decimal(each["from"]), Decimal(each["to"]), Decimal(each["share"]))
        for each in terms["slices"]
    ]
    return Detail(tuple(slices), tuple(terms["facts"].items()))


@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """The parts of all scopes, N rows, by scope, kind and asset.

    Attributes:
        names: (I,) names of assets.
        scope, asset: (N,) indices.
        kind: (N,) ComponentKind.
        amount, quantity, price: (N,) as in Component.
        average_cost, rate, deduction: (N,) None where it does not apply.
        bracket: (N,) -1 where it does not apply.
        row: (N,) as in Component.
        detail: (N,) of Detail, None where it does not apply.
    """

    names: tuple[str, ...]
    scope: Index
    asset: Index
    kind: NDArray[np.int8]
    amount: Exact
    quantity: Exact
    price: Exact
    average_cost: Exact
    rate: Exact
    deduction: Exact
    bracket: Index
    row: Index
    detail: Exact | None = None

    def __len__(self) -> int:
        return len(self.scope)

    def of(self, scope: int) -> list[Component]:
        """The parts of one scope, in the order of kinds."""
        start, stop = np.searchsorted(self.scope, [scope, scope + 1])
        return [self.at(place) for place in range(int(start), int(stop))]

    def at(self, place: int) -> Component:
        """One row."""
        bracket, row = int(self.bracket[place]), int(self.row[place])
        return Component(
            kind=ComponentKind(int(self.kind[place])),
            asset=self.names[self.asset[place]],
            amount=self.amount[place],
            quantity=self.quantity[place],
            price=self.price[place],
            average_cost=self.average_cost[place],
            rate=self.rate[place],
            bracket=None if bracket < 0 else bracket,
            deduction=self.deduction[place],
            row=None if row < 0 else row,
            detail=None if self.detail is None else self.detail[place],
        )

    def segments(self, total: str) -> tuple[Index, Exact]:
        """Scopes that have parts of a total, and the exact sum of these parts for each."""
        chosen = np.isin(self.kind, [kind for kind, name in TOTAL_OF.items() if name == total])
        scopes, amounts = self.scope[chosen], self.amount[chosen]
        starts = np.flatnonzero(np.diff(scopes, prepend=-1))
        if not starts.size:
            return scopes, amounts
        with exact():
            return scopes[starts], np.add.reduceat(amounts, starts)


class Part(NamedTuple):
    """Components of one kind, before they are put in order; one array per column."""

    kind: ComponentKind
    scope: Index
    asset: Index
    row: Index
    amount: Exact
    quantity: Exact
    price: Exact
    average_cost: Exact | None = None
    rate: Exact | None = None
    deduction: Exact | None = None
    bracket: Index | None = None
    detail: Exact | None = None


def totals_of(parts: list[Part], *, count: int) -> tuple[Exact, Exact, Exact]:
    """Equity, initial and maintenance margin, (A,) each, summed from unordered parts."""
    totals: dict[str, Exact] = {name: np.full(count, ZERO, dtype=object) for name in TOTALS}
    for part in parts:
        totals[TOTAL_OF[part.kind]] += sums(part.amount, groups=part.scope, count=count)
    return totals["equity"], totals["initial_margin"], totals["maintenance_margin"]


def in_order(parts: list[Part], *, names: tuple[str, ...]) -> Components:
    """All parts by scope, kind and asset."""
    scope = np.concatenate([part.scope for part in parts])
    asset = np.concatenate([part.asset for part in parts])
    kind = np.concatenate([np.full(len(part.scope), part.kind, np.int8) for part in parts])
    order = np.lexsort((asset, kind, scope))

    def joined(name: str) -> Exact:
        columns = [getattr(part, name) for part in parts]
        return np.concatenate(
            [
                np.full(len(part.scope), None, dtype=object) if values is None else values
                for part, values in zip(parts, columns, strict=True)
            ]
        )[order]

    brackets = [
        np.full(len(part.scope), -1) if part.bracket is None else part.bracket for part in parts
    ]
    return Components(
        names=names,
        scope=scope[order],
        asset=asset[order],
        kind=kind[order],
        amount=joined("amount"),
        quantity=joined("quantity"),
        price=joined("price"),
        average_cost=joined("average_cost"),
        rate=joined("rate"),
        deduction=joined("deduction"),
        bracket=np.concatenate(brackets)[order],
        row=np.concatenate([part.row for part in parts])[order],
        detail=joined("detail"),
    )
