"""Levels that move: what the terms of calls add to those of an agreement at an instant.

What a run used is kept with it (`MovedLevels`), so that it is read again and never worked out from
terms that came later.
"""

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final

from accounts.figures import plain
from accounts.models import AgreementVersion
from ledger.models import Asset
from margin.engine.call_terms import CallRules, read_rules
from margin.engine.collateral import CloseRow
from margin.engine.exact import ZERO, exact
from margin.engine.hashing import Value, content_sha256
from margin.engine.moving_levels import is_in_session, session_addition, volatility_step
from margin.known import known_at
from margin.market.rules import calendars_in_force
from margin.models import CallTerms, MarginRun, MovedLevels
from margin.terms import closes_before

NOTHING_MOVES: Final[Mapping[int, "Moved"]] = {}


@dataclass(frozen=True, slots=True)
class Moved:
    """What is added to every level of a version of an agreement.

    Attributes:
        session, volatility: times maintenance margin.
        before: what volatility added on the newest day before.
        inputs: what both came from, as exact text.
    """

    version: AgreementVersion
    terms: CallTerms
    session: Decimal
    volatility: Decimal
    before: Decimal
    inputs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def addition(self) -> Decimal:
        """Both together."""
        with exact():
            return self.session + self.volatility

    def row(self, run: MarginRun) -> MovedLevels:
        """As a run keeps it."""
        return MovedLevels(
            run=run, agreement_version=self.version, call_terms=self.terms, session=self.session,
            volatility=self.volatility, volatility_before=self.before, inputs=dict(self.inputs),
        )  # fmt: skip


def terms_that_move(day: date, *, horizon_id: int | None = None) -> dict[int, CallTerms]:
    """The terms of calls in force on a day that move levels, by agreement; one query.

    Args:
        horizon_id: as that committed horizon knew them; as they are known now if None.
    """
    rows = known_at(CallTerms.objects.filter(effective_from__lte=day), horizon_id)
    newest = rows.order_by("agreement_id", "-effective_from", "-version").distinct("agreement_id")
    return {row.agreement_id: row for row in newest if read_rules(row.values).moves_levels}


def moved_levels(
    versions: Iterable[AgreementVersion],
    *,
    day: date,
    at: datetime,
    horizon_id: int | None = None,
    terms: Mapping[int, CallTerms] | None = None,
) -> Mapping[int, Moved]:
    """What is added at an instant, by id of the version; those whose levels stay are left out.

    Args:
        day: whose terms and calendars hold; closes are those of the days before.
        horizon_id: as that committed horizon knew everything; as it is known now if None.
        terms: those that move levels, by agreement, instead of those in force.
    """
    if terms is None:
        terms = terms_that_move(day, horizon_id=horizon_id)
    moving = {each.pk: each for each in versions if each.agreement_id in terms}
    if not moving:
        return NOTHING_MOVES
    rules = {each.agreement_id: read_rules(terms[each.agreement_id].values)
             for each in moving.values()}  # fmt: skip
    calendars = calendars_in_force(day, horizon_id=horizon_id)
    closes = _closes(rules.values(), day=day, horizon_id=horizon_id)
    before = _before(rules, day=day, horizon_id=horizon_id)
    found = {}
    for pk, version in sorted(moving.items()):
        its = rules[version.agreement_id]
        inputs: dict[str, Any] = {}
        session = volatility = was = ZERO
        if its.session_calendar:
            is_open = is_in_session(calendars[its.session_calendar], at)
            session = session_addition(its, is_open=is_open)
            inputs |= {"calendar": its.session_calendar, "in_session": is_open}
        if its.volatility_asset:
            was = before.get(version.agreement_id, ZERO)
            known = closes.get(its.volatility_asset, [])[-its.volatility_days - 1 :]
            step = volatility_step([each.price for each in known], rules=its, before=was)
            volatility = step.addition
            inputs |= _of_closes(its, known) | {
                "sigma": None if step.sigma is None else plain(step.sigma),
                "target": None if step.target is None else plain(step.target),
            }
        found[pk] = Moved(version, terms[version.agreement_id], session, volatility, was, inputs)
    return found


def levels_at(
    version: AgreementVersion,
    *,
    day: date,
    at: datetime,
    terms: Mapping[int, CallTerms] | None = None,
) -> AgreementVersion:
    """The version with its levels as they stand at an instant, as it is known now.

    Args:
        terms: those that move levels, by agreement, where they were read before.
    """
    found = moved_levels([version], day=day, at=at, terms=terms).get(version.pk)
    return version if found is None else raised(version, found.addition)


def raised(version: AgreementVersion, addition: Decimal) -> AgreementVersion:
    """A version with levels above what it says, to compute with; it is no row."""
    if not addition:
        return version
    found = copy(version)
    with exact():
        found.call_level = version.call_level + addition
        found.liquidation_level = version.liquidation_level + addition
    return found


def moved_sha256(moved: Mapping[int, Moved]) -> str:
    """The hash of what levels came from; empty where none moves."""
    if not moved:
        return ""
    rows: list[Sequence[Value]] = [
        (
            each.version.agreement.code, each.version.version, each.terms.version, each.session,
            each.volatility, each.before,
            *(f"{name} {value}" for name, value in sorted(each.inputs.items())),
        )
        for each in moved.values()
    ]  # fmt: skip
    return content_sha256({"levels": rows})


def _closes(
    rules: Iterable[CallRules], *, day: date, horizon_id: int | None
) -> Mapping[str, list[CloseRow]]:
    """The closes that volatilities are made of, by code."""
    wanted: dict[str, int] = {}
    for each in rules:
        if each.volatility_asset:
            code = each.volatility_asset
            wanted[code] = max(wanted.get(code, 0), each.volatility_days + 1)
    codes: dict[int, str] = dict(Asset.objects.filter(code__in=wanted).values_list("pk", "code"))
    found = closes_before(
        day, wanted={pk: wanted[code] for pk, code in codes.items()}, horizon_id=horizon_id
    )
    return {codes[pk]: rows for pk, rows in found.items()}


def _before(
    agreements: Iterable[int], *, day: date, horizon_id: int | None
) -> Mapping[int, Decimal]:
    """What volatility added in the newest run of an earlier day, by agreement."""
    rows = known_at(MovedLevels.objects.all(), horizon_id).filter(
        agreement_version__agreement__in=list(agreements),
        run__business_day__lt=day,
        run__restates=None,
    )
    newest = rows.order_by("agreement_version__agreement_id", "-run__as_of", "-pk").distinct(
        "agreement_version__agreement_id"
    )
    return dict(newest.values_list("agreement_version__agreement_id", "volatility"))


def _of_closes(rules: CallRules, closes: Sequence[CloseRow]) -> dict[str, Any]:
    """The closes by their hash, ends and number."""
    listed = "\n".join(f"{close.day} {plain(close.price)}" for close in closes)
    return {
        "asset": rules.volatility_asset,
        "closes": len(closes),
        "first_close": closes[0].day.isoformat() if closes else None,
        "last_close": closes[-1].day.isoformat() if closes else None,
        "closes_sha256": sha256(listed.encode()).hexdigest(),
    }
