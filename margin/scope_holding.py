"""What a scope holds by asset: one bucket, or all that the accounts of a group hold together."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from ledger.positions import Position
from margin.asking import Quantities
from margin.engine.exact import ZERO, exact


@dataclass(frozen=True, slots=True)
class Holding:
    """What a scope holds: money claims, positions, and what it owes.

    Attributes:
        members: of a group what each of its accounts holds; positions have no cost of their own
            then, since longs of one may stand against shorts of another.
    """

    claims: Mapping[str, Decimal]
    positions: Mapping[str, Position]
    loan: Decimal
    members: Mapping[str, "Holding"] = field(default_factory=dict)

    @classmethod
    def together(cls, members: Mapping[str, "Holding"]) -> "Holding":
        """What a group holds."""
        claims: dict[str, Decimal] = {}
        quantities: dict[str, Decimal] = {}
        with exact():
            for held in members.values():
                for code, amount in held.claims.items():
                    claims[code] = claims.get(code, ZERO) + amount
                for code, position in held.positions.items():
                    quantities[code] = quantities.get(code, ZERO) + position.quantity
            loan = sum((held.loan for held in members.values()), ZERO)
        positions = {code: Position(quantity, ZERO) for code, quantity in quantities.items()}
        return cls(claims, positions, loan, members)

    @property
    def by_holder(self) -> list[tuple[str, "Holding"]]:
        """Every account of a group with what it holds; else the scope itself, of no name."""
        return list(self.members.items()) or [("", self)]

    @property
    def rows(self) -> list[tuple[str, str, Position]]:
        """Positions other than zero, by holder and code."""
        return [
            (name, code, position)
            for name, held in self.by_holder
            for code, position in held.positions.items()
            if position.quantity
        ]

    @property
    def assets(self) -> set[str]:
        """What is held at all."""
        return {
            code
            for _, held in self.by_holder
            for code in (
                *(code for code, amount in held.claims.items() if amount),
                *(code for code, position in held.positions.items() if position.quantity),
            )
        }

    @property
    def nonzero(self) -> list[tuple[str, Decimal]]:
        """Positions other than zero, with their signed quantity."""
        held = self.positions.items()
        return [(code, position.quantity) for code, position in held if position.quantity]

    @property
    def quantities(self) -> Quantities:
        """The same without what positions cost, as portfolio models are asked."""
        held = {code: position.quantity for code, position in self.positions.items()}
        return Quantities(self.claims, held, self.loan)
