"""The attacks that ship with the product: what they find refused, and what they find open."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from psycopg.conninfo import make_conninfo

from brokerage.attacks import trying
from brokerage.attacks.forms import Attack
from brokerage.attacks.report import AttackReport
from brokerage.attacks.rules import ATTACKS, NOT_TRIED
from brokerage.attacks.scratch import RULE_TABLES, scratch_copy
from tests.ledger.book import digest

Connect = Callable[[str], psycopg.Connection[Any]]
# What a database has rows in before anybody worked with it, besides the rows rules are made of.
TRAIL = {
    "accounts_act", "accounts_auditrow", "accounts_sealepoch", "auth_permission",
    "django_content_type",
}  # fmt: skip


def copies(superuser: psycopg.Connection[Any]) -> list[str]:
    """Scratch copies of this process that are still there."""
    rows = superuser.execute(
        "SELECT datname FROM pg_database WHERE starts_with(datname, 'attack_' || %s)",
        [f"{os.getpid()}_"],
    )
    return [name for (name,) in rows]


def attacked() -> tuple[dict[str, Any], int]:
    """What the command prints, and its exit code."""
    out = StringIO()
    try:
        call_command("attack", "--json", stdout=out)
    except SystemExit as end:
        return json.loads(out.getvalue()), int(end.code or 0)
    return json.loads(out.getvalue()), 0


def test_every_attack_is_refused_by_its_rule(db: None, superuser: psycopg.Connection[Any]) -> None:
    before = digest()
    report, code = attacked()
    assert (report["accepted"], report["broken"], code) == ([], [], 0)
    assert report["sound"]
    assert report["total"] == report["refused"] == len(ATTACKS) >= 60
    assert sum(rule["refused"] for rule in report["rules"].values()) == len(ATTACKS)
    assert NOT_TRIED.keys() <= report["not_tried"].keys()
    assert report["not_tried"].keys().isdisjoint(report["rules"])
    assert digest() == before, "the attacks reached the database itself"
    assert copies(superuser) == []


def test_what_was_opened_is_found(db: None, superuser: psycopg.Connection[Any]) -> None:
    superuser.execute("DROP TRIGGER posting_1_is_sound ON ledger_posting")
    superuser.execute("GRANT INSERT ON ledger_balance TO bo_runtime")
    superuser.execute("ALTER TABLE ledger_break DROP CONSTRAINT break_is_unique")
    superuser.execute("ALTER TABLE accounts_client DISABLE TRIGGER client_stays_itself")
    report, code = attacked()
    assert code == 1
    assert not report["sound"]
    found = {each["rule"] for each in report["accepted"]}
    assert {
        "entry_balances_in_each_pool", "rights_of_the_program", "break_is_unique",
        "client_stays_itself",
    } <= found  # fmt: skip
    assert report["rules"]["entry_balances_in_each_pool"]["accepted"] > 0
    assert copies(superuser) == []


def test_a_book_nobody_can_work_on_is_not_sound(
    db: None, superuser: psycopg.Connection[Any]
) -> None:
    superuser.execute("REVOKE EXECUTE ON FUNCTION ledger.post_entries(jsonb) FROM bo_runtime")
    report, code = attacked()
    assert code == 1
    assert [each["rule"] for each in report["broken"]] == ["firm_can_work"]
    assert copies(superuser) == []


def test_a_refusal_by_something_else_shows_nothing(db: None) -> None:
    scene = {"now": "2026-02-05"}
    address = settings.DATABASE_ADDRESSES["admin"]
    header = "INSERT INTO accounts_act (actor, channel) VALUES ('nobody', 'x')"
    tries = {
        "refused": Attack("person_acts_through_a_session", "", (header,), acts=None),
        "another rule": Attack("session_is_live", "", (header,), acts=None),
        "no SQL": Attack("session_is_live", "", ("SELEC 1",), acts=None),
        "no table": Attack("session_is_live", "", ("DELETE FROM nothing",), acts=None),
        "no such name": Attack("session_is_live", "", ("SELECT $nobody",), acts=None),
        "no right": Attack("x", "", (header,), acts=None, lacks_right=True),
        "needs what is refused": Attack("session_is_live", "", (header, "SELECT 1"), acts=None),
    }
    accepted = Attack("session_is_live", "", ("SELECT 1",), acts=None)
    addresses = dict.fromkeys(trying.ADDRESSES, address)
    addresses["owner"] = settings.DATABASE_ADDRESSES["migrator"]
    report: AttackReport = trying.try_all(
        [replace(each, says=name) for name, each in tries.items()] + [accepted],
        scene, addresses, witness=address,
    )  # fmt: skip
    assert report.refused == {"person_acts_through_a_session": 1}
    # A right that only another rule stops is a right.
    assert [each.says for each in report.accepted] == ["no right", accepted.says]
    broken = [each.says for each, _ in report.broken]
    assert broken == [name for name in tries if name not in ("refused", "no right")]
    assert not report.is_sound


def test_nothing_refused_is_not_sound() -> None:
    assert not AttackReport().is_sound


def test_the_copy_has_the_rows_that_rules_are_made_of(
    db: None, superuser: psycopg.Connection[Any]
) -> None:
    """A migration that fills another table has to say whether a rule reads it."""
    tables = superuser.execute(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    ).fetchall()
    filled = {
        name
        for (name,) in tables
        if superuser.execute(f"SELECT EXISTS (SELECT FROM {name})").fetchone() == (True,)
    }
    assert filled == {*RULE_TABLES, *TRAIL}


def test_the_copy_is_dropped_when_its_use_fails(
    db: None, superuser: psycopg.Connection[Any]
) -> None:
    address = settings.DATABASE_ADDRESSES["admin"]

    def fail_in_the_copy() -> None:
        with scratch_copy(address) as name, psycopg.connect(make_conninfo(address, dbname=name)):
            assert copies(superuser) == [name]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_in_the_copy()
    assert copies(superuser) == []


def test_without_a_superuser_there_is_no_scratch_copy(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(settings.DATABASE_ADDRESSES, "admin")
    with pytest.raises(CommandError, match="DATABASE_ADMIN_URL") as refusal:
        call_command("attack")
    assert refusal.value.returncode == 2
