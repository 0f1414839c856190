"""The ground under every other test: each works in its own database, as the runtime role."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.contrib.sessions.models import Session
from django.db import connection
from django.utils import timezone

Connect = Callable[[str], psycopg.Connection[Any]]


def whoami(opened: psycopg.Connection[Any]) -> tuple[str, str]:
    found = opened.execute("SELECT session_user, current_user").fetchone()
    assert found is not None
    return found[0], found[1]


def test_django_connects_as_the_runtime_role(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT session_user, current_user, current_database()")
        session_user, user, database = cursor.fetchone()
    assert (session_user, user) == ("bo_runtime", "bo_runtime")
    assert database.startswith("test_")


@pytest.mark.parametrize("key", ["a", "b"])
def test_what_a_test_commits_is_gone_in_the_next(db: None, key: str) -> None:
    assert not Session.objects.exists()
    Session.objects.create(session_key=key, session_data="", expire_date=timezone.now())


def test_every_role_connects_as_itself(connect: Connect) -> None:
    assert whoami(connect("runtime")) == ("bo_runtime", "bo_runtime")
    assert whoami(connect("auditor")) == ("bo_auditor", "bo_auditor")
    assert whoami(connect("broker")) == ("bo_broker", "bo_broker")
    assert whoami(connect("owner")) == ("bo_migrator", "bo_owner")
    assert whoami(connect("superuser")) == ("postgres", "postgres")


def test_a_page_is_served_from_the_tests_database(desk_url: str, browser_page: Any) -> None:
    response = browser_page.goto(f"{desk_url}/health")
    assert (response.status, response.text()) == (200, "ok\n")
