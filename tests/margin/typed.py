"""Values of a parameter set as a person types them into its form."""

from collections.abc import Mapping
from typing import Any

from margin.screens.parameter_form import parameter_form


def typed_values(kind: type[Any], values: Mapping[str, Any]) -> dict[str, str]:
    """What a browser sends of a form that begins with these values and is not changed."""
    form = parameter_form(kind, None, values=values, begins="2031-03-03")
    said = {place.path: form.get_initial_for_field(form.fields[place.path], place.path)
            for place in form.places}  # fmt: skip
    return {
        path: "on" if value is True else str(value)
        for path, value in said.items()
        if value is not None and value is not False
    }
