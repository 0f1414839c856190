"""Rates that policies propose out of a run's closes; two people make terms of them."""

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone

from accounts.approvals import AskRefusedError
from accounts.audit import Actor, acting
from accounts.clock import desk_zone
from accounts.figures import plain
from accounts.models import LegalEntity
from ledger.models import Asset
from margin.book import ReadInputs, read_inputs_of
from margin.engine.collateral import CloseRow
from margin.engine.dynamic import (
    Bracket,
    DynamicPolicy,
    Estimate,
    Step,
    estimate,
    greatest_rise,
    peak_to_trough,
    scaled,
    stepped,
)
from margin.engine.exact import ZERO
from margin.engine.parameters import read_parameters
from margin.engine.policies import DYNAMIC
from margin.engine.rejected import RejectedInputError
from margin.models import InstrumentTerms, MarginProposal, MarginRun, ParameterSet
from margin.parameters import rate_lines, request_terms, written_line
from margin.policies import policies_decided
from margin.preview import Preview, Replaced, previews, with_rates
from margin.terms import closes_before

SATURDAY: Final = 5
# So many scopes that would be called are kept by name with a proposal; all are counted.
CALLED_KEPT: Final = 500
# Procyclicality is measured over so many days, and the most a rate rose over these.
PERIOD_DAYS: Final = 365
RISES_OVER: Final = (1, 5, 30)


def business_days_after(day: date, count: int) -> date:
    """The day so many weekdays later; of no day's notice the day itself."""
    while count:
        day += timedelta(days=1)
        if day.weekday() < SATURDAY:
            count -= 1
    return day


def propose(run: MarginRun, *, actor: Actor) -> dict[str, Any]:
    """Propose rates for every instrument with a policy, out of the closes that a run knew.

    Rates that stay are no proposal. Proposing again of the same run writes nothing more.

    Returns:
        "proposed": ids, "unchanged": codes, "refused": codes with why.
    """
    wanted, unreadable = policies_decided(DYNAMIC, day=run.business_day)
    read = read_inputs_of(run) if wanted else None
    drafts: list[MarginProposal] = []
    unchanged: list[str] = []
    refused = {each.asset.code: each.why for each in unreadable}
    for asset, parameter_set, policy in wanted:
        assert read is not None
        try:
            draft = _draft(run, read, asset, parameter_set, policy)
        except RejectedInputError as why:
            refused[asset.code] = str(why)
            continue
        if draft.after == draft.before:
            unchanged.append(asset.code)
        else:
            drafts.append(draft)
    kept = _kept(run, drafts, actor=actor)
    return {
        "run": run.number,
        "proposed": [proposal_json(each) for each in kept],
        "unchanged": unchanged,
        "refused": refused,
    }


