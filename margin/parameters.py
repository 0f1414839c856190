"""Parameter rows as the engine's terms, and how two people change them."""

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Max
from django.utils import timezone

from accounts.approvals import (
    AskRefusedError,
    Description,
    FieldChange,
    register_action,
    request_approval,
    spend,
)
from accounts.audit import Actor, RefusedError, acting
from accounts.clock import desk_zone, shown_day
from accounts.figures import plain
from accounts.models import Approval, LegalEntity
from ledger.models import Asset, AssetKind
from margin.engine.collateral_schedule import (
    CollateralSchedule,
    read_schedule,
    written_schedule,
)
from margin.engine.exact import ZERO
from margin.engine.inputs import (
    AssetTerms,
    Bracket,
    MoneyTerms,
    SecurityTerms,
    perpetual_terms,
)
from margin.models import Haircut, InstrumentTerms, MarginProposal
from margin.terms import TermsInForce, schedule_of, terms_in_force

HAIRCUT, TERMS = "parameter.haircut", "parameter.terms"


def engine_terms(in_force: TermsInForce, *, asset_id: int, kind: str) -> AssetTerms | None:
    """What the rules apply to an asset; None where no version is in force."""
    if kind == "money":
        haircut = in_force.haircuts.get(asset_id)
        tiered = in_force.collateral.get(asset_id)
        if tiered is not None:
            return tiered
        return None if haircut is None else MoneyTerms(haircut.haircut)
    terms = in_force.instruments.get(asset_id)
    if terms is None:
        return None
    if kind == "security":
        assert terms.initial_rate is not None, "a security has rates"
        assert terms.maintenance_rate is not None, "a security has rates"
        return SecurityTerms(terms.initial_rate, terms.maintenance_rate)
    return perpetual_terms(
        [
            Bracket(each.floor, each.initial_rate, each.maintenance_rate)
            for each in in_force.brackets[terms.pk]
        ]
    )


# ---------------------------------------------------------------- new parameters, by two people


def request_haircut(
    *,
    asset: Asset,
    haircut: Decimal,
    effective_from: date,
    legal_entity: LegalEntity,
    reason: str,
    actor: Actor,
    request_id: str = "",
    schedule: CollateralSchedule | None = None,
) -> UUID:
    """Ask that money count with another deduction from a day on.

    Args:
        asset: money.
        haircut: the share that does not count; 0.20 is 20 %.
        effective_from: its first day.
        legal_entity: where it is asked and decided; parameters hold for all.
        reason: why.
        actor: who asks.
        request_id: of the web request.
        schedule: its tiers and what scales them; the first has the haircut. Flat where None.

    Raises:
        AskRefusedError: it is no money, or no share, or the tiers begin with another haircut.
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    if asset.kind != AssetKind.MONEY:
        raise AskRefusedError("asset", f"{asset.code} is no money.")
    if not 0 <= haircut <= 1:
        raise AskRefusedError("haircut", "A haircut is a share between 0 and 1.")
    if schedule is not None and schedule.tiers[0].haircut != haircut:
        raise AskRefusedError("haircut", "The first tier has the haircut itself.")
    row = {
        "asset_id": asset.pk,
        "version": next_version(Haircut.objects.filter(asset=asset)),
        "effective_from": effective_from.isoformat(),
        "haircut": plain(haircut),
    }
    tiers: dict[str, Any] = {} if schedule is None else {"schedule": written_schedule(schedule)}
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=legal_entity.pk,
            action=HAIRCUT,
            subject=f"{asset.code}: haircut {plain(haircut)}{', with tiers' if tiers else ''}",
            payload={"row": row, **tiers},
            reason=reason,
            records=(f"ledger_asset:{asset.pk}",),
        )


def request_terms(
    *,
    asset: Asset,
    brackets: Sequence[tuple[Decimal, Decimal, Decimal]],
    effective_from: date,
    legal_entity: LegalEntity,
    reason: str,
    actor: Actor,
    request_id: str = "",
    proposal: MarginProposal | None = None,
) -> UUID:
    """Ask that an instrument have other margin rates from a day on.

    Args:
        asset: a security, which has one line, or a perpetual.
        brackets: floor, initial rate and maintenance rate, floors rising from 0.
        effective_from: their first day.
        legal_entity: where it is asked and decided; parameters hold for all.
        reason: why.
        actor: who asks.
        request_id: of the web request.
        proposal: what a policy proposed, if these are its rates.

    Raises:
        AskRefusedError: the lines do not fit the instrument.
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    check_brackets(asset, brackets)
    is_security = asset.kind == AssetKind.SECURITY
    row = {
        "asset_id": asset.pk,
        "version": next_version(InstrumentTerms.objects.filter(asset=asset)),
        "effective_from": effective_from.isoformat(),
        "initial_rate": plain(brackets[0][1]) if is_security else None,
        "maintenance_rate": plain(brackets[0][2]) if is_security else None,
    }
    lines = [written_line(line) for line in brackets]
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=legal_entity.pk,
            action=TERMS,
            subject=f"{asset.code}: margin rates, version {row['version']}",
            payload={
                "row": row,
                "brackets": [] if is_security else lines,
                **({} if proposal is None else {"proposal": proposal.pk}),
            },
            reason=reason,
            records=(
                f"ledger_asset:{asset.pk}",
                *([] if proposal is None else [f"margin_marginproposal:{proposal.pk}"]),
            ),
        )


