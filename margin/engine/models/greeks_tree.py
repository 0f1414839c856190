"""The tree behind a Greeks margin: Greek, underlying, bucket, position."""

from typing import TYPE_CHECKING, Final

import numpy as np

from margin.engine.books import Books
from margin.engine.explain import TIMES, figure_of
from margin.engine.given import Float
from margin.engine.market import Index
from margin.engine.model import Explained, Part

if TYPE_CHECKING:
    from margin.engine.models.greeks import PreparedGreeks

# Of each Greek: its heading, what of a position it adds up, and the parameters of its shock.
HEADINGS: Final = (
    ("Net delta", "delta value", ("price_shock",)),
    ("Short gamma", "gamma", ("price_shock", "long_gamma_share")),
    ("Net vega", "vega", ("volatility_shock", "volatility_power", "bucket_correlation")),
    ("Time decay", "theta", ("holding_days",)),
    ("Net rho", "rho", ("rate_shock", "bucket_correlation")),
)


def explained(prepared: "PreparedGreeks", *, one: Books, shares: Float) -> Explained:
    """The trees of books of one scope.

    Args:
        shares: (P, 5) of initial margin, by position and Greek.
    """
    said = prepared.requirement(one)
    kept = prepared.parameters.maintenance_share * shares
    return Explained(
        _root(prepared, one, shares, "Initial", said.initial, said.initial_parts),
        _root(prepared, one, kept, "Maintenance", said.maintenance, said.maintenance_parts),
    )


def _root(
    prepared: "PreparedGreeks",
    one: Books,
    shares: Float,
    name: str,
    total: Float,
    parts: Float,
) -> Part:
    children = tuple(
        Part(
            heading,
            float(parts[0, greek]),
            f"underlyings by correlation {figure_of(prepared.parameters.underlying_correlation)}",
            children=_underlyings(prepared, one, shares[:, greek], greek),
        )
        for greek, (heading, _, _) in enumerate(HEADINGS)
    )
    how = f"Greeks by correlation {figure_of(prepared.parameters.greek_correlation)}"
    if name == "Maintenance":
        how += f", {figure_of(prepared.parameters.maintenance_share)} of initial margin"
    return Part(f"{name} margin by Greeks", float(total[0]), how, children=children)


def _underlyings(
    prepared: "PreparedGreeks", one: Books, shares: Float, greek: int
) -> tuple[Part, ...]:
    """Underlyings in which something is held that has this Greek."""
    places = prepared.market.instruments.underlyings[one.instruments]
    values = one.quantities * prepared.losses[one.instruments, greek]
    return tuple(
        Part(
            prepared.market.underlyings[asset],
            float(shares[mine].sum()),
            _netting(prepared, one.instruments[mine], values[mine], greek),
            children=_buckets(prepared, one, shares, np.flatnonzero(mine), greek),
        )
        for asset in np.unique(places[values != 0])
        for mine in ((places == asset) & (values != 0),)
    )


def _buckets(
    prepared: "PreparedGreeks", one: Books, shares: Float, mine: Index, greek: int
) -> tuple[Part, ...]:
    """Buckets where the Greek has several, else the positions themselves."""
    buckets = prepared.buckets[one.instruments[mine]]
    if not shares[mine].any():
        return ()
    if len(np.unique(buckets)) == 1 or greek == 0:
        return _positions(prepared, one, shares, mine, greek)
    return tuple(
        Part(
            bucket_name(prepared.parameters.buckets_days, bucket=int(bucket)),
            float(shares[here].sum()),
            "sum of its positions",
            children=_positions(prepared, one, shares, here, greek),
        )
        for bucket in np.unique(buckets)
        for here in (mine[buckets == bucket],)
    )


def _positions(
    prepared: "PreparedGreeks", one: Books, shares: Float, rows: Index, greek: int
) -> tuple[Part, ...]:
    _, noun, parameters = HEADINGS[greek]
    parts = []
    for row in rows:
        place = int(one.instruments[row])
        quantity, amount = float(one.quantities[row]), float(shares[row])
        loss = float(prepared.losses[place, greek])
        name = prepared.market.instruments.names[place]
        sensitivity = float(prepared.greeks[greek][place])
        how = (
            f"{figure_of(quantity)} {TIMES} {noun} {figure_of(sensitivity)}: in the shock"
            f" {figure_of(loss)} each, of which {figure_of(amount / (quantity * loss))} counts"
        )
        references = ({"price": name}, *({"parameter": each} for each in parameters))
        parts.append(Part(name, amount, how, references))
    return tuple(parts)


def _netting(prepared: "PreparedGreeks", places: Index, values: Float, greek: int) -> str:
    """The charge of one underlying with its figures, before it is combined with others."""
    nets = np.zeros((1, len(prepared.parameters.buckets_days) + 1))
    np.add.at(nets[0], prepared.buckets[places], values)
    charge = figure_of(float(prepared.rules[greek].charge(nets)[0]))
    ends = prepared.parameters.buckets_days
    listed = ", ".join(
        f"{bucket_name(ends, bucket=int(bucket))} {figure_of(float(nets[0, bucket]))}"
        for bucket in np.flatnonzero(nets[0])
    )
    return f"{charge} of net losses in the shock: {listed or 'none'}"


def bucket_name(ends: tuple[float, ...], *, bucket: int) -> str:
    """What a bucket of time to expiry is called."""
    if not ends:
        return "all terms"
    if bucket == len(ends):
        return f"beyond {figure_of(ends[-1])} days"
    return f"up to {figure_of(ends[bucket])} days"
