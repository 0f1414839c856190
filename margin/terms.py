"""Margin parameters in force on a day: haircuts, rates, brackets, by asset."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from margin.known import known_at
from margin.models import Bracket, Haircut, InstrumentTerms


@dataclass(frozen=True, slots=True)
class TermsInForce:
    """The version of every parameter that holds on a day, by asset id."""

    haircuts: dict[int, Haircut]
    instruments: dict[int, InstrumentTerms]
    brackets: dict[int, list[Bracket]]  # by instrument terms id, floors ascending


def terms_in_force(
    day: date, *, asset_ids: Sequence[int] | None = None, horizon_id: int | None = None
) -> TermsInForce:
    """Read the parameters in force on a day, in three queries.

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
    return TermsInForce(
        haircuts={row.asset_id: row for row in haircuts},
        instruments=in_force,
        brackets=brackets,
    )
