"""Switches of an incident, for programs: how they stand, and asking that one be set."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import status, viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from accounts.asking_api import AskedSerializer, ask_by_api, entity_of, http_of, sent
from accounts.clock import utc_stamp
from accounts.roles import REQUEST, check, permission
from margin.models import Switch
from margin.screens.switches import ask_for_switch, form_of
from margin.switches import START, STOP, Position, positions


class SwitchViewSet(viewsets.ViewSet):
    """Automatic calls, withdrawals and liquidation: whether they run, since when, who agreed."""

    permission_classes = [permission("read")]

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def list(self, request: Request) -> Response:
        """Every switch of where the person works."""
        return Response([as_json(each) for each in positions(entity_of(request))])

    @extend_schema(request=OpenApiTypes.OBJECT, responses={201: AskedSerializer})
    def create(self, request: Request) -> Response:
        """Ask: `what`, `way` (`stop` or `start`), `minutes` of a stop, `reason`."""
        data = sent(request)
        what, way, entity = data.get("what", ""), data.get("way", ""), entity_of(request)
        check(http_of(request), f"{REQUEST}{START if way == 'start' else STOP}", entity)
        if what not in Switch.What.values or way not in ("stop", "start"):
            said = {"what": [{"message": "There is no such switch.", "code": "refused"}]}
            return Response(said, status=status.HTTP_422_UNPROCESSABLE_ENTITY)
        is_stop = way == "stop"
        return ask_by_api(
            request, form_of(data, is_stop=is_stop), action=STOP if is_stop else START,
            entity=entity, do=lambda typed: ask_for_switch(http_of(request), entity, what, typed),
        )  # fmt: skip


def as_json(found: Position) -> dict[str, Any]:
    """One switch, with its newest version."""
    said: dict[str, Any] = {
        "what": found.what.value,
        "stopped": found.is_stopped,
        "rule": found.rule,
        "overdue_seconds": None if found.overdue is None else int(found.overdue.total_seconds()),
    }
    if found.newest is not None:
        newest = found.newest
        checker = newest.approval.checker
        said |= {
            "version": newest.version,
            "set_at": utc_stamp(newest.set_at),
            "until": None if newest.until is None else utc_stamp(newest.until),
            "reason": newest.reason,
            "asked_by": newest.approval.maker.username,
            "agreed_by": None if checker is None else checker.username,
        }
    return said


def register(router: BaseRouter) -> None:
    """Serve these under the API's root."""
    router.register("switches", SwitchViewSet, basename="switch")
