"""Rows that a number rests on, as an explanation names them."""

from typing import Any

from accounts.clock import utc_stamp
from accounts.figures import plain
from margin.engine.explain import Reference
from margin.engine.parameters import Field
from margin.models import Mark, ParameterSet


def valid_mark_before(mark: Mark) -> Mark | None:
    """The newest valid mark of the same asset before a carried one."""
    earlier = Mark.objects.filter(
        asset_id=mark.asset_id, as_of__lt=mark.as_of, state=Mark.State.VALID
    )
    return earlier.order_by("-as_of").first()


def mark_reference(mark: Mark, *, asset: str, valid: Mark | None) -> Reference:
    """A mark with the prices it was composed of; of a carried one also where it comes from."""
    said: dict[str, Any] = {
        "what": "mark",
        "id": mark.pk,
        "asset": asset,
        "as_of": utc_stamp(mark.as_of),
        "price": plain(mark.price),
        "state": mark.state,
        "used": mark.used,
        "dropped": mark.dropped,
    }
    if mark.rule is not None and mark.confidence is not None and mark.contingency is not None:
        said |= {
            "rule": {"name": mark.rule.name, "version": mark.rule.version},
            "confidence": plain(mark.confidence),
            "contingency": plain(mark.contingency),
            "facts": mark.facts,
        }
    return said if valid is None else said | {"carried_from": utc_stamp(valid.as_of)}


def parameter_reference(used: ParameterSet, *, path: str, found: Field | None) -> Reference:
    """A parameter of a model in the version of its set; without a value where it is a group."""
    said: dict[str, Any] = {
        "what": "parameter",
        "model": used.model,
        "code": used.code,
        "version": used.version,
        "parameter": path if found is None else found.path,
    }
    return said if found is None else said | {"value": str(found.value)}
