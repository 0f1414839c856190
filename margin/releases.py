"""Leave to lower a scope: whether it keeps its initial margin at the marks of the day before."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from ledger.models import Asset
from margin.engine.exact import ONE
from margin.engine.gate import Standing, scope_equity_and_initial
from margin.engine.inputs import AssetTerms
from margin.marks import BASE, newest_marks
from margin.parameters import engine_terms
from margin.terms import terms_in_force


@dataclass(frozen=True, slots=True)
class InitialMarginGate:
    """Answers for any scope at fixed marks and terms; it reads nothing and writes nothing.

    Attributes:
        marks: by asset code, the base currency (1) included.
        terms: by asset code.
        price_snapshot: sha256 of the marks, which a release is bound to.
    """

    marks: Mapping[str, Decimal]
    terms: Mapping[str, AssetTerms]
    price_snapshot: str

    @classmethod
    def at_marks_before(cls, day: date) -> "InitialMarginGate":
        """The gate of a day: the newest marks of the days before it, the terms in force on it."""
        marks = {code: mark.price for code, mark in newest_marks(day).items()} | {BASE: ONE}
        in_force = terms_in_force(day)
        terms = {
            asset.code: found
            for asset in Asset.objects.all()
            if (found := engine_terms(in_force, asset_id=asset.pk, kind=asset.kind)) is not None
        }
        said = "\n".join(f"{code} {marks[code].normalize():f}" for code in sorted(marks))
        return cls(
            marks=marks, terms=terms, price_snapshot=hashlib.sha256(said.encode()).hexdigest()
        )

    def after(
        self,
        *,
        claims: Mapping[str, Decimal],
        positions: Mapping[str, tuple[Decimal, Decimal]],
        loan: Decimal,
        is_cash_account: bool,
    ) -> Standing:
        """How a scope would stand with these balances; see `scope_equity_and_initial`."""
        return scope_equity_and_initial(
            claims=claims,
            positions=positions,
            loan=loan,
            is_cash_account=is_cash_account,
            marks=self.marks,
            terms=self.terms,
        )
