"""Why a number is what it is: totals opened down to products, and a state down to its tests."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from margin.engine.components import OF_MONEY, TOTALS, Component, ComponentKind
from margin.engine.exact import ONE, ZERO, exact, plain, round_up
from margin.engine.house_rules import BELOW_MTA, CALL_WAITS, INSUFFICIENT_MARK
from margin.engine.states import CENTS, State

MINUS: Final = "\N{MINUS SIGN}"
TIMES: Final = "\N{MULTIPLICATION SIGN}"
AT_LEAST: Final = "\N{GREATER-THAN OR EQUAL TO}"

GROUP_LABELS: Final[Mapping[ComponentKind, str]] = {
    ComponentKind.MONEY_CLAIM: "Money",
    ComponentKind.SECURITY: "Securities",
    ComponentKind.PERPETUAL_UNREALISED: "Unrealised profit of perpetuals",
    ComponentKind.LOAN: "Loan",
    ComponentKind.IM_SECURITY: "Securities",
    ComponentKind.IM_PERPETUAL: "Perpetuals",
    ComponentKind.MM_SECURITY: "Securities",
    ComponentKind.MM_PERPETUAL: "Perpetuals",
    ComponentKind.IM_MODEL: "Portfolio model",
    ComponentKind.MM_MODEL: "Portfolio model",
    ComponentKind.HAIRCUT_VOLATILITY: "Haircut for volatility",
    ComponentKind.HAIRCUT_CONCENTRATION: "Haircut for concentration",
    ComponentKind.HAIRCUT_PEG: "Haircut for a lost peg",
    ComponentKind.IM_DOUBT: "Doubt about prices of positions",
    ComponentKind.IM_DOUBT_MONEY: "Doubt about prices of money",
    ComponentKind.MM_DOUBT: "Doubt about prices of positions",
    ComponentKind.MM_DOUBT_MONEY: "Doubt about prices of money",
    ComponentKind.CROWDING: "Crowding",
    ComponentKind.OPTION: "Options",
}
TOTAL_LABELS: Final = {
    "equity": "Equity",
    "initial_margin": "Initial margin",
    "maintenance_margin": "Maintenance margin",
}

Reference = Mapping[str, Any]
References = Callable[[Component], Sequence[Reference]]
Holder = Callable[[Component], str]


class ExplanationError(ValueError):
    """An explanation that does not hold: `parts_add_up` or `state_follows`."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(f"{rule}: {detail}")
        self.rule = rule


@dataclass(frozen=True, slots=True)
class Node:
    """An amount, how it came about, and what it consists of.

    Attributes:
        how: the product as written, or what the children are to it.
        inputs: where the factors are stored: price row, parameter row, ledger account.
        children: parts that add up to `amount` exactly; none for a product.
        beside: what was compared and did not decide; part of no sum.
    """

    label: str
    amount: Decimal
    how: str
    inputs: tuple[Reference, ...] = ()
    children: tuple["Node", ...] = ()
    beside: tuple["Node", ...] = ()

    def __post_init__(self) -> None:
        with exact():
            if self.children and sum((c.amount for c in self.children), ZERO) != self.amount:
                raise ExplanationError("parts_add_up", self.label)

    def as_json(self) -> dict[str, Any]:
        """The node and all below it; amounts as exact text."""
        said = {
            "label": self.label,
            "amount": plain(self.amount),
            "how": self.how,
            "inputs": [dict(reference) for reference in self.inputs],
            "children": [child.as_json() for child in self.children],
        }
        beside = {"beside": [each.as_json() for each in self.beside]} if self.beside else {}
        return said | beside


@dataclass(frozen=True, slots=True)
class Comparison:
    """One question put to a scope's figures, in the order of the rules.

    Attributes:
        state: what the scope is if the test holds.
        figures: the comparison with its numbers, as it turned out.
    """

    state: str
    holds: bool
    figures: str


