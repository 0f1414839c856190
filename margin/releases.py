"""Leave to lower a scope: whether it keeps its initial margin at the marks of the day before."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from django.utils import timezone

from accounts.agreements import terms_in_force as terms_of_accounts
from accounts.models import Bucket
from ledger.models import Asset
from margin.engine.exact import ONE
from margin.engine.gate import Standing, scope_equity_and_initial
from margin.engine.house_rules import MODEL as HOUSE_RULES
from margin.engine.inputs import AssetTerms
from margin.engine.marks import PRICE_STATES
from margin.marks import BASE, newest_marks
from margin.models import Mark, ModelDecision
from margin.parameters import engine_terms
from margin.terms import terms_in_force


def buckets_under_models(day: date) -> frozenset[int]:
    """Ids of the buckets whose account is under a portfolio model on a day."""
    if not ModelDecision.objects.filter(standing=ModelDecision.Standing.PRODUCTION).exists():
        return frozenset()
    accounts = [
        account for account, terms in terms_of_accounts(day).items() if terms.model != HOUSE_RULES
    ]
    return frozenset(Bucket.objects.filter(account__in=accounts).values_list("pk", flat=True))


@dataclass(frozen=True, slots=True)
class InitialMarginGate:
    """Answers for any scope at fixed marks and terms; it reads nothing and writes nothing.

    Attributes:
        marks: by asset code, the base currency (1) included.
        terms: by asset code.
        price_snapshot: sha256 of the marks, which a release is bound to.
        contingencies: by asset code, the share of value that its doubted price adds.
        unfit: asset codes whose price is in a state that permits no withdrawal.
        elsewhere: ids of buckets under a portfolio model, of which these rules cannot say whether
            money may leave; so none may.
    """

    marks: Mapping[str, Decimal]
    terms: Mapping[str, AssetTerms]
    price_snapshot: str
    elsewhere: frozenset[int] = frozenset()
    contingencies: Mapping[str, Decimal] = field(default_factory=dict)
    unfit: frozenset[str] = frozenset()

    @classmethod
    def at_marks_before(cls, day: date) -> "InitialMarginGate":
        """The gate of a day: the newest marks of the days before it, the terms in force on it."""
        return cls._of(newest_marks(day), day=day)

    @classmethod
    def newest(cls) -> "InitialMarginGate":
        """The gate of now: the newest marks there are, the terms in force today.

        Where the book is ahead of the clock, those of its newest day.
        """
        found = newest_marks(date.max)
        days = [mark.business_day for mark in found.values()]
        return cls._of(found, day=max([timezone.now().date(), *days]))

    @classmethod
    def _of(cls, newest: Mapping[str, Mark], *, day: date) -> "InitialMarginGate":
        marks = {code: mark.price for code, mark in newest.items()} | {BASE: ONE}
        in_force = terms_in_force(day)
        terms = {
            asset.code: found
            for asset in Asset.objects.all()
            if (found := engine_terms(in_force, asset_id=asset.pk, kind=asset.kind)) is not None
        }
        said = "\n".join(f"{code} {marks[code].normalize():f}" for code in sorted(marks))
        return cls(
            marks=marks,
            terms=terms,
            price_snapshot=hashlib.sha256(said.encode()).hexdigest(),
            elsewhere=buckets_under_models(day),
            contingencies={
                code: mark.contingency for code, mark in newest.items() if mark.contingency
            },
            unfit=frozenset(
                code for code, mark in newest.items() if not PRICE_STATES[mark.state].withdraw
            ),
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
            contingencies=self.contingencies,
        )
