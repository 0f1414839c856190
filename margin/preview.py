"""Who would be called by other parameters: a past run computed again with them, writing nothing.

The run is read from its horizon and evaluated as every run is; only the terms are others.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any, Final, NamedTuple

from accounts.figures import plain
from accounts.models import Approval
from ledger.models import Asset
from margin.book import ReadInputs, read_inputs_of
from margin.book.held import at_levels
from margin.calls.terms import SET_TERMS
from margin.engine.call_terms import read_rules
from margin.engine.collateral_schedule import CollateralSchedule, read_schedule
from margin.models import Bracket, CallTerms, Haircut, InstrumentTerms, MarginRun
from margin.moving_levels import terms_that_move
from margin.parameters import HAIRCUT, TERMS
from margin.runs import Computed, computed
from margin.terms import TermsInForce, collateral_on

Replaced = Callable[[TermsInForce], TermsInForce]
# What a request may be previewed for.
PREVIEWED: Final = (HAIRCUT, TERMS, SET_TERMS)
Rates = tuple[Decimal, Decimal, Decimal]
# Terms that are not stored have no id; no stored ones have this.
UNSTORED = 0


class Figures(NamedTuple):
    """How a scope stands."""

    equity: Decimal
    initial_margin: Decimal
    maintenance_margin: Decimal
    state: str
    call_amount: Decimal


@dataclass(frozen=True, slots=True)
class Affected:
    """A scope whose figures would be others."""

    account_id: int
    account: str
    bucket: str
    before: Figures
    after: Figures

    @property
    def is_called(self) -> bool:
        """Whether it would be called, or for more than it is."""
        return self.after.call_amount > self.before.call_amount

    def as_json(self) -> dict[str, Any]:
        """Names and figures; amounts as exact text."""
        said: dict[str, Any] = {"account": self.account, "bucket": self.bucket}
        for name, figures in (("before", self.before), ("after", self.after)):
            said[name] = {
                key: plain(value) if isinstance(value, Decimal) else value
                for key, value in figures._asdict().items()
            }
        return said


@dataclass(frozen=True, slots=True)
class Preview:
    """What other parameters would have made of a run.

    Attributes:
        affected: those that would be called first, for most first.
    """

    run: MarginRun
    affected: Sequence[Affected]

    @property
    def called(self) -> list[Affected]:
        return [each for each in self.affected if each.is_called]


def preview(run: MarginRun, *, replaced: Replaced) -> Preview:
    """Compute a run as it was and with other terms, and say where the two differ."""
    (found,) = previews(run, replaced=[replaced])
    return found


def previews(run: MarginRun, *, replaced: Sequence[Replaced]) -> list[Preview]:
    """`preview` of several changes, each by itself; the run is read and computed as it was once."""
    if not replaced:
        return []
    read = read_inputs_of(run)
    before = figures_of(computed(read))
    return [
        _compared(run, read, before, other=replace(read, terms=each(read.terms)))
        for each in replaced
    ]


def preview_request(run: MarginRun, approval: Approval) -> Preview:
    """Compute a run as it was and as a request would have it, and say where the two differ."""
    if approval.action_id != SET_TERMS:
        return preview(run, replaced=of_request(approval))
    read = read_inputs_of(run)
    other = with_call_terms(read, approval.payload["row"])
    return _compared(run, read, figures_of(computed(read)), other=other)


def with_call_terms(read: ReadInputs, row: Mapping[str, Any]) -> ReadInputs:
    """The inputs with other terms of calls of an agreement: its levels move as these say."""
    asked = CallTerms(agreement_id=row["agreement_id"], version=UNSTORED, values=row["values"])
    terms = terms_that_move(read.business_day, horizon_id=read.horizon_id)
    terms.pop(asked.agreement_id, None)
    if read_rules(asked.values).moves_levels:
        terms[asked.agreement_id] = asked
    scopes, moved = at_levels(
        read.scopes, day=read.business_day, at=read.as_of, horizon_id=read.horizon_id, terms=terms
    )
    return replace(read, scopes=scopes, moved=moved)


def _compared(
    run: MarginRun, read: ReadInputs, before: Mapping[int, Figures], *, other: ReadInputs
) -> Preview:
    after = figures_of(computed(other))
    affected = [
        Affected(row.account_id, row.account, row.bucket, before[scope], after[scope])
        for scope, row in sorted({row.scope_id: row for row in read.scopes}.items())
        if scope in before and scope in after and before[scope] != after[scope]
    ]
    rising = sorted(affected, key=lambda a: a.before.call_amount - a.after.call_amount)
    return Preview(run, rising)


def figures_of(done: Computed) -> Mapping[int, Figures]:
    """How every scope of a computed run stands, by its id."""
    result = done.result
    return {
        row.scope_id: Figures(
            equity=result.equity[place],
            initial_margin=result.initial_margin[place],
            maintenance_margin=result.maintenance_margin[place],
            state=result.state_of(place),
            call_amount=result.call_amount[place],
        )
        for place, row in enumerate(done.charged.read.scopes)
    }


def with_haircut(
    terms: TermsInForce,
    *,
    asset: Asset,
    haircut: Decimal,
    day: date,
    schedule: CollateralSchedule | None,
) -> TermsInForce:
    """The terms with another haircut of an asset, as it would be on a day."""
    row = Haircut(asset=asset, version=UNSTORED, effective_from=day, haircut=haircut)
    others = {pk: each for pk, each in terms.collateral.items() if pk != asset.pk}
    schedules = {} if schedule is None else {asset.pk: schedule}
    tiered = collateral_on(day, schedules=schedules)
    return replace(
        terms, haircuts={**terms.haircuts, asset.pk: row}, collateral={**others, **tiered}
    )


def with_rates(
    terms: TermsInForce, *, asset: Asset, brackets: Sequence[Rates], day: date
) -> TermsInForce:
    """The terms with other rates of a security or brackets of a perpetual."""
    is_security = asset.kind == "security"
    row = InstrumentTerms(
        id=UNSTORED, asset=asset, version=UNSTORED, effective_from=day,
        initial_rate=brackets[0][1] if is_security else None,
        maintenance_rate=brackets[0][2] if is_security else None,
    )  # fmt: skip
    steps = [
        Bracket(floor=floor, initial_rate=initial, maintenance_rate=maintenance)
        for floor, initial, maintenance in ([] if is_security else brackets)
    ]
    return replace(
        terms,
        instruments={**terms.instruments, asset.pk: row},
        brackets={**terms.brackets, UNSTORED: steps},
    )


def of_request(approval: Approval) -> Replaced:
    """The terms as a request for a haircut or for rates would have them."""
    row = approval.payload["row"]
    asset, day = Asset.objects.get(pk=row["asset_id"]), date.fromisoformat(row["effective_from"])
    if approval.action_id == HAIRCUT:
        asked = approval.payload.get("schedule")
        schedule = None if asked is None else read_schedule(asked)
        haircut = Decimal(row["haircut"])
        return lambda terms: with_haircut(
            terms, asset=asset, haircut=haircut, day=day, schedule=schedule
        )
    assert approval.action_id == TERMS, "only parameters have a preview"
    lines = approval.payload["brackets"] or [{"floor": "0", **row}]
    brackets = [
        (Decimal(x["floor"]), Decimal(x["initial_rate"]), Decimal(x["maintenance_rate"]))
        for x in lines
    ]
    return lambda terms: with_rates(terms, asset=asset, brackets=brackets, day=day)