@dataclass(frozen=True, slots=True)
class Figures:
    """What a run said of one scope, with the levels that it used.

    Attributes:
        moved: what the levels are above those of the agreement: words and how much, none if 0.
    """

    scope: str
    equity: Decimal
    initial_margin: Decimal
    maintenance_margin: Decimal
    state: str
    call_amount: Decimal
    flags: tuple[str, ...]
    call_level: Decimal
    liquidation_level: Decimal
    minimum_transfer_amount: Decimal
    moved: tuple[tuple[str, Decimal], ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything behind one scope's result.

    Attributes:
        tests: asked in order; the first that holds decides.
        steps: sentences that lead from that state to the final one and to the call.
    """

    figures: Figures
    equity: Node
    initial_margin: Node
    maintenance_margin: Node
    tests: tuple[Comparison, ...]
    steps: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The explanation as JSON values; numbers are exact text."""
        said = self.figures
        return {
            "scope": said.scope,
            "equity": self.equity.as_json(),
            "initial_margin": self.initial_margin.as_json(),
            "maintenance_margin": self.maintenance_margin.as_json(),
            "state": {
                "state": said.state,
                "flags": list(said.flags),
                "call_amount": format(said.call_amount, "f"),
                "tests": [
                    {"state": test.state, "holds": test.holds, "figures": test.figures}
                    for test in self.tests
                ],
                "steps": list(self.steps),
            },
        }


def explain(
    figures: Figures,
    *,
    components: Iterable[Component],
    references: References = lambda component: (),
    holder: Holder = lambda component: "",
) -> Explanation:
    """The explanation of one scope, rebuilt and proven from its components.

    Args:
        references: where the factors of a component are stored.
        holder: whose of a group a component is; "" where it is of all, or there is no group.

    Raises:
        ExplanationError: the components do not add up to the figures (`parts_add_up`), or the
            figures do not lead to the state, flags and call amount (`state_follows`).
    """
    parts = list(components)
    roots = {
        total: _total(total, getattr(figures, total), parts, references, holder) for total in TOTALS
    }
    tests = _tests(figures)
    steps = _steps(figures, decided=tests[-1].state)
    return Explanation(figures=figures, tests=tests, steps=steps, **roots)


def product(component: Component) -> str:
    """How the amount of a component was made, as one would write it on paper."""
    quantity, price = figure(component.quantity), figure(component.price)
    if component.detail is not None and component.kind in OF_MONEY:
        return _sliced(component, quantity, price)
    match component.kind:
        case ComponentKind.MONEY_CLAIM:
            written = [quantity]
            if component.price != ONE:
                written.append(price)
            if component.rate:
                written.append(f"(1 {MINUS} {figure(component.rate)})")
            return f" {TIMES} ".join(written)
        case ComponentKind.SECURITY:
            return f"{quantity} {TIMES} {price}"
        case ComponentKind.PERPETUAL_UNREALISED:
            assert component.average_cost is not None
            return f"{quantity} {TIMES} ({price} {MINUS} {figure(component.average_cost)})"
        case ComponentKind.LOAN:
            return f"{MINUS}{quantity}"
        case ComponentKind.OPTION:
            return _option(component)
        case ComponentKind.IM_MODEL | ComponentKind.MM_MODEL:
            return "as the model says"
    assert component.rate is not None
    size = figure(component.quantity.copy_abs())
    written = [size, price, figure(component.rate)]
    deduction = f" {MINUS} {figure(component.deduction)}" if component.deduction else ""
    return f" {TIMES} ".join(written) + deduction


def _option(component: Component) -> str:
    """Contracts times units times premium, or that the requirement counts it."""
    quantity, price = figure(component.quantity), figure(component.price)
    if not component.rate:
        return f"{quantity} contracts at {price} count in the requirement"
    return f" {TIMES} ".join([quantity, figure(component.rate), price])


def _sliced(component: Component, quantity: str, price: str) -> str:
    """Money with tiers: its value, and what is taken slice by slice."""
    assert component.detail is not None
    taken = [
        f"{MINUS} {figure(s.stop - s.start)} {TIMES} {figure(s.share)}"
        for s in component.detail.slices
        if s.share
    ]
    if component.kind != ComponentKind.MONEY_CLAIM:
        return " ".join(taken)
    value = quantity if component.price == ONE else f"{quantity} {TIMES} {price}"
    return " ".join([value, *taken])


def _slices(component: Component) -> tuple[Node, ...]:
    """The slices of money with tiers, each with what of it counts, or is taken."""
    if component.detail is None:
        return ()
    nodes = []
    with exact():
        for start, stop, share in component.detail.slices:
            size, label = stop - start, f"from {figure(start)} to {figure(stop)}"
            if component.kind == ComponentKind.MONEY_CLAIM:
                how = f"{figure(size)} {TIMES} (1 {MINUS} {figure(share)})"
                nodes.append(Node(label, size * (ONE - share), how))
            else:
                how = f"{MINUS}{figure(size)} {TIMES} {figure(share)}"
                nodes.append(Node(label, -size * share, how))
    return tuple(nodes)


def figure(value: Decimal, *, decimals: int = 0) -> str:
    """A number as people read it: exact, thousands apart, a true minus sign.

    Args:
        decimals: zeros are added up to so many; digits are never taken away.
    """
    sign, digits = (MINUS, plain(value.copy_abs())) if value < 0 else ("", plain(value))
    whole, _, fraction = digits.partition(".")
    fraction = fraction.ljust(decimals, "0")
    return f"{sign}{int(whole):,}{'.' if fraction else ''}{fraction}"


def figure_of(value: float, *, decimals: int = 8) -> str:
    """A computed number as people read it: to so many decimals, zeros at the end left out."""
    return figure(Decimal(f"{value:.{decimals}f}"))


def _total(
    total: str,
    amount: Decimal,
    components: list[Component],
    references: References,
    holder: Holder,
) -> Node:
    """A total by kinds of parts; of a group first by whose they are, then what is of all."""
    owned: dict[str, list[Component]] = {}
    for part in components:
        if part.total == total:
            owned.setdefault(holder(part), []).append(part)
    groups = [
        _subtotal(name, _kinds(owned[name], references)) for name in sorted(owned) if name
    ] + _kinds(owned.get("", []), references)
    if not groups and amount:
        raise ExplanationError("parts_add_up", TOTAL_LABELS[total])
    how = "sum of its parts" if groups else "nothing is held that counts"
    return Node(TOTAL_LABELS[total], amount, how, children=tuple(groups))


def _kinds(parts: list[Component], references: References) -> list[Node]:
    return [
        _group(kind, [part for part in parts if part.kind == kind], references)
        for kind in ComponentKind
        if any(part.kind == kind for part in parts)
    ]


def _subtotal(name: str, children: list[Node]) -> Node:
    with exact():
        amount = sum((child.amount for child in children), ZERO)
    return Node(name, amount, "sum of its parts", children=tuple(children))


def _group(kind: ComponentKind, parts: list[Component], references: References) -> Node:
    leaves = tuple(
        Node(_leaf_label(part), part.amount, product(part), tuple(references(part)), _slices(part))
        for part in parts
    )
    with exact():
        amount = sum((leaf.amount for leaf in leaves), ZERO)
    return Node(GROUP_LABELS[kind], amount, "sum of its parts", children=leaves)


def _leaf_label(component: Component) -> str:
    if component.bracket is None:
        return component.label
    return f"{component.label}, bracket {component.bracket + 1}"


def _tests(figures: Figures) -> tuple[Comparison, ...]:
    """The tests in the order of the rules, up to and with the first that holds."""
    with exact():
        call = figures.call_level * figures.maintenance_margin
        liquidation = figures.liquidation_level * figures.maintenance_margin
    of_maintenance = f"{TIMES} maintenance margin {_money(figures.maintenance_margin)}"
    initial_text = f"initial margin {_money(figures.initial_margin)}"
    call_text = f"call level {_level(figures.call_level, figures.moved)} {of_maintenance}"
    liquidation_level = _level(figures.liquidation_level, figures.moved)
    liquidation_text = f"liquidation level {liquidation_level} {of_maintenance}"
    asked = [
        (State.DEFICIT, "<", ZERO, "0"),
        (State.OK, AT_LEAST, figures.initial_margin, initial_text),
        (State.BELOW_INITIAL, AT_LEAST, call, f"{call_text} = {_money(call)}"),
        (State.CALL, AT_LEAST, liquidation, f"{liquidation_text} = {_money(liquidation)}"),
        (State.LIQUIDATE, "<", liquidation, f"{liquidation_text} = {_money(liquidation)}"),
    ]
    tests: list[Comparison] = []
    for state, sign, threshold, text in asked:
        true_sign = "<" if figures.equity < threshold else AT_LEAST
        holds = true_sign == sign
        tests.append(
            Comparison(state.name, holds, f"equity {_money(figures.equity)} {true_sign} {text}")
        )
        if holds:
            break
    return tuple(tests)


def _level(level: Decimal, moved: Sequence[tuple[str, Decimal]]) -> str:
    """A level as one reads it; where it moved, what it was and what came on top."""
    if not moved:
        return figure(level)
    with exact():
        base = level - sum((amount for _, amount in moved), ZERO)
    added = "".join(f" + {figure(amount)} {words}" for words, amount in moved)
    return f"{figure(level)} ({figure(base)}{added})"


def _steps(figures: Figures, *, decided: str) -> tuple[str, ...]:
    """What happened after the tests; proves that they lead to the stated result."""
    steps, state = [], decided
    if INSUFFICIENT_MARK in figures.flags and State[decided] > State.CALL:
        state = State.CALL.name
        steps.append(f"{decided} becomes {state}: something held is valued at a carried mark.")
    call, is_small = round_up(ZERO, CENTS), False
    if State[state] >= State.CALL:
        with exact():
            missing = figures.initial_margin - figures.equity
        call = round_up(missing, CENTS)
        is_small = call < figures.minimum_transfer_amount
        steps.append(
            f"Missing: initial margin {_money(figures.initial_margin)} {MINUS} equity "
            f"{_money(figures.equity)} = {_money(missing)}, up to the cent {_money(call)}."
        )
    if is_small:
        least = _money(figures.minimum_transfer_amount)
        steps.append(f"Less than the minimum transfer amount {least}: nothing is called.")
        call = round_up(ZERO, CENTS)
    if CALL_WAITS in figures.flags and call:
        steps.append("No call is made on a price in such a state; it waits.")
        call = round_up(ZERO, CENTS)
    stated = (figures.state, figures.call_amount, BELOW_MTA in figures.flags)
    if stated != (state, call, is_small):
        raise ExplanationError("state_follows", f"{figures.scope} is {state}, not {stated}")
    return tuple(steps)


def _money(value: Decimal) -> str:
    return figure(value, decimals=CENTS)
