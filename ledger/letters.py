"""How the acknowledgement of a location stands: in force, running out, void, declared, missing."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

from django.db import connection

from accounts.models import LegalEntity, OwnerClass
from ledger.models import ConductRule, Letter, Location
from ledger.residual_standing import conduct_rule


@dataclass(frozen=True)
class LetterState:
    """A location's letter on a day.

    Attributes:
        tone: ok, watch, liq; "" where none is needed.
        word: the verdict in words.
        good_until: its last day, for whatever reason; None where it has none.
        letter: the newest one on file, or what was declared.
    """

    tone: str
    word: str
    good_until: date | None = None
    letter: Letter | None = None

    @property
    def icon(self) -> str:
        return {"ok": "check", "watch": "clock", "liq": "x"}.get(self.tone, "minus")

    @property
    def needs_somebody(self) -> bool:
        """Whether it is an exception: not in force, or not for long, or not on file."""
        return self.tone in ("watch", "liq")


NOT_NEEDED = LetterState("", "not needed")


def letter_states(locations: Iterable[Location], *, today: date) -> dict[int, LetterState]:
    """How each location's letter stands; three queries. Locations are read with their pools."""
    places = list(locations)
    wanted = [p.pk for p in places if p.pool.owner_class == OwnerClass.CLIENT]
    spans = _spans(wanted)
    newest: dict[int, Letter] = {}
    for letter in Letter.objects.filter(location__in=wanted).order_by(
        "-is_declared", "signed_on", "pk"
    ):
        newest[letter.location_id] = letter
    warns: dict[str, int] = {}
    states = {}
    for place in places:
        regime = place.pool.regime
        if regime not in warns:
            code = ConductRule.Code.LETTER_WARNING_DAYS
            warns[regime] = int(conduct_rule(code, regime=regime, day=today))
        states[place.pk] = (
            _state(newest.get(place.pk), spans.get(place.pk, {}), today, warns[regime])
            if place.pool.owner_class == OwnerClass.CLIENT
            else NOT_NEEDED
        )
    return states


def letters_in_need(
    legal_entity: LegalEntity, *, today: date
) -> list[tuple[Location, LetterState]]:
    """Locations of client assets whose letter is missing, void, running out or not on file."""
    places = list(
        Location.objects.filter(
            pool__legal_entity=legal_entity,
            pool__owner_class=OwnerClass.CLIENT,
            closed_on__isnull=True,
        )
        .select_related("pool")
        .order_by("code")
    )
    states = letter_states(places, today=today)
    return [(p, states[p.pk]) for p in places if states[p.pk].needs_somebody]


def letter_state(location: Location, *, today: date) -> LetterState:
    """How one location's letter stands."""
    return letter_states([location], today=today)[location.pk]


def _spans(location_ids: list[int]) -> dict[int, dict[int, tuple[str, str]]]:
    """By location and letter: the first and last day on which it is good, as text."""
    found: dict[int, dict[int, tuple[str, str]]] = {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT l.id, s.letter_id, s.good_from::text, s.good_until::text"
            " FROM unnest(%s::bigint[]) AS l(id) CROSS JOIN LATERAL ledger.letter_spans(l.id) s",
            [location_ids],
        )
        for location, letter, first, last in cursor.fetchall():
            found.setdefault(location, {})[letter] = (first, last)
    return found


def _state(
    letter: Letter | None, spans: dict[int, tuple[str, str]], today: date, warns: int
) -> LetterState:
    if letter is None:
        return LetterState("liq", "missing")
    last = spans[letter.pk][1]
    until = None if last == "infinity" else date.fromisoformat(last)
    in_force = any(_covers(span, today) for span in spans.values())
    if until is not None and until < today and not in_force:
        word = "expired" if until == letter.expires_on else "void since a change,"
        return LetterState("liq", f"{word} {(today - until).days:,} d ago", until, letter)
    if until is not None and until <= today + timedelta(days=warns):
        word = "expires" if until == letter.expires_on else "void after a change"
        return LetterState("watch", f"{word} in {(until - today).days:,} d", until, letter)
    if letter.is_declared:
        return LetterState("watch", "declared, letter not on file", until, letter)
    if until is not None and until != letter.expires_on:
        days = (until - today).days
        return LetterState("watch", f"void after a change in {days:,} d", until, letter)
    return LetterState("ok", "acknowledged", until, letter)


def _covers(span: tuple[str, str], day: date) -> bool:
    first, last = span
    begins = first == "-infinity" or date.fromisoformat(first) <= day
    return begins and (last == "infinity" or date.fromisoformat(last) >= day)
