"""A setting that cannot be right is refused in one sentence, never guessed."""

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from psycopg.conninfo import conninfo_to_dict

from brokerage import settings
from tests.cluster import ROOT


@pytest.mark.parametrize(
    ("read", "value", "complaint"),
    [
        (lambda: settings.env_bool("GIVEN", False), "yes", "GIVEN='yes', expected 'True' or"),
        (lambda: settings.env_bool("GIVEN", False), "true", "GIVEN='true', expected 'True' or"),
        (lambda: settings.env_int("GIVEN", 1, least=1, most=9), "10", "a whole number from 1 to 9"),
        (lambda: settings.env_int("GIVEN", 1, least=1, most=9), "1.0", "a whole number from 1 to"),
        (lambda: settings.env_int("GIVEN", 1, least=1, most=9), "-1", "a whole number from 1 to 9"),
        (lambda: settings.env_text("GIVEN", "x"), " ", "GIVEN is empty"),
        (lambda: settings.env_optional("GIVEN"), "", "GIVEN is empty"),
        (lambda: settings.env_choice("GIVEN", "a", among=("a", "b")), "c", "expected one of a, b"),
        (lambda: settings.env_zone("GIVEN", "UTC"), "New York", "'New York' is not a time zone"),
        (lambda: settings.env_zone("GIVEN", "UTC"), "", "'' is not a time zone"),
    ],
)
def test_a_value_that_cannot_be_right_is_refused(
    monkeypatch: pytest.MonkeyPatch, read: Callable[[], Any], value: str, complaint: str
) -> None:
    monkeypatch.setenv("GIVEN", value)
    with pytest.raises(ImproperlyConfigured, match=complaint):
        read()


def test_what_is_not_given_has_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GIVEN", raising=False)
    assert settings.env_bool("GIVEN", True) is True
    assert settings.env_int("GIVEN", 5, least=1, most=9) == 5
    assert settings.env_optional("GIVEN") is None
    assert settings.env_list("GIVEN", ("a",)) == ["a"]


def test_a_secret_is_made_once_and_closed_to_others(tmp_path: Path) -> None:
    first = settings.kept_secret(tmp_path / "var" / "secret")
    assert len(first) >= 50
    assert settings.kept_secret(tmp_path / "var" / "secret") == first
    assert stat.S_IMODE((tmp_path / "var" / "secret").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "var").iterdir()] == ["secret"]


def test_a_database_of_ones_own_is_used_by_every_role(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://bo_runtime:one@db.example:6432/firm")
    monkeypatch.setenv("DATABASE_OWNER_URL", "postgresql://bo_migrator:two@db.example/firm")
    addresses = {
        role: conninfo_to_dict(address)
        for role, address in settings.database_addresses(None).items()
    }
    at = {"host": "db.example", "port": "6432", "dbname": "firm"}
    assert addresses == {
        "runtime": {"user": "bo_runtime", "password": "one", **at},
        "auditor": {"user": "bo_auditor", "password": "one", **at},
        "broker": {"user": "bo_broker", "password": "one", **at},
        "migrator": {
            "user": "bo_migrator", "password": "two", "host": "db.example", "dbname": "firm",
        },
    }  # fmt: skip


def test_a_command_refuses_a_wrong_setting_in_one_sentence() -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT, env=os.environ | {"PORT": "http"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    sentence = "PORT='http', expected a whole number from 1 to 65535\n"
    assert (done.returncode, done.stderr) == (2, sentence)