def request_proposal(
    proposal: MarginProposal,
    *,
    legal_entity: LegalEntity,
    reason: str,
    actor: Actor,
    request_id: str = "",
) -> UUID:
    """Ask a second person to make ordinary terms of a proposal.

    Raises:
        AskRefusedError: its notice would be cut short, or other rates are in force by then.
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    policy = policy_of(proposal)
    today = timezone.now().astimezone(desk_zone()).date()
    if proposal.effective_from < business_days_after(today, policy.notice_days):
        raise AskRefusedError("reason", "Its notice would be cut short; propose again.")
    day_before = proposal.effective_from - timedelta(days=1)
    if rate_lines(proposal.asset, day=day_before) != proposal.before:
        raise AskRefusedError("reason", "Other rates are in force by then; propose again.")
    return request_terms(
        asset=proposal.asset,
        brackets=lines(proposal.after),
        effective_from=proposal.effective_from,
        legal_entity=legal_entity,
        reason=reason,
        actor=actor,
        request_id=request_id,
        proposal=proposal,
    )


def policy_of(proposal: MarginProposal) -> DynamicPolicy:
    """The policy that proposed."""
    return read_parameters(DynamicPolicy, proposal.parameter_set.values)


def lines(rows: Sequence[dict[str, str]]) -> list[Bracket]:
    """Rates as they are listed, as numbers."""
    return [
        (Decimal(row["floor"]), Decimal(row["initial_rate"]), Decimal(row["maintenance_rate"]))
        for row in rows
    ]


def proposal_json(proposal: MarginProposal) -> dict[str, Any]:
    """A proposal for programs; amounts are exact text."""
    return {
        "asset": proposal.asset.code,
        "effective_from": proposal.effective_from.isoformat(),
        "inputs": proposal.inputs,
        "before": proposal.before,
        "after": proposal.after,
        "affected": proposal.affected,
    }


def procyclicality(asset: Asset, *, until: date) -> dict[str, Decimal]:
    """How much the initial rate in force moved over a year: from peak to trough, and its rises.

    Returns:
        "peak_to_trough", "rise_1", "rise_5" and "rise_30"; nothing where there were no rates.
    """
    rates = daily_rates(asset, first=until - timedelta(days=PERIOD_DAYS - 1), until=until)
    if not rates:
        return {}
    rises = {f"rise_{days}": greatest_rise(rates, days=days) for days in RISES_OVER}
    return {"peak_to_trough": peak_to_trough(rates), **rises}


def daily_rates(asset: Asset, *, first: date, until: date) -> list[Decimal]:
    """The first initial rate in force on each day of a period, as it is known now; one query."""
    versions = list(
        InstrumentTerms.objects.filter(asset=asset, effective_from__lte=until)
        .prefetch_related("brackets")
        .order_by("effective_from", "version")
    )
    rates: list[Decimal] = []
    for n in range((until - first).days + 1):
        in_force = [each for each in versions if each.effective_from <= first + timedelta(days=n)]
        if in_force:
            rates.append(_first_rate(in_force[-1]))
    return rates


def _first_rate(terms: InstrumentTerms) -> Decimal:
    rate: Decimal | None = terms.initial_rate
    if rate is None:
        rate = min(terms.brackets.all(), key=lambda each: each.floor).initial_rate
    assert rate is not None, "terms have rates or brackets"
    return rate


def _draft(
    run: MarginRun,
    read: ReadInputs,
    asset: Asset,
    parameter_set: ParameterSet,
    policy: DynamicPolicy,
) -> MarginProposal:
    """What a policy makes of the closes that a run knew; not stored, and of nobody affected yet."""
    effective_from = business_days_after(run.business_day, policy.notice_days)
    before = rate_lines(asset, day=max(run.business_day, effective_from - timedelta(days=1)))
    if not before or Decimal(before[0]["initial_rate"]) <= 0:
        raise RejectedInputError("it has no rates to begin from")
    closes = closes_before(
        run.business_day + timedelta(days=1),
        wanted={asset.pk: policy.closes_wanted},
        horizon_id=run.horizon_id,
    ).get(asset.pk, [])
    said = estimate([close.price for close in closes], policy=policy)
    largest = max(
        (abs(held.amount) for held in read.positions if held.asset_id == asset.pk), default=ZERO
    )
    rate = Decimal(before[0]["initial_rate"])
    step = stepped(said, policy=policy, rate=rate, largest=largest)
    return MarginProposal(
        asset=asset,
        parameter_set=parameter_set,
        run=run,
        business_day=run.business_day,
        effective_from=effective_from,
        inputs=_inputs(closes, said, step, rate=rate, largest=largest, policy=policy),
        before=before,
        after=[written_line(line) for line in scaled(lines(before), rate=step.rate)],
    )


def _inputs(
    closes: Sequence[CloseRow],
    said: Estimate,
    step: Step,
    *,
    rate: Decimal,
    largest: Decimal,
    policy: DynamicPolicy,
) -> dict[str, Any]:
    """Everything a step came from, as exact text; the closes by their hash, ends and number."""
    listed = "\n".join(f"{close.day} {plain(close.price)}" for close in closes)
    return {
        "estimator": str(policy.estimator),
        "closes": len(closes),
        "first_close": closes[0].day.isoformat(),
        "last_close": closes[-1].day.isoformat(),
        "closes_sha256": sha256(listed.encode()).hexdigest(),
        "sigma": plain(said.sigma),
        "sigma_before": plain(said.before),
        "is_rising": said.is_rising,
        "sigma_stressed": None if said.stressed is None else plain(said.stressed),
        "sigma_long": None if said.long is None else plain(said.long),
        "long_days_known": said.long_known,
        "sigma_used": plain(step.used),
        "largest_position": plain(largest),
        "closing_days": step.days,
        "rate_before": plain(rate),
        "target": plain(step.target),
        "wished": plain(step.wished),
        "rate": plain(step.rate),
    }


def _kept(
    run: MarginRun, drafts: Sequence[MarginProposal], *, actor: Actor
) -> "list[MarginProposal]":
    """The drafts, stored with whom they would call; those of before where they are stored."""
    stored = {(each.asset_id, each.parameter_set_id): each for each in proposals().filter(run=run)}
    new = [each for each in drafts if (each.asset_id, each.parameter_set_id) not in stored]
    found = previews(
        run,
        replaced=[_replaced(each) for each in new],
    )
    for each, seen in zip(new, found, strict=True):
        each.affected = affected_json(seen)
    if new:
        with acting(actor, reason=f"Proposed margin rates of run {run.number}"):
            for each in new:
                each.save(force_insert=True)
    return [stored.get((each.asset_id, each.parameter_set_id), each) for each in drafts]


def _replaced(proposal: MarginProposal) -> Replaced:
    """The terms with the proposed rates."""
    brackets = lines(proposal.after)
    return lambda terms: with_rates(
        terms, asset=proposal.asset, brackets=brackets, day=proposal.effective_from
    )


def affected_json(seen: Preview) -> dict[str, Any]:
    """How many scopes have other figures, how many would be called, and the first by name."""
    return {
        "scopes": len(seen.affected),
        "called": len(seen.called),
        "first": [each.as_json() for each in seen.called[:CALLED_KEPT]],
    }


def proposals() -> "QuerySet[MarginProposal]":
    """All of them, the newest first."""
    return MarginProposal.objects.select_related("asset", "parameter_set", "run").order_by("-pk")
