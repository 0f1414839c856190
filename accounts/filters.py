"""Filters of a list: each reads its values from the address and says in words what it keeps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import NamedTuple, Protocol

from django.db.models import Q

from accounts.clock import shown_day
from accounts.figures import grouped
from accounts.models import LegalEntity, RoleGrant

TEXT_LENGTH_MAX = 200
# Values of the filter by owner that name no user.
ME, NOBODY = "me", "nobody"


class BadFilterError(ValueError):
    """A filter's value in the address cannot be read; the text says why."""


class Option(NamedTuple):
    """One value of a choice and its word; `matches` where it stands for several values."""

    value: str
    word: str
    matches: tuple[str, ...] = ()


class Filter(Protocol):
    """What a list asks of a filter."""

    @property
    def key(self) -> str:
        """Its name in the address."""

    @property
    def label(self) -> str:
        """Its name for people."""

    @property
    def control(self) -> str:
        """How it is asked for: select, text, date or number."""

    def condition(self, values: Sequence[str]) -> Q:
        """The rows it keeps; raises BadFilterError where a value cannot be read."""

    def words(self, values: Sequence[str]) -> str:
        """What it keeps, in words."""


Choices = Sequence[tuple[str, str] | Option]


@dataclass(frozen=True)
class Choice:
    """Rows whose field has one of the chosen values.

    Attributes:
        choices: `(value, word)` pairs or Options, or a function that reads them when asked.
        default: the value that applies where the address has none.
    """

    key: str
    label: str
    field: str
    choices: Choices | Callable[[], Choices]
    default: str = ""
    control: str = "select"

    def options(self) -> list[Option]:
        """The choices with what each matches."""
        found = self.choices() if callable(self.choices) else self.choices
        options = [option if isinstance(option, Option) else Option(*option) for option in found]
        return [o if o.matches else o._replace(matches=(o.value,)) for o in options]

    def chosen(self, values: Sequence[str]) -> list[Option]:
        known = {option.value: option for option in self.options()}
        for value in values:
            if value not in known:
                raise BadFilterError(f"{self.label} has no value “{value[:TEXT_LENGTH_MAX]}”")
        return [known[value] for value in values]

    def condition(self, values: Sequence[str]) -> Q:
        matches = {match for option in self.chosen(values) for match in option.matches}
        return Q(**{f"{self.field}__in": sorted(matches)})

    def words(self, values: Sequence[str]) -> str:
        return ", ".join(option.word for option in self.chosen(values))


@dataclass(frozen=True)
class Text:
    """Rows in which one of the fields contains the text, in either case."""

    key: str
    label: str
    fields: tuple[str, ...]
    control: str = "text"

    def condition(self, values: Sequence[str]) -> Q:
        text = self.words(values)
        if len(text) > TEXT_LENGTH_MAX or "\0" in text:
            raise BadFilterError(f"{self.label} is longer than {TEXT_LENGTH_MAX} characters")
        found = Q()
        for field in self.fields:
            found |= Q(**{f"{field}__icontains": text})
        return found

    def words(self, values: Sequence[str]) -> str:
        return values[-1].strip()


@dataclass(frozen=True)
class Day:
    """Rows whose date is on one side of a day: `lookup` is gte, lte or exact.

    For an instant name the field with `__date`, which is its date in UTC.
    """

    key: str
    label: str
    field: str
    lookup: str = "exact"
    control: str = "date"

    def day(self, values: Sequence[str]) -> date:
        try:
            return date.fromisoformat(values[-1])
        except ValueError as error:
            raise BadFilterError(f"{self.label} “{values[-1][:40]}” is not a date") from error

    def condition(self, values: Sequence[str]) -> Q:
        return Q(**{f"{self.field}__{self.lookup}": self.day(values)})

    def words(self, values: Sequence[str]) -> str:
        return shown_day(self.day(values), form="medium")


@dataclass(frozen=True)
class Figure:
    """Rows whose number is on one side of a figure: `lookup` is gte, lte or exact."""

    key: str
    label: str
    field: str
    lookup: str = "gte"
    control: str = "number"

    def number(self, values: Sequence[str]) -> Decimal:
        text = values[-1].strip().replace(",", "")
        try:
            number = Decimal(text)
        except InvalidOperation as error:
            raise BadFilterError(f"{self.label} “{text[:40]}” is not a number") from error
        if not number.is_finite() or abs(number.adjusted()) > 40:
            raise BadFilterError(f"{self.label} “{text[:40]}” is not a number")
        return number

    def condition(self, values: Sequence[str]) -> Q:
        return Q(**{f"{self.field}__{self.lookup}": self.number(values)})

    def words(self, values: Sequence[str]) -> str:
        return grouped(self.number(values))


@dataclass(frozen=True)
class Owner:
    """Rows that are one person's, whoever's asks, or nobody's yet."""

    operator_id: int
    legal_entity: LegalEntity
    key: str = "owner"
    label: str = "Owner"
    control: str = "select"

    def options(self) -> list[Option]:
        """Oneself, nobody, and everybody who works at the legal entity."""
        grants = RoleGrant.objects.held().filter(
            legal_entity=self.legal_entity, operator__is_active=True
        )
        people = grants.order_by("operator__full_name").values_list(
            "operator__username", "operator__full_name"
        )
        return [
            Option(ME, "Me"),
            Option(NOBODY, "Nobody yet"),
            *(Option(username, name) for username, name in people.distinct()),
        ]

    def condition(self, values: Sequence[str]) -> Q:
        self.words(values)
        found = Q()
        for value in values:
            if value == NOBODY:
                found |= Q(owner__isnull=True)
            elif value == ME:
                found |= Q(owner=self.operator_id)
            else:
                found |= Q(owner__username=value)
        return found

    def words(self, values: Sequence[str]) -> str:
        known = {option.value: option.word for option in self.options()}
        unknown = [value for value in values if value not in known]
        if unknown:
            raise BadFilterError(f"{self.label} has no value “{unknown[0][:60]}”")
        return ", ".join(known[value] for value in values)
