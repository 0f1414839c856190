"""A form for any declared set of parameters: a field for each value, with unit and bounds.

Nested sets are fields with their path as name; a list of sets is a line for each, its values
separated by commas in the order that stands beside it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple, get_args, get_origin, get_type_hints
from uuid import UUID

from django import forms
from django.http import QueryDict

from accounts.approvals import AskRefusedError
from accounts.screens.asking import AskForm, day_field
from margin.engine.parameters import DECLARED, Declared, read_parameters
from margin.engine.rejected import RejectedInputError

LIST_MOST: Final = 20_000
NO_DECLARATION: Final = Declared("", "", None, None, is_shock=False)


class Place(NamedTuple):
    """One value of a set: its path, its type, and what is declared of it."""

    path: str
    kind: Any
    declared: Declared


class ParameterForm(AskForm):
    """The values of a set from a day on; the fields are added by `parameter_form`."""

    effective_from = day_field("From")
    places: tuple[Place, ...] = ()
    parameters: type[Any] = object

    def values(self) -> dict[str, Any]:
        """All of them as JSON holds them."""
        said: dict[str, Any] = {}
        for place in self.places:
            *above, name = place.path.split(".")
            level = said
            for each in above:
                level = level.setdefault(each, {})
            level[name] = self.cleaned_data[place.path]
        return said

    def clean(self) -> dict[str, Any]:
        """What the set itself refuses stands beside the value that it names."""
        typed: dict[str, Any] = super().clean() or self.cleaned_data
        if not self.errors:
            try:
                read_parameters(self.parameters, self.values())
            except RejectedInputError as refused:
                self.add_error(*self.tied(str(refused)))
        return typed

    def tied(self, text: str) -> tuple[str | None, str]:
        """The field that a refusal begins with, where there is one, and the rest of it.

        Of several values that are named together it stands at the first.
        """
        named, _, rest = text.partition(": ")
        path = named.partition(", ")[0]
        while path and path not in self.fields:
            path = path.rpartition(".")[0]
        return (path, rest) if path else (None, text)

    def asked(self, ask: Callable[[dict[str, Any]], UUID]) -> UUID:
        """Ask for the values; a refusal that names one stands beside it.

        Raises:
            AskRefusedError: as `ask` refuses.
        """
        try:
            return ask(self.values())
        except AskRefusedError as refused:
            name, text = self.tied(str(refused))
            raise AskRefusedError(name or refused.field, text) from refused


def parameter_form(
    kind: type[Any], sent: QueryDict | None, *, values: Mapping[str, Any], begins: object
) -> ParameterForm:
    """The form of a set, beginning with the values that stand, as far as it still knows them.

    Args:
        kind: the dataclass of the set.
        values: as JSON; one that is missing begins empty.
        begins: the first day that is proposed.
    """
    places = tuple(places_of(kind))
    made = {place.path: _field(place) for place in places}
    order = ("effective_from", *made, "reason")
    form_class = type(
        "SetForm",
        (ParameterForm,),
        {**made, "places": places, "parameters": kind, "field_order": order},
    )
    initial = {"effective_from": begins} | {
        place.path: _shown(place.kind, value)
        for place in places
        if (value := _at(values, place.path)) is not None
    }
    form: ParameterForm = form_class(sent, initial=initial)
    return form


def places_of(kind: type[Any], path: str = "") -> Iterator[Place]:
    """Every value of a set, nested sets opened; a list is one value."""
    types = get_type_hints(kind)
    for each in fields(kind):
        where, of = f"{path}{each.name}", types[each.name]
        if is_dataclass(of) and isinstance(of, type):
            yield from places_of(of, f"{where}.")
        else:
            yield Place(where, of, each.metadata.get(DECLARED, NO_DECLARATION))


def _at(values: Mapping[str, Any], path: str) -> Any:  # noqa: ANN401 (JSON)
    found: Any = values
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _field(place: Place) -> forms.Field:
    declared, kind = place.declared, place.kind
    label = declared.meaning or place.path
    hint = " ".join(filter(None, (_unit(declared), _bounds(declared))))
    if get_origin(kind) is tuple:
        (element, *_rest) = get_args(kind)
        return _ListField(element, label=label, hint=hint)
    if kind is bool:
        return forms.BooleanField(label=label, required=False)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        choices = [(each.value, each.value.replace("_", " ")) for each in kind]
        return forms.ChoiceField(label=label, choices=choices)
    shared: dict[str, Any] = {"label": label, "help_text": hint}
    if kind is str:
        return forms.CharField(required=False, max_length=200, widget=_text(), **shared)
    least, most = declared.least, declared.most
    if kind is int:
        return forms.IntegerField(
            min_value=None if least is None else int(least),
            max_value=None if most is None else int(most),
            widget=_text("numeric"), **shared,
        )  # fmt: skip
    return forms.FloatField(min_value=least, max_value=most, widget=_text("decimal"), **shared)


def _text(mode: str = "") -> forms.TextInput:
    attributes = {"autocomplete": "off"} | ({"inputmode": mode} if mode else {})
    return forms.TextInput(attrs=attributes)


def _unit(declared: Declared) -> str:
    return f"In {declared.unit}." if declared.unit else ""


def _bounds(declared: Declared) -> str:
    least, most = declared.least, declared.most
    if least is not None and most is not None:
        return f"From {least:g} to {most:g}."
    if least is not None:
        return f"At least {least:g}."
    return "" if most is None else f"At most {most:g}."


class _ListField(forms.CharField):
    """A list: words or numbers between spaces, or sets, a line each."""

    def __init__(self, element: Any, *, label: str, hint: str) -> None:  # noqa: ANN401 (a type)
        self.element = element
        is_set = isinstance(element, type) and is_dataclass(element)
        self.columns = list(places_of(element)) if is_set else []
        if self.columns:
            named = ", ".join(place.path.replace("_", " ") for place in self.columns)
            hint = f"One line each: {named}. {hint}"
        else:
            hint = f"With spaces between. {hint}"
        super().__init__(
            label=label, help_text=hint.strip(), required=False, max_length=LIST_MOST,
            widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false"}),
        )  # fmt: skip

    def clean(self, value: Any) -> Any:  # noqa: ANN401 (what the browser sent)
        text = super().clean(value)
        if not self.columns:
            return [self._one(self.element, word) for word in text.split()]
        return [self._row(line) for line in text.splitlines() if line.strip()]

    def _row(self, line: str) -> dict[str, Any]:
        words = [word.strip() for word in line.split(",")]
        if len(words) != len(self.columns):
            names = ", ".join(place.path for place in self.columns)
            raise forms.ValidationError(f"“{line[:60]}” is not {names}.")
        return {
            place.path: self._one(place.kind, word)
            for place, word in zip(self.columns, words, strict=True)
        }

    def _one(self, kind: Any, word: str) -> Any:  # noqa: ANN401 (as the type says)
        try:
            return kind(word) if kind in (int, float) else word
        except ValueError:
            raise forms.ValidationError(f"“{word[:40]}” is no number.") from None


def _shown(kind: Any, value: Any) -> Any:  # noqa: ANN401 (types and JSON)
    """A value as the field begins with it."""
    if get_origin(kind) is not tuple or not isinstance(value, list | tuple):
        return value
    rows = [", ".join(str(each) for each in row.values()) if isinstance(row, Mapping) else str(row)
            for row in value]  # fmt: skip
    return "\n".join(rows) if any(isinstance(row, Mapping) for row in value) else " ".join(rows)
