"""Margin parameters in force on a day: haircuts, rates, brackets, by asset."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from django.db import connection

from margin.engine.collateral import CloseRow, CollateralTerms
from margin.engine.collateral_schedule import (
    CollateralSchedule,
    collateral_terms,
    read_schedule,
)
from margin.engine.rejected import RejectedInputError
from margin.known import known_at
from margin.models import Bracket, Haircut, HaircutSchedule, InstrumentTerms, Mark


@dataclass(frozen=True, slots=True)
class TermsInForce:
    """The version of every parameter that holds on a day, by asset id.

    Attributes:
        collateral: of money whose haircut has tiers, resolved for the day.
        unreadable: by code of money whose tiers cannot be read any more, why; it has no haircut.
    """

    haircuts: dict[int, Haircut]
    instruments: dict[int, InstrumentTerms]
    brackets: dict[int, list[Bracket]]  # by instrument terms id, floors ascending
    collateral: Mapping[int, CollateralTerms] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)


def terms_in_force(
    day: date, *, asset_ids: Sequence[int] | None = None, horizon_id: int | None = None
) -> TermsInForce:
    """Read the parameters in force on a day, in three queries, and those of tiered haircuts.

    Args:
        asset_ids: only of these assets; of all if None.
        horizon_id: as that committed horizon knew them; as they are known now if None.
    """
    of = {} if asset_ids is None else {"asset_id__in": asset_ids}
    haircuts = (
        known_at(Haircut.objects.filter(effective_from__lte=day, **of), horizon_id)
        .order_by("asset_id", "-effective_from", "-version")
        .distinct("asset_id")
    )
    instruments = (
        known_at(InstrumentTerms.objects.filter(effective_from__lte=day, **of), horizon_id)
        .order_by("asset_id", "-effective_from", "-version")
        .distinct("asset_id")
    )
    in_force = {terms.asset_id: terms for terms in instruments}
    brackets: dict[int, list[Bracket]] = defaultdict(list)
    for bracket in Bracket.objects.filter(terms__in=in_force.values()).order_by("floor"):
        brackets[bracket.terms_id].append(bracket)
    found: dict[int, Haircut] = {}
    schedules: dict[int, CollateralSchedule] = {}
    unreadable: dict[str, str] = {}
    for row in haircuts.select_related("schedule"):
        try:
            schedule = schedule_of(row)
        except RejectedInputError as refused:
            unreadable[row.asset.code] = f" Its tiers can no longer be read: {refused}."
            continue
        found[row.asset_id] = row
        if schedule is not None:
            schedules[row.asset_id] = schedule
    return TermsInForce(
        haircuts=found,
        instruments=in_force,
        brackets=brackets,
        collateral=collateral_on(day, schedules=schedules, horizon_id=horizon_id),
        unreadable=unreadable,
    )


def schedule_of(haircut: Haircut) -> CollateralSchedule | None:
    """The tiers of a version of a haircut; None where it is flat.

    Raises:
        RejectedInputError: this version of the program cannot read them.
    """
    try:
        return read_schedule(haircut.schedule.values)
    except HaircutSchedule.DoesNotExist:
        return None


def collateral_on(
    day: date, *, schedules: Mapping[int, CollateralSchedule], horizon_id: int | None = None
) -> dict[int, CollateralTerms]:
    """What schedules come to on a day, with the closes of the days before it; by asset id."""
    wanted = {pk: each.closes_wanted for pk, each in schedules.items() if each.closes_wanted}
    closes = closes_before(day, wanted=wanted, horizon_id=horizon_id)
    return {pk: collateral_terms(each, closes=closes.get(pk, ())) for pk, each in schedules.items()}


def closes_before(
    day: date, *, wanted: Mapping[int, int], horizon_id: int | None = None
) -> dict[int, list[CloseRow]]:
    """The last valid mark of each of the newest days before a day, the oldest first.

    A mark that was carried, or that people set, says nothing of how much a price moves.

    Args:
        wanted: how many closes at most, by asset id; no query where it is empty.
        horizon_id: as that committed horizon knew them; as they are known now if None.
    """
    closes: dict[int, list[CloseRow]] = defaultdict(list)
    if not wanted:
        return closes
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT w.asset, c.business_day, c.price"
            " FROM unnest(%(assets)s::bigint[], %(most)s::bigint[]) AS w(asset, most),"
            " LATERAL (SELECT DISTINCT ON (m.business_day) m.business_day, m.price"
            "   FROM margin_mark m WHERE m.asset_id = w.asset AND m.state = %(valid)s"
            "   AND m.business_day < %(day)s AND NOT EXISTS ("
            "     SELECT FROM margin_pricefile f WHERE f.as_of = m.as_of)"
            "   AND (%(horizon)s::bigint IS NULL"
            "     OR pg_visible_in_snapshot(m.xid, (SELECT h.snapshot FROM ledger_horizon h"
            "       WHERE h.id = %(horizon)s)))"
            "   ORDER BY m.business_day DESC, m.as_of DESC LIMIT w.most) c"
            " ORDER BY w.asset, c.business_day",
            {
                "assets": list(wanted), "most": list(wanted.values()), "day": day,
                "valid": str(Mark.State.VALID), "horizon": horizon_id,
            },
        )  # fmt: skip
        for asset, on, price in cursor.fetchall():
            closes[asset].append(CloseRow(on, price))
    return closes
