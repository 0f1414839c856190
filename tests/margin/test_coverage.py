"""Coverage of margin checks: promises, holes, scopes nobody speaks of, and who is asked."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from accounts.approvals import AskRefusedError
from accounts.audit import Actor, acting
from accounts.models import Bucket, MarginAccount, Role, Scope
from brokerage.digest import digest
from brokerage.metrics import lines
from margin.coverage import (
    Check,
    Promise,
    checks_between,
    coverage,
    holes,
    last_check,
    unchecked_scopes,
    watch_coverage,
)
from margin.engine.check_rules import CheckRules
from margin.engine.trading_calendar import STANDARD_CALENDARS, calendar_of
from margin.market.rules import request_rule, rules_in_force
from margin.models import MarginRun, MarketRule, Task
from tests.accounts.people import person, sign_in
from tests.ledger.agreeing import agreed
from tests.margin.firm import SmallFirm

WHY = "Agreed in the risk committee"
NOON = datetime(2031, 3, 5, 17, tzinfo=UTC)  # a Wednesday, New York is open


def promise(seconds: float, calendar: str = "ALWAYS") -> Promise:
    return Promise(
        MarketRule(), CheckRules(seconds, calendar), calendar_of(STANDARD_CALENDARS[calendar])
    )


def asked(firm: SmallFirm, *, name: str = "margin", **values: object) -> object:
    return request_rule(
        kind="check", name=name, effective_from=timezone.now().date(), reason=WHY,
        values={"seconds_most": 300.0, "calendar": "ALWAYS"} | values,
        legal_entity=firm.desk.entity, actor=person(firm.desk[Role.RISK]),
    )  # fmt: skip


def promised(firm: SmallFirm, **values: object) -> None:
    agreed(asked(firm, **values), firm.desk[Role.COMPLIANCE])  # type: ignore[arg-type]


def open_task() -> Task | None:
    return Task.objects.filter(kind=Task.Kind.CHECK, closed_at=None).first()


# ---------------------------------------------------------------- holes


def test_a_stretch_longer_than_was_promised_is_a_hole() -> None:
    minutes = [NOON + timedelta(minutes=n) for n in (1, 2, 3, 20, 21)]
    found = holes(minutes, since=NOON, until=NOON + timedelta(minutes=30), promise=promise(300))
    assert [(each.begins, each.ends) for each in found] == [
        (NOON + timedelta(minutes=3), NOON + timedelta(minutes=20)),
        (NOON + timedelta(minutes=21), None),
    ]
    assert [each.lasted for each in found] == [timedelta(minutes=17), timedelta(minutes=9)]


def test_the_night_is_no_hole_where_checks_are_promised_by_day() -> None:
    evening, morning = (
        datetime(2031, 3, 5, 20, 59, tzinfo=UTC), datetime(2031, 3, 6, 14, 31, tzinfo=UTC),
    )  # fmt: skip
    checks = [evening, morning]
    by_day = promise(300, "NYSE")
    until = morning + timedelta(minutes=1)
    assert holes(checks, since=evening, until=until, promise=by_day) == []
    (night,) = holes(checks, since=evening, until=until, promise=promise(300))
    assert (night.begins, night.ends) == (evening, morning)


@given(
    gaps=st.lists(st.integers(1, 2_000), max_size=12),
    most=st.integers(1, 2_000),
    rest=st.integers(0, 2_000),
)
def test_holes_are_the_gaps_beyond_the_promise_and_nothing_else(
    gaps: list[int], most: int, rest: int
) -> None:
    checks, at = [], NOON
    for gap in gaps:
        at += timedelta(seconds=gap)
        checks.append(at)
    until = at + timedelta(seconds=rest)
    found = holes(checks, since=NOON, until=until, promise=promise(most))
    assert [each.lasted.total_seconds() for each in found] == [
        gap for gap in [*gaps, rest] if gap > most
    ]
    assert all(one.ends is not None for one, _ in pairwise(found))


# ---------------------------------------------------------------- who is asked


def test_a_check_that_does_not_come_is_a_task_once_and_the_next_check_ends_it(
    firm: SmallFirm,
) -> None:
    last = last_check(timezone.now())
    assert last == MarginRun.objects.latest("pk").finished_at
    late = last + timedelta(seconds=301)
    assert not watch_coverage(late), "nothing was promised"
    promised(firm)
    before = digest()
    assert not watch_coverage(last + timedelta(seconds=299))
    assert digest() == before
    assert watch_coverage(late)
    assert watch_coverage(late + timedelta(minutes=5))
    task = open_task()
    assert task is not None
    assert task.owner_role == Role.RISK
    assert f"{last:%Y-%m-%d %H:%M:%S} UTC" in task.detail
    assert Task.objects.filter(kind=Task.Kind.CHECK).count() == 1
    # As if a check had come: the same question, asked of an instant right after the last one.
    assert not watch_coverage(last + timedelta(seconds=10))
    assert open_task() is None
    assert not watch_coverage(last + timedelta(seconds=20))
    assert Task.objects.filter(kind=Task.Kind.CHECK).count() == 1


def test_an_overdue_check_shows_on_the_page_in_the_tasks_and_in_metrics(firm: SmallFirm) -> None:
    promised(firm, seconds_most=1.0)
    MarginRun.objects.latest("pk")
    assert watch_coverage(timezone.now() + timedelta(seconds=2))
    auditor = Browser()
    sign_in(auditor, firm.desk[Role.AUDITOR])
    page = auditor.get(reverse("margin:coverage")).content.decode()
    assert "Promise checks" not in page, "an auditor asks for nothing"
    assert firm.second_run in page
    assert "at most 1 s apart" in page
    assert "Margin is not checked in time" in auditor.get(reverse("margin:tasks")).content.decode()
    said = "\n".join(lines())
    assert "brokerage_margin_check_age_seconds{} " in said
    assert "brokerage_margin_scopes_unchecked{} 0" in said


def test_a_scope_opened_since_is_one_that_nobody_speaks_of(firm: SmallFirm) -> None:
    assert coverage().unchecked == 0
    account = MarginAccount.objects.order_by("pk")[0]
    of_another = Bucket.objects.filter(is_margined=True)[0]
    with acting(Actor.command("test"), reason="Another bucket"):
        bucket = Bucket.objects.create(
            account=account, code="NEW", role=of_another.role, is_margined=True
        )
        scope = Scope.objects.create(bucket=bucket)
    assert list(unchecked_scopes()) == [scope]
    sees = Browser()
    sign_in(sees, firm.desk[Role.RISK])
    page = sees.get(reverse("margin:coverage")).content.decode()
    assert "1 scope" in page
    assert "NEW" in page
    assert "Promise checks" in page


def test_checks_are_runs_in_the_order_in_which_they_were_kept(firm: SmallFirm) -> None:
    now = timezone.now()
    found = checks_between(now - timedelta(days=1), now)
    runs = list(MarginRun.objects.order_by("pk"))
    assert found == [
        Check(run.finished_at, run.number, run.purpose, run.as_of, run.scope_count) for run in runs
    ]
    assert checks_between(now, now + timedelta(days=1)) == []


@pytest.fixture
def standing(firm: SmallFirm) -> Iterator[None]:
    before = digest()
    yield
    assert digest() == before


@pytest.mark.parametrize(
    ("name", "values", "field"),
    [
        ("margin", {"seconds_most": 0.5}, "values"),
        ("margin", {"calendar": "MOON"}, "values"),
        ("margin", {"calendar": ""}, "values"),
        ("desk", {}, "name"),
    ],
)
def test_a_promise_that_cannot_be_kept_is_refused(
    firm: SmallFirm, standing: None, name: str, values: dict[str, object], field: str
) -> None:
    with pytest.raises(AskRefusedError) as refused:
        asked(firm, name=name, **values)
    assert refused.value.field == field
    assert rules_in_force(timezone.now().date(), "check") == {}
