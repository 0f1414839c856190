"""Tasks: who sees them, who takes them over, and which of them a person may close."""

from datetime import date
from typing import Any

import pytest
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.audit import Actor, acting
from accounts.models import Role
from margin.models import Task, TaskEvent
from margin.screens.visible import OF_SOMEBODY
from margin.worklist import Needed, open_tasks
from tests.accounts.people import found_desk, sign_in
from tests.margin.firm import SmallFirm

DESK = Actor.command("test")


def signed_in(firm: SmallFirm, role: Role) -> Browser:
    browser = Browser()
    sign_in(browser, firm.desk[role])
    return browser


@pytest.fixture
def browser(firm: SmallFirm) -> Browser:
    """M. Okafor of risk, signed in."""
    return signed_in(firm, Role.RISK)


@pytest.fixture
def failed_job(firm: SmallFirm) -> Task:
    """A task that only a person can call done."""
    now = timezone.now()
    with acting(DESK, reason="A job failed for good"):
        return Task.objects.create(
            kind=Task.Kind.JOB,
            key="job:1",
            subject="Inbox day 2031-03-05 failed",
            detail="The folder is gone.",
            business_day=date(2031, 3, 4),
            owner_role=Role.OPERATIONS,
            opened_at=now,
            due_at=now,
        )


def tasks(browser: Browser, **query: str) -> list[Task]:
    answer = browser.get(reverse("margin:tasks"), query)
    assert answer.status_code == 200
    return [row.task for row in answer.context["rows"]]


def take(browser: Browser, task: Task, owner: str = "") -> Any:
    return browser.post(reverse("margin:task-take", args=[task.pk]), {"owner": owner}, follow=True)


def test_open_tasks_come_first_due_first(browser: Browser) -> None:
    shown = tasks(browser)
    assert shown
    assert [task.due_at for task in shown] == sorted(task.due_at for task in shown)
    assert all(task.closed_at is None for task in shown)
    assert all(task.closed_at is not None for task in tasks(browser, status="closed"))


def test_a_task_is_taken_over_by_whoever_saw_its_owner(browser: Browser, firm: SmallFirm) -> None:
    task = tasks(browser)[0]
    assert task.owner is None
    assert "You own" in take(browser, task).content.decode()
    task.refresh_from_db()
    assert task.owner == firm.desk[Role.RISK]
    late = take(signed_in(firm, Role.OPERATIONS), task)
    assert "has another owner by now" in late.content.decode()
    task.refresh_from_db()
    assert task.owner == firm.desk[Role.RISK]
    assert TaskEvent.objects.filter(task=task, event="taken").count() == 1


def test_a_reader_takes_nothing_over(firm: SmallFirm) -> None:
    reader = signed_in(firm, Role.AUDITOR)
    task = tasks(reader)[0]
    answer = take(reader, task)
    assert answer.status_code == 403
    assert "L. Brandt or M. Okafor can" in answer.content.decode()
    assert not TaskEvent.objects.filter(event="taken").exists()


def test_a_person_closes_what_no_run_closes(browser: Browser, failed_job: Task) -> None:
    address = reverse("margin:task-close", args=[failed_job.pk])
    assert browser.post(address, {"reason": "too short"}).status_code == 422
    answer = browser.post(address, {"reason": "The folder was sent again."}, follow=True)
    assert "is closed" in answer.content.decode()
    failed_job.refresh_from_db()
    assert failed_job.close_reason == "The folder was sent again."
    again = browser.post(address, {"reason": "The folder was sent again."})
    assert again.status_code == 409
    assert TaskEvent.objects.filter(task=failed_job, event="closed").count() == 1


def test_what_a_run_found_closes_by_itself(browser: Browser) -> None:
    task = tasks(browser)[0]
    assert task.kind in (Task.Kind.LIQUIDATE, Task.Kind.DEFICIT, Task.Kind.PRICE)
    answer = browser.post(
        reverse("margin:task-close", args=[task.pk]), {"reason": "We looked at it."}
    )
    assert answer.status_code == 409
    assert "closes by itself" in answer.content.decode()
    task.refresh_from_db()
    assert task.closed_at is None


def test_another_legal_entity_sees_only_what_concerns_the_whole_desk(firm: SmallFirm) -> None:
    browser = Browser()
    sign_in(browser, found_desk(code="EB-UK")[Role.RISK])
    now, lacking = timezone.now(), Task.Kind.UNCOVERED
    both = [
        Needed(lacking, f"shortfall:{code}:CLIENT:USD", code, "", now, "treasury")
        for code in ("MAIN", "EB-UK")
    ]
    with acting(DESK, reason="Something that is another's"):
        open_tasks(both, business_day=now.date(), at=now)
    seen = tasks(browser)
    assert {task.kind for task in seen}.isdisjoint({*OF_SOMEBODY} - {lacking})
    assert [task.subject for task in seen if task.kind == lacking] == ["EB-UK"]
    of_a_scope = Task.objects.filter(scope__isnull=False)[0]
    assert take(browser, of_a_scope).status_code == 404
    assert not TaskEvent.objects.filter(event="taken").exists()


def test_without_exceptions_the_page_says_what_was_computed(browser: Browser) -> None:
    answer = browser.get(reverse("margin:exceptions"))
    assert "Every scope was computed." in answer.content.decode()
    assert f"computed {answer.context['computed']} scopes" in answer.content.decode()


def test_the_list_costs_the_same_for_any_number_of_tasks(browser: Browser) -> None:
    taken = []
    for query in ({"q": tasks(browser)[0].subject}, {"q": " "}):
        with CaptureQueriesContext(connection) as captured:
            shown = tasks(browser, **query)
        taken.append((len(shown), len(captured)))
    (one, queries_of_one), (many, queries_of_many) = taken
    assert one < many
    assert queries_of_one == queries_of_many
