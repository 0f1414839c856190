"""Leave to lower a scope: whether it keeps its initial margin at the marks of the day before."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import cached_property

from django.utils import timezone

from accounts.agreed_terms import terms_in_force as terms_of_accounts
from accounts.models import AgreementVersion
from ledger.models import Asset
from margin.asking import AskedMarket, ModelRefusedError, Quantities, model_of
from margin.book import UNPRICED, read_ground
from margin.book.options import NO_OPTION_RULES, takes_options
from margin.crowding import crowded_sides
from margin.engine.exact import ONE, ZERO, exact
from margin.engine.gate import Standing, scope_equity_and_initial, surcharge_of
from margin.engine.house_rules import MODEL as HOUSE_RULES
from margin.engine.inputs import AssetTerms
from margin.engine.marks import PRICE_STATES
from margin.engine.option_equity import counted
from margin.market.marks import BASE, known_marks, newest_marks
from margin.model_registry import UsedModel
from margin.models import Mark, ModelDecision
from margin.parameters import engine_terms
from margin.pools import Pools
from margin.terms import terms_in_force


class Portfolios:
    """Portfolio models at fixed marks, read and prepared when a scope under one is first asked."""

    def __init__(self, marks: Mapping[str, Mark], *, day: date) -> None:
        self._marks, self._day = marks, day
        self._agreements: dict[int, AgreementVersion | None] = {}
        self._models: dict[int, UsedModel] = {}

    def agreement_of(self, account_id: int) -> AgreementVersion | None:
        """The agreement of an account that names a portfolio model; None under house rules."""
        if not self._any_decided:
            return None
        if account_id not in self._agreements:
            self.look_up([account_id])
        return self._agreements[account_id]

    def look_up(self, account_ids: Sequence[int]) -> None:
        """Read the agreements of many accounts at once."""
        if self._any_decided:
            found = terms_of_accounts(self._day, account_ids=account_ids)
            self._agreements |= {
                pk: terms if (terms := found.get(pk)) and terms.model != HOUSE_RULES else None
                for pk in account_ids
            }

    def require(
        self, agreement: AgreementVersion, scopes: Sequence[Quantities]
    ) -> list[tuple[Decimal, Decimal]]:
        """Initial and maintenance margin of each scope by the model that the agreement names.

        Raises:
            ModelRefusedError: it does not say.
        """
        used = self._models.get(agreement.pk)
        if used is None:
            used = self._models[agreement.pk] = model_of(agreement, day=self._day)
        return [
            (charge.initial_margin, charge.maintenance_margin)
            for charge in self._market.charges(used, scopes)
        ]

    def option_equity(
        self, agreement: AgreementVersion, held: Mapping[str, tuple[Decimal, Decimal]]
    ) -> Decimal:
        """What options add to equity beside the model; call after it was asked about them.

        Raises:
            ModelRefusedError: one is not priced by itself, and nothing leaves on such a price.
        """
        counts = takes_options(self._models[agreement.pk])
        market = self._market
        for code in sorted(held):
            if not market.option(code).is_own:
                raise ModelRefusedError(UNPRICED, f"{code} has no price of its own.")
        values = {code: market.option_value(code, quantity) for code, (quantity, _) in held.items()}
        said = [values[code] for code in sorted(values)]
        with exact():
            chosen = zip(said, counted(said, counts=counts), strict=True)
            return sum((value for value, does in chosen if does), ZERO)

    @cached_property
    def _any_decided(self) -> bool:
        return ModelDecision.objects.filter(standing=ModelDecision.Standing.PRODUCTION).exists()

    @cached_property
    def _market(self) -> AskedMarket:
        if not self._marks:
            raise ModelRefusedError(UNPRICED, "There are no marks yet.")
        return AskedMarket.of(
            read_ground(
                marks={mark.asset_id: mark for mark in self._marks.values()},
                as_of=max(mark.as_of for mark in self._marks.values()),
                day=self._day,
            )
        )


@dataclass(frozen=True, slots=True)
class InitialMarginGate:
    """Answers for any scope at fixed marks and terms; it writes nothing.

    Attributes:
        marks: by asset code, the base currency (1) included.
        terms: by asset code.
        price_snapshot: sha256 of the marks, which a release is bound to.
        portfolios: asked about scopes whose agreement names a portfolio model.
        contingencies: by asset code, the share of value that its doubted price adds.
        unfit: asset codes whose price is in a state that permits no withdrawal.
        crowding: what crowded sides of the newest run add to initial margin, by code and sign.
        options: codes of those that are listed.
        pools: which buckets are margined together.
    """

    marks: Mapping[str, Decimal]
    terms: Mapping[str, AssetTerms]
    price_snapshot: str
    portfolios: Portfolios = field(compare=False)
    contingencies: Mapping[str, Decimal] = field(default_factory=dict)
    unfit: frozenset[str] = frozenset()
    crowding: Mapping[tuple[str, int], Decimal] = field(default_factory=dict)
    options: frozenset[str] = frozenset()
    pools: Pools = field(default_factory=Pools, compare=False)

    @classmethod
    def at_marks_before(cls, day: date) -> "InitialMarginGate":
        """The gate of a day: the newest marks of the days before it, the terms in force on it."""
        return cls._of(newest_marks(day), day=day)

    @classmethod
    def newest(cls) -> "InitialMarginGate":
        """The gate of now: the newest marks there are, the terms in force today.

        Marks of an instant inside the day count from the moment their file is taken, whether or
        not a run has used them yet. Where the book is ahead of the clock, those of its newest day.
        """
        found = known_marks()
        days = [mark.business_day for mark in found.values()]
        return cls._of(found, day=max([timezone.now().date(), *days]))

    @classmethod
    def _of(cls, newest: Mapping[str, Mark], *, day: date) -> "InitialMarginGate":
        marks = {code: mark.price for code, mark in newest.items()} | {BASE: ONE}
        in_force, assets = terms_in_force(day), list(Asset.objects.all())
        terms = {
            asset.code: found
            for asset in assets
            if (found := engine_terms(in_force, asset_id=asset.pk, kind=asset.kind)) is not None
        }
        said = "\n".join(f"{code} {marks[code].normalize():f}" for code in sorted(marks))
        return cls(
            marks=marks,
            terms=terms,
            price_snapshot=hashlib.sha256(said.encode()).hexdigest(),
            portfolios=Portfolios(newest, day=day),
            contingencies={
                code: mark.contingency for code, mark in newest.items() if mark.contingency
            },
            unfit=frozenset(
                code for code, mark in newest.items() if not PRICE_STATES[mark.state].withdraw
            ),
            crowding=crowded_sides(),
            options=frozenset(asset.code for asset in assets if asset.is_option),
            pools=Pools.on(day),
        )

    def is_under_model(self, account_id: int) -> bool:
        """Whether a portfolio model decides on the scopes of an account."""
        return self.portfolios.agreement_of(account_id) is not None

    def option_equity(
        self, account_id: int, positions: Mapping[str, tuple[Decimal, Decimal]]
    ) -> Decimal:
        """What options among these positions add to equity; call after `after` asked about them.

        Raises:
            ModelRefusedError: one is not priced by itself.
        """
        options = {code: held for code, held in positions.items() if self._is_option(code, held)}
        agreement = self.portfolios.agreement_of(account_id) if options else None
        return ZERO if agreement is None else self.portfolios.option_equity(agreement, options)

    def after(
        self,
        *,
        claims: Mapping[str, Decimal],
        positions: Mapping[str, tuple[Decimal, Decimal]],
        loan: Decimal,
        is_cash_account: bool,
        account_id: int | None = None,
    ) -> Standing:
        """How a scope would stand with these balances; see `scope_equity_and_initial`.

        Args:
            account_id: whose agreement decides; house rules where None.

        Raises:
            ModelRefusedError: a portfolio model decides and does not say what it requires.
        """
        agreement = None if account_id is None else self.portfolios.agreement_of(account_id)
        options = {code: held for code, held in positions.items() if self._is_option(code, held)}
        positions = {code: held for code, held in positions.items() if code not in options}
        if options and agreement is None:
            detail = f"House rules have no requirement for {min(options)}."
            raise ModelRefusedError(NO_OPTION_RULES, detail)
        if agreement is not None:
            held = {code: quantity for code, (quantity, _) in {**positions, **options}.items()}
            [(initial, maintenance)] = self.portfolios.require(
                agreement, [Quantities(claims, held, loan)]
            )
        house = scope_equity_and_initial(
            claims=claims,
            positions=positions,
            loan=loan,
            is_cash_account=is_cash_account,
            marks=self.marks,
            terms=self.terms,
            contingencies=self.contingencies,
            crowding=self.crowding,
        )
        if agreement is None:
            return house
        crowded = surcharge_of(positions, marks=self.marks, crowding=self.crowding)
        worth = self.portfolios.option_equity(agreement, options) if options else ZERO
        with exact():
            return Standing(house.equity + worth, initial + crowded, maintenance)

    def _is_option(self, code: str, held: tuple[Decimal, Decimal]) -> bool:
        return bool(held[0]) and code in self.options
