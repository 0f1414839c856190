"""`docs/segregation.md` names every rule the database has, and no other."""

import re
from pathlib import Path

import psycopg
import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "segregation.md"
ROW = re.compile(
    r"^\| `(?P<rule>\w+)` \| (?P<refuses>.+?) \| (?P<kept_by>.+?)"
    r" \| `(?P<where>[^`]+)` \| `(?P<test>[^`]+)` \|$",
    re.MULTILINE,
)
ROWS = [row.groupdict() for row in ROW.finditer(PAGE.read_text())]
# Rules that functions raise, rules given to triggers, and named constraints and unique indexes.
# What is named after its table by PostgreSQL or Django is a plain key and no rule of its own.
RULES = r"""
    SELECT coalesce(found[1], found[2], found[3]) FROM pg_proc p
    CROSS JOIN LATERAL regexp_matches(
        p.prosrc,
        '(?:refuse\(|THEN\s+)''([a-z]+(?:_[a-z]+)+)''|''([a-z]+(?:_[a-z]+)+)'' AS rule'
        '|kind_id, ''([a-z]+(?:_[a-z]+)+)''', 'g') found
    WHERE p.pronamespace::regnamespace::text = ANY (%(apps)s)
    UNION
    SELECT split_part(encode(t.tgargs, 'escape'), '\000', 1)
    FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid AND p.proname = 'columns_stay'
    WHERE split_part(t.tgrelid::regclass::text, '_', 1) = ANY (%(apps)s)
    UNION
    SELECT c.conname FROM pg_constraint c JOIN pg_class r ON r.oid = c.conrelid
    WHERE c.contype IN ('c', 'u', 'p') AND NOT starts_with(c.conname, r.relname)
      AND split_part(r.relname, '_', 1) = ANY (%(apps)s)
    UNION
    SELECT i.relname FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
    JOIN pg_class r ON r.oid = x.indrelid
    WHERE x.indisunique AND NOT starts_with(i.relname, r.relname)
      AND split_part(r.relname, '_', 1) = ANY (%(apps)s)
"""


def test_the_page_names_every_rule_and_no_other(
    db: None, superuser: psycopg.Connection[tuple[str]]
) -> None:
    found = superuser.execute(RULES, {"apps": ["ledger", "accounts"]}).fetchall()
    named = [row["rule"] for row in ROWS]
    assert sorted(named) == sorted(rule for (rule,) in found)


@pytest.mark.parametrize("row", ROWS, ids=[row["rule"] for row in ROWS])
def test_a_rule_stands_where_the_page_says_and_is_tested_there(row: dict[str, str]) -> None:
    shown = re.search(r"behind `(\w+)`", row["refuses"])
    tested = shown[1] if shown else row["rule"]
    assert re.search(rf"\b{row['rule']}\b", (ROOT / row["where"]).read_text())
    assert re.search(rf"\b{tested}\b", (ROOT / row["test"]).read_text())


def test_a_trigger_that_the_page_names_is_there(
    db: None, superuser: psycopg.Connection[tuple[str, str]]
) -> None:
    found = superuser.execute(
        "SELECT tgname, tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal"
    ).fetchall()
    named = {
        pair for row in ROWS for pair in re.findall(r"trigger `(\w+)` of `(\w+)`", row["kept_by"])
    }
    assert named
    assert named <= set(found)
