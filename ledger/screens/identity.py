"""What each pool holds and owes, as lines of a table: held + shortfall = owed + residual interest.

The day board and the page of pools show the same lines.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from accounts.drawing import Beam, Share, beam
from accounts.figures import WIDE, grouped
from accounts.models import OwnerClass
from ledger.segregation import PoolAsset

ZERO = Decimal(0)
HELD_TONES = ("held", "held2")


@dataclass(frozen=True)
class IdentityLine:
    """One asset of one pool, as people say it.

    Attributes:
        owed: to clients, receipts without an owner included; None in a pool of the firm.
        residual: the firm's own part: residual interest, or own equity.
        shortfall: what client money lacks, due from the firm; None in a pool of the firm.
        loans: lent to clients; None in a pool that does not lend.
    """

    pool: str
    owner_class: str
    asset: str
    scale: int
    custody: dict[str, Decimal]
    held: Decimal
    residual: Decimal
    loans: Decimal | None = None
    shortfall: Decimal | None = None
    owed: Decimal | None = None
    in_transit: Decimal = ZERO

    @property
    def is_client(self) -> bool:
        return self.owner_class == OwnerClass.CLIENT

    @property
    def adds_up(self) -> bool:
        """Whether both sides are equal to the last digit."""
        held = exact_sum([self.held, self.loans, self.shortfall, self.in_transit])
        return held == exact_sum([self.owed, self.residual])

    @property
    def verdict(self) -> str:
        """The state of the pool: held, shortfall, empty or differs."""
        if not self.adds_up:
            return "differs"
        if self.shortfall:
            return "shortfall"
        if self.owner_class == OwnerClass.INSURANCE and self.held == 0:
            return "empty"
        return "held"


def exact_sum(amounts: Iterable[Decimal | None]) -> Decimal:
    """A sum without losing a digit; what does not apply adds nothing."""
    total = ZERO
    for amount in amounts:
        total = WIDE.add(total, amount or ZERO)
    return total


def lends(owner_class: str) -> bool:
    """Whether a pool of this class lends to clients."""
    return owner_class == OwnerClass.HOUSE


def line_of(row: PoolAsset) -> IdentityLine:
    """One asset of one pool as it stands now."""
    shared = {
        "pool": row.pool,
        "owner_class": row.owner_class,
        "asset": row.asset,
        "scale": row.scale,
        "custody": row.custody,
        "held": row.resource,
        "in_transit": row.in_transit,
    }
    if row.is_client:
        return IdentityLine(
            **shared,  # type: ignore[arg-type]
            shortfall=row.shortfall,
            owed=WIDE.add(row.claims, row.unallocated),
            residual=row.residual_interest,
        )
    return IdentityLine(
        **shared,  # type: ignore[arg-type]
        loans=row.loans_receivable if lends(row.owner_class) else None,
        residual=WIDE.add(row.own_equity, row.claims),
    )


@dataclass(frozen=True)
class Equation:
    """The identity of client money in one currency, with its beams.

    Attributes:
        parts: custody by location, each with the tone of its stretch.
    """

    asset: str
    scale: int
    held: Decimal
    shortfall: Decimal
    owed: Decimal
    residual: Decimal
    parts: list[tuple[str, Decimal, str]]
    beam: Beam


def equation(lines: Sequence[IdentityLine], *, asset: str) -> Equation | None:
    """Client money in one currency over all client pools; None where no pool carries it."""
    chosen = [line for line in lines if line.is_client and line.asset == asset]
    if not chosen:
        return None
    held = exact_sum(line.held for line in chosen)
    shortfall = exact_sum(line.shortfall for line in chosen)
    owed = exact_sum(line.owed for line in chosen)
    residual = exact_sum(line.residual for line in chosen)
    places = [(code, amount) for line in chosen for code, amount in line.custody.items()]
    parts = [
        (code, amount, HELD_TONES[number % len(HELD_TONES)])
        for number, (code, amount) in enumerate(places)
    ]
    scale = chosen[0].scale
    said = ", ".join(f"{code} {grouped(amount, decimals=scale)}" for code, amount, _ in parts)
    words = (
        f"Held {grouped(held, decimals=scale)}: {said}. Shortfall"
        f" {grouped(shortfall, decimals=scale)}. Owed {grouped(owed, decimals=scale)}"
        f" and residual interest {grouped(residual, decimals=scale)}."
    )
    return Equation(
        asset=asset,
        scale=scale,
        held=held,
        shortfall=shortfall,
        owed=owed,
        residual=residual,
        parts=parts,
        beam=beam(
            [*(Share(tone, amount) for _, amount, tone in parts), Share("gap", shortfall)],
            [Share("owed", owed), Share("res", residual)],
            words=words,
        ),
    )
