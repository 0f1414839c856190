"""Forms of declared sets: what they begin with they give back, errors stand at their fields."""

from typing import Any

import pytest
from django.http import QueryDict

from margin.engine.parameters import parameter_fields, read_parameters, written_parameters
from margin.engine.policies import POLICIES
from margin.engine.price_rules import PriceRules
from margin.engine.trading_calendar import CalendarRules
from margin.market.rules import FIRST_RULES, RULES_OF
from margin.screens.parameter_form import ParameterForm, parameter_form, places_of
from tests.margin.typed import typed_values

WHY = {"effective_from": "2031-03-04", "reason": "Measured for a month and more"}
SETS: dict[str, tuple[type[Any], dict[str, Any]]] = {
    **{name: (each.parameters, dict(each.standard)) for name, each in POLICIES.items()},
    **{
        kind.value: (RULES_OF[kind], written_parameters(rules))
        for kind, rules in FIRST_RULES.items()
    },
}
FULL: dict[str, Any] = written_parameters(FIRST_RULES["price"]) | {
    "sources": [
        {"source": "venue", "venue": "X", "weight": 2.5, "max_age_seconds": 60.0},
        {"source": "other", "venue": "Y", "weight": 1.0, "max_age_seconds": 0.0},
    ],
    "add_ons": [{"state": "STALE", "share": 0.05}],
}


def sent(typed: dict[str, str]) -> QueryDict:
    data = QueryDict(mutable=True)
    data.update(typed | WHY)
    return data


def form_of(kind: type[Any], values: dict[str, Any], **changed: str) -> ParameterForm:
    typed = typed_values(kind, values) | changed
    return parameter_form(kind, sent(typed), values=values, begins=None)


@pytest.mark.parametrize("name", SETS)
def test_what_a_form_begins_with_it_gives_back(name: str) -> None:
    kind, values = SETS[name]
    form = form_of(kind, values)
    assert form.is_valid(), form.errors
    assert read_parameters(kind, form.values()) == read_parameters(kind, values)


def test_lists_of_sets_are_lines_and_come_back() -> None:
    form = form_of(PriceRules, FULL)
    assert form.is_valid(), form.errors
    assert read_parameters(PriceRules, form.values()) == read_parameters(PriceRules, FULL)


@pytest.mark.parametrize("name", SETS)
def test_every_value_has_a_field_with_its_meaning_unit_and_bounds(name: str) -> None:
    kind, values = SETS[name]
    form = form_of(kind, values)
    for place in places_of(kind):
        field = form.fields[place.path]
        assert field.label == place.declared.meaning
        assert place.declared.unit in str(field.help_text)
    single = {each.path for each in parameter_fields(read_parameters(kind, values))}
    named = {place.path for place in form.places}
    assert all(path in named or path.rstrip("0123456789.").split(".")[0] in
               {each.split(".")[0] for each in named} for path in single)  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "values", "name", "typed"),
    [
        (PriceRules, FULL, "sources_min", "1"),
        (PriceRules, FULL, "outlier_fraction", "much"),
        (PriceRules, FULL, "method", "guess"),
        (PriceRules, FULL, "sources", "venue, X, 1"),
        (PriceRules, FULL, "sources", "venue, X, heavy, 5"),
        (PriceRules, FULL, "confidence.least", "2"),
        (PriceRules, FULL, "outlier_fraction", "nan"),
        (CalendarRules, SETS["calendar"][1], "weekdays", "1 two"),
        (POLICIES["dynamic-margin"].parameters, SETS["dynamic-margin"][1], "buffer", "0.1"),
        (POLICIES["crowding"].parameters, SETS["crowding"][1], "band", "0"),
    ],
)
def test_what_is_wrong_stands_at_its_field_and_what_was_typed_stays(
    kind: type[Any], values: dict[str, Any], name: str, typed: str
) -> None:
    form = form_of(kind, values, **{name: typed})
    assert list(form.errors) == [name]
    assert form[name].value() == typed
    other = next(place.path for place in form.places if place.path != name)
    assert form[other].value() == typed_values(kind, values).get(other)


def test_a_set_of_another_version_begins_with_what_is_still_known() -> None:
    kind, values = SETS["crowding"]
    form = parameter_form(kind, None, values={"band": 0.03, "gone": 1}, begins=None)
    assert form["band"].value() == 0.03
    assert form["herd_from"].value() is None
    assert "gone" not in form.fields
    assert values
