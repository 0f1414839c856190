"""One step for many calls: together where that goes, and what is refused stays by itself."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Act, Role
from margin.calls.bulk import Outcome, can_be_carried, carry_many
from margin.models import CallEvent, MarginCall
from tests.accounts.people import person
from tests.margin.firm import SmallFirm


def delivered(count: int) -> list[str]:
    calls = MarginCall.objects.filter(state="delivered").order_by("pk")
    found = list(calls.values_list("number", flat=True)[:count])
    assert len(found) == count
    return found


def carried(firm: SmallFirm, numbers: list[str], act: str = "acknowledge") -> list[Outcome]:
    actor = person(firm.desk[Role.OPERATIONS])
    return carry_many(numbers, act, actor=actor, words="Told them all.")


def standing() -> list[Any]:
    return list(MarginCall.objects.order_by("pk").values_list("number", "state", "owner"))


def test_many_calls_go_on_in_one_act_each_with_a_step_of_its_own(firm: SmallFirm) -> None:
    wanted, acts = delivered(3), Act.objects.count()
    assert carried(firm, wanted) == [Outcome(number) for number in wanted]
    assert Act.objects.count() == acts + 1
    steps = CallEvent.objects.filter(event="acknowledged", text="Told them all.")
    assert sorted(steps.values_list("call__number", flat=True)) == sorted(wanted)


def test_what_has_moved_on_is_listed_and_stays_and_the_others_go_on(firm: SmallFirm) -> None:
    first, second = delivered(2)
    carried(firm, [first])
    (done, stays) = sorted(carried(firm, [first, second]), key=lambda each: each.refusal)
    assert done == Outcome(second)
    assert stays.number == first
    assert stays.refusal != ""
    assert CallEvent.objects.filter(call__number=first, event="acknowledged").count() == 1


def test_a_step_that_no_call_has_changes_nothing(firm: SmallFirm) -> None:
    wanted, before, steps = delivered(3), standing(), CallEvent.objects.count()
    outcomes = carried(firm, wanted, "escalate")
    assert [each.number for each in outcomes if each.refusal] == wanted
    assert (standing(), CallEvent.objects.count()) == (before, steps)


def test_a_call_named_twice_is_carried_once(firm: SmallFirm) -> None:
    (number,) = delivered(1)
    assert carried(firm, [number, number]) == [Outcome(number)]


@pytest.mark.parametrize(
    ("act", "states"),
    [
        ("issue", {"draft"}),
        ("acknowledge", {"delivered"}),
        ("escalate", {"undelivered", "expired"}),
    ],
)
def test_the_rows_of_the_database_say_from_where_a_step_goes(
    db: None, act: str, states: set[str]
) -> None:
    assert can_be_carried(act) == states


def test_many_calls_are_read_in_one_query(firm: SmallFirm) -> None:
    wanted = delivered(3)
    with CaptureQueriesContext(connection) as queries:
        carried(firm, wanted)
    assert sum("FOR UPDATE" in query["sql"] for query in queries) == 1