def next_version(rows: Any) -> int:  # noqa: ANN401
    """One more than the newest version."""
    newest: int = rows.aggregate(newest=Max("version"))["newest"] or 0
    return newest + 1


def check_brackets(asset: Asset, brackets: Sequence[tuple[Decimal, Decimal, Decimal]]) -> None:
    floors = [floor for floor, _, _ in brackets]
    if asset.kind == AssetKind.MONEY:
        raise AskRefusedError("asset", f"{asset.code} is money; it has a haircut.")
    if asset.is_option:
        raise AskRefusedError("asset", f"{asset.code} is an option; a portfolio model margins it.")
    if not brackets or floors[0] != 0 or floors != sorted(set(floors)):
        raise AskRefusedError("brackets", "Floors rise from 0.")
    if asset.kind == AssetKind.SECURITY and len(brackets) != 1:
        raise AskRefusedError("brackets", "A security has one line.")
    if any(not 0 < maintenance <= initial <= 1 for _, initial, maintenance in brackets):
        raise AskRefusedError(
            "brackets", "Rates lie between 0 and 1, and maintenance is no more than initial."
        )


def describe_haircut(approval: Approval) -> Description:
    """The haircut before and after."""
    row = approval.payload["row"]
    asset, day = Asset.objects.get(pk=row["asset_id"]), date.fromisoformat(row["effective_from"])
    before = terms_in_force(day).haircuts.get(asset.pk)
    was = schedule_lines(None if before is None else schedule_of(before))
    asked = approval.payload.get("schedule")
    now = schedule_lines(None if asked is None else read_schedule(asked))
    return Description(
        headline=approval.subject,
        facts=(("From", shown_day(day, form="medium")),),
        fields=(
            FieldChange(
                f"Haircut of {asset.code}",
                "none" if before is None else plain(before.haircut),
                row["haircut"],
            ),
            *(
                FieldChange(label, was.get(label, "none"), now.get(label, "none"))
                for label in dict.fromkeys([*was, *now])
            ),
        ),
        note="From that day every scope that holds it is computed with it.",
    )


def schedule_lines(schedule: CollateralSchedule | None) -> dict[str, str]:
    """Every step of a schedule in words, by what it is for; nothing where it is flat."""
    if schedule is None:
        return {}
    said = {f"From {plain(t.floor)}": plain(t.haircut) for t in schedule.tiers}
    said |= {
        f"Above {plain(t.share)} of all money": f"{plain(t.addition)} more"
        for t in schedule.concentration
    }
    said |= {
        f"Below a price of {plain(t.below)}": (
            f"times {plain(t.multiplier)}, at least {plain(t.least)}"
        )
        for t in schedule.peg
    }
    rule = schedule.volatility
    if rule is not None:
        said["By volatility"] = (
            f"{plain(rule.multiple)} x {rule.estimator} of {rule.lookback_days} days over"
            f" {rule.horizon_days}; {plain(rule.without_history)} with fewer than"
            f" {rule.least_days}"
        )
    return said


