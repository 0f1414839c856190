"""Portfolio models asked about scopes of now, or ones that are thought of, as a run asks them.

The market is read and prepared once for all that is asked of it. Where a model cannot say what it
requires nothing is assumed: whoever asks is told which rule stands in the way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from typing import Final, NamedTuple

from accounts.models import AgreementVersion
from margin.book import BASE, MODEL_NOT_IN_USE, UNPRICED, Holding, ReadInputs
from margin.book.arrays import NOTHING_MOVED, MarketRows, market_rows
from margin.book.now import MarketNow
from margin.book.options import OptionPrice
from margin.engine.exact import ZERO, exact
from margin.engine.rejected import RejectedInputError
from margin.model_registry import UsedModel, parameters_in_force
from margin.models import ModelDecision
from margin.portfolio import REJECTED, Charge, answers_of, wrong_market
from margin.prepared_models import PreparedModels

NO_ACCOUNT: Final = 0


class ModelRefusedError(Exception):
    """A portfolio model does not say what it requires, so nothing may rest on it.

    Attributes:
        rule: `model_not_in_use`, `model_refused` or `unpriced_position`, as a run names it.
        detail: a sentence for people.
    """

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(detail)
        self.rule, self.detail = rule, detail


class Quantities(NamedTuple):
    """What a scope holds: money by asset, signed positions by instrument, what it owes."""

    claims: Mapping[str, Decimal]
    positions: Mapping[str, Decimal]
    loan: Decimal = ZERO


def model_of(agreement: AgreementVersion, *, day: date, now: MarketNow | None = None) -> UsedModel:
    """The model that an agreement names, as it is used on a day.

    Args:
        now: what is said now, where it was looked for before.

    Raises:
        ModelRefusedError: `model_not_in_use`, or `model_refused`: its parameters are none.
    """
    used = named_model(agreement.model, agreement.parameters, day=day, now=now)
    if used is None or used.standing != ModelDecision.Standing.PRODUCTION:
        name = f"{agreement.model} {agreement.parameters}"
        raise ModelRefusedError(MODEL_NOT_IN_USE, f"{name} is not in production on {day}.")
    return used


def named_model(
    model: str, code: str, *, day: date, now: MarketNow | None = None
) -> UsedModel | None:
    """A model with the parameters in force on a day; None where there are none.

    Args:
        now: what is said now, where it was looked for before.

    Raises:
        ModelRefusedError: `model_refused`: the parameters cannot be read.
    """
    try:
        if now is None:
            return parameters_in_force(model, code, day=day)
        return now.parameters(model, code, day=day)
    except RejectedInputError as refusal:
        detail = f"The parameters {code} of {model} cannot be read: {refusal}."
        raise ModelRefusedError(REJECTED, detail) from refusal


@dataclass(frozen=True, slots=True)
class AskedMarket:
    """A market of one moment, ready to be asked about any scope.

    Attributes:
        read: what a run at these marks reads, without scopes.
        rows: its market but for prices.
        ready: the market at its prices.
        ids: of assets, by code.
        prices, volatilities: by code, those that are thought of instead of the marks.
    """

    read: ReadInputs
    rows: MarketRows
    ready: PreparedModels
    ids: Mapping[str, int]
    prices: Mapping[str, float] = field(default_factory=dict)
    volatilities: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, read: ReadInputs) -> "AskedMarket":
        """The market of what was read.

        Raises:
            ModelRefusedError: `model_refused`: it cannot be what it says.
        """
        try:
            rows = market_rows(read)
            ready = PreparedModels.of_rows(rows)
        except RejectedInputError as refusal:
            raise ModelRefusedError(REJECTED, wrong_market(refusal)) from refusal
        return cls(read, rows, ready, {asset.code: pk for pk, asset in read.assets.items()})

    def moved(
        self,
        *,
        prices: Mapping[str, float] = NOTHING_MOVED,
        volatilities: Mapping[str, float] = NOTHING_MOVED,
    ) -> "AskedMarket":
        """The same market at other prices and volatilities; the past stays as it was.

        Raises:
            ModelRefusedError: `model_refused`: it cannot be what it says.
        """
        prices = {**self.prices, **prices}
        volatilities = {**self.volatilities, **volatilities}
        try:
            market = self.rows.market(prices=prices, volatilities=volatilities)
        except RejectedInputError as refusal:
            raise ModelRefusedError(REJECTED, wrong_market(refusal)) from refusal
        ready = PreparedModels(market, self.rows.past)
        return replace(self, ready=ready, prices=prices, volatilities=volatilities)

    def charge(self, used: UsedModel, held: Quantities) -> Charge:
        """What a model requires of a scope.

        Raises:
            ModelRefusedError: `model_refused`, `unpriced_position`.
        """
        return self.charges(used, [held])[0]

    def charges(self, used: UsedModel, scopes: Sequence[Quantities]) -> list[Charge]:
        """What a model requires of each of some scopes, asked together.

        Raises:
            ModelRefusedError: of one of them it does not say.
        """
        self._require_priced(scopes)
        read = replace(
            self.read,
            claims=self._rows([each.claims for each in scopes]),
            positions=self._rows([each.positions for each in scopes]),
            loans=self._rows([{BASE: each.loan} for each in scopes]),
        )
        answers, wrong = answers_of(read, used, self.ready, range(len(scopes)))
        for detail in wrong.values():
            raise ModelRefusedError(REJECTED, detail)
        return sorted(answers, key=lambda charge: charge.scope)

    def option(self, code: str) -> OptionPrice:
        """What an option that is held is worth."""
        return self.read.options[self.ids[code]]

    def option_value(self, code: str, quantity: Decimal) -> Decimal:
        """What so many contracts of an option are worth to their side, signed."""
        with exact():
            return self.option(code).value(quantity)

    def _rows(self, held: Sequence[Mapping[str, Decimal]]) -> list[Holding]:
        return [
            Holding(scope, self.ids[code], amount, None, NO_ACCOUNT, 0)
            for scope, amounts in enumerate(held)
            for code, amount in amounts.items()
            if amount
        ]

    def _require_priced(self, scopes: Sequence[Quantities]) -> None:
        """Refuse what a run would not compute: something held has no mark or no terms."""
        terms = self.read.terms
        for each in scopes:
            for amounts, known in (
                (each.claims, terms.haircuts),
                (each.positions, terms.instruments),
            ):
                for code in (code for code, amount in amounts.items() if amount and code != BASE):
                    pk = self.ids.get(code)
                    if pk in self.read.options:
                        continue
                    if pk not in self.read.marks or pk not in known:
                        raise ModelRefusedError(UNPRICED, f"{code} has no mark or no terms.")
