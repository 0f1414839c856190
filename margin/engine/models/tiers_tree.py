"""The tree behind a tiered margin: rule, then position with its bracket."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from margin.engine.books import Books
from margin.engine.explain import MINUS, TIMES, figure_of
from margin.engine.given import Float
from margin.engine.model import Explained, Part

if TYPE_CHECKING:
    from margin.engine.models.tiers import PreparedTiers, Terms

HEADINGS: Final = (
    "Brackets",
    "Near expiry",
    "Crowded by open interest",
    "Leverage",
    "Options",
)
Said = tuple[str, tuple[str, ...]]  # the sum as written, and the parameters in it


def explained(prepared: "PreparedTiers", *, one: Books) -> Explained:
    """The trees of books of one scope."""
    said = prepared.requirement(one)
    terms = prepared.terms(one.instruments, quantities=one.quantities)
    return Explained(
        _root(prepared, one, terms, is_initial=True, total=said.initial, parts=said.initial_parts),
        _root(
            prepared,
            one,
            terms,
            is_initial=False,
            total=said.maintenance,
            parts=said.maintenance_parts,
        ),
    )


def _root(
    prepared: "PreparedTiers",
    one: Books,
    terms: "Terms",
    *,
    is_initial: bool,
    total: Float,
    parts: Float,
) -> Part:
    amounts = terms.initial if is_initial else terms.maintenance
    writers = (_bracket, _expiry, _interest, _leverage, _option)
    children = tuple(
        Part(
            heading,
            float(parts[0, part]),
            "sum of its positions",
            children=_positions(prepared, one, terms, amounts[:, part], writer, is_initial),
        )
        for part, (heading, writer) in enumerate(zip(HEADINGS, writers, strict=True))
        if parts[0, part]
    )
    name = "Initial" if is_initial else "Maintenance"
    how = "each position by its own schedule" if children else "nothing is held that requires any"
    return Part(f"{name} margin by tiers", float(total[0]), how, children=children)


def _positions(
    prepared: "PreparedTiers",
    one: Books,
    terms: "Terms",
    amounts: Float,
    writer: "Callable[[PreparedTiers, Books, Terms, int, bool], Said]",
    is_initial: bool,
) -> tuple[Part, ...]:
    """Positions that this rule requires something of, or that are all there is to it."""
    leaves = []
    for row, amount in enumerate(amounts):
        if amount:
            how, parameters = writer(prepared, one, terms, row, is_initial)
            name = prepared.market.instruments.names[one.instruments[row]]
            references = ({"price": name}, *({"parameter": each} for each in parameters))
            leaves.append(Part(name, float(amount), how, references))
    return tuple(leaves)


def _bracket(
    prepared: "PreparedTiers", one: Books, terms: "Terms", row: int, is_initial: bool
) -> Said:
    at = (int(terms.schedules[row]), int(terms.brackets[row]))
    table = prepared.table
    rates = table.initial_rates if is_initial else table.maintenance_rates
    deductions = table.initial_deductions if is_initial else table.maintenance_deductions
    name = "initial_rate" if is_initial else "maintenance_rate"
    how = (
        f"notional {figure_of(terms.notionals[row])} {TIMES} {figure_of(rates[at])} {MINUS}"
        f" {figure_of(deductions[at])}, bracket {at[1] + 1}"
    )
    return how, (f"schedules.{at[0]}.brackets.{at[1]}.{name}",)


def _expiry(
    prepared: "PreparedTiers", one: Books, terms: "Terms", row: int, is_initial: bool
) -> Said:
    amounts = terms.initial if is_initial else terms.maintenance
    days = prepared.days[one.instruments[row]]
    how = (
        f"{figure_of(days)} days to expiry: {figure_of(amounts[row, 0])} {TIMES}"
        f" ({figure_of(terms.multipliers[row])} {MINUS} 1)"
    )
    return how, (f"schedules.{int(terms.schedules[row])}.expiry_multiplier",)


def _interest(
    prepared: "PreparedTiers", one: Books, terms: "Terms", row: int, is_initial: bool
) -> Said:
    opened = prepared.market.open_interests[one.instruments[row]]
    before = terms.initial[row, 0] + terms.initial[row, 1]
    how = (
        f"open interest {figure_of(opened)}: {figure_of(terms.rises[row])} {TIMES}"
        f" (notional {figure_of(terms.notionals[row])} {MINUS} {figure_of(before)})"
    )
    place = int(terms.schedules[row])
    return how, (f"schedules.{place}.interest_lower", f"schedules.{place}.interest_upper")


def _leverage(
    prepared: "PreparedTiers", one: Books, terms: "Terms", row: int, is_initial: bool
) -> Said:
    place = int(terms.schedules[row])
    before = terms.initial[row, :3].sum()
    multiplier = terms.multipliers[row]
    times = f" {TIMES} {figure_of(multiplier)}" if multiplier != 1 else ""
    how = (
        f"notional {figure_of(terms.notionals[row])} / {figure_of(prepared.table.leverages[place])}"
        f"{times} {MINUS} {figure_of(before)} by the rules before"
    )
    return how, (f"schedules.{place}.leverage",)


def _option(
    prepared: "PreparedTiers", one: Books, terms: "Terms", row: int, is_initial: bool
) -> Said:
    place, quantity = int(one.instruments[row]), float(one.quantities[row])
    contract, market = prepared.market.instruments, prepared.market
    premium, units = market.prices[place], contract.multipliers[place]
    size = f"{figure_of(abs(quantity))} {TIMES} {figure_of(units)}"
    if quantity > 0:
        return f"{size} {TIMES} premium {figure_of(premium)}", ()
    options = prepared.parameters.options
    rate = options.first_rate if is_initial else options.maintenance_rate
    spot, strike = market.spots[contract.underlyings[place]], contract.strikes[place]
    is_call = contract.rights[place] > 0
    away = max(strike - spot, 0.0) if is_call else max(spot - strike, 0.0)
    floor = f"{figure_of(options.floor_rate)} {TIMES} {figure_of(spot if is_call else strike)}"
    before = f"premium {figure_of(premium)} + " if options.premium_required else ""
    how = (
        f"{size} {TIMES} ({before}the greater of {figure_of(rate)} {TIMES} {figure_of(spot)}"
        f" {MINUS} {figure_of(away)} out of the money and {floor})"
    )
    is_first = is_initial and options.initial_rate >= options.maintenance_rate
    name = "initial_rate" if is_first else "maintenance_rate"
    return how, (f"options.{name}", "options.floor_rate")