def describe_terms(approval: Approval) -> Description:
    """The rates before and after."""
    row = approval.payload["row"]
    asset, day = Asset.objects.get(pk=row["asset_id"]), date.fromisoformat(row["effective_from"])
    in_force = terms_in_force(day)
    before = in_force.instruments.get(asset.pk)
    was: dict[str, str] = {}
    if before is not None and before.initial_rate is not None:
        was["0"] = rates(before.initial_rate, before.maintenance_rate)
    elif before is not None:
        for each in in_force.brackets[before.pk]:
            was[plain(each.floor)] = rates(each.initial_rate, each.maintenance_rate)
    now = {b["floor"]: rates(b["initial_rate"], b["maintenance_rate"]) for b in lines_of(approval)}
    floors = sorted({*was, *now}, key=Decimal)
    return Description(
        headline=approval.subject,
        facts=(("From", shown_day(day, form="medium")),),
        fields=tuple(
            FieldChange(f"From {floor}", was.get(floor, "none"), now.get(floor, "none"))
            for floor in floors
        ),
        note="From that day every scope that holds it is computed with them.",
    )


def lines_of(approval: Approval) -> list[dict[str, Any]]:
    """The lines asked for; of a security its two rates."""
    row = approval.payload["row"]
    if row["initial_rate"] is None:
        return list(approval.payload["brackets"])
    return [{"floor": "0", **{n: row[n] for n in ("initial_rate", "maintenance_rate")}}]


def rates(initial: Decimal | str, maintenance: Decimal | str | None) -> str:
    return f"initial {plain(Decimal(initial))}, maintenance {plain(Decimal(maintenance or 0))}"


def set_haircut(approval: Approval) -> None:
    """Set the haircut; call inside an act."""
    spend("SELECT margin.set_haircut(%s)", approval)


def set_terms(approval: Approval) -> None:
    """Set the rates; call inside an act.

    Raises:
        RefusedError: they were proposed, and no longer follow from what is in force.
    """
    if "proposal" in approval.payload:
        proposal = MarginProposal.objects.select_related("asset").get(
            pk=approval.payload["proposal"]
        )
        check_still_follows(proposal)
    spend("SELECT margin.set_terms(%s)", approval)


def check_still_follows(proposal: MarginProposal) -> None:
    """Refuse a proposal whose notice is over, or whose rates do not follow those of the day before.

    Raises:
        RefusedError: `proposal_is_in_time` or `proposal_follows_the_rates_in_force`.
    """
    if proposal.effective_from <= timezone.now().astimezone(desk_zone()).date():
        raise RefusedError("proposal_is_in_time", "its first day has come; propose again")
    if rate_lines(proposal.asset, day=proposal.effective_from - timedelta(1)) != proposal.before:
        raise RefusedError(
            "proposal_follows_the_rates_in_force",
            "the rates of the day before its first are others by now; propose again",
        )


def rate_lines(asset: Asset, *, day: date) -> list[dict[str, str]]:
    """The rates of an instrument in force on a day, as requests list them; [] where it has none."""
    in_force = terms_in_force(day, asset_ids=[asset.pk])
    terms = in_force.instruments.get(asset.pk)
    if terms is None:
        return []
    if terms.initial_rate is not None and terms.maintenance_rate is not None:
        return [written_line((ZERO, terms.initial_rate, terms.maintenance_rate))]
    return [
        written_line((each.floor, each.initial_rate, each.maintenance_rate))
        for each in in_force.brackets[terms.pk]
    ]


def written_line(line: tuple[Decimal, Decimal, Decimal]) -> dict[str, str]:
    """Floor, initial and maintenance rate as exact text."""
    floor, initial, maintenance = line
    return {
        "floor": plain(floor),
        "initial_rate": plain(initial),
        "maintenance_rate": plain(maintenance),
    }


def register() -> None:
    """Say how these requests are shown and applied."""
    register_action(HAIRCUT, describe=describe_haircut, apply=set_haircut)
    register_action(TERMS, describe=describe_terms, apply=set_terms)
