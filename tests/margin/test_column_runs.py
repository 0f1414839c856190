"""Runs in columns say, keep and open the same as runs by rows."""

from dataclasses import replace
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection

from accounts.audit import Actor, RefusedError, acting
from accounts.bulk import copy_rows
from accounts.models import LegalEntity, Role
from brokerage.inbox.cycle import run_day
from margin.book import read_inputs
from margin.book.columns import read_columns
from margin.column_checks import NAME, check_columns
from margin.column_runs import record_columns
from margin.engine.parameters import written_parameters
from margin.engine.price_rules import STANDARD_RULES
from margin.explanation import as_json
from margin.market.rows import HEADER, load_market
from margin.market.rules import request_rule
from margin.models import MarginResult, MarginRun, ResultComponent, RunBlock
from margin.parts import parts_of, unpacked
from margin.runs import replay
from tests.accounts.people import found_desk, person
from tests.ledger.agreeing import agreed
from tests.stage import booked_days

DESK = Actor.command("test")
PART = (
    "ordinal", "total", "kind", "asset_id", "amount", "mark_id", "haircut_id",
    "instrument_terms_id", "ledger_account_id", "account_seq", "terms",
)  # fmt: skip
RESULT = (
    "scope_id", "agreement_version_id", "equity", "initial_margin", "maintenance_margin", "state",
    "call_amount", "flags", "parameter_set_id", "binding",
)  # fmt: skip


@pytest.fixture(autouse=True)
def rows_unless_asked(settings: Any) -> None:
    """These tests compare the two ways, so the days are run by rows."""
    settings.MARGIN_COLUMNS_FROM = 10**9


@pytest.fixture
def by_rows(db: None, tmp_path: Path) -> MarginRun:
    """The run of the second day of a small firm, kept by rows."""
    booked_days(tmp_path / "firm", accounts=40, seed=4, days=3, booked=2)
    return MarginRun.objects.latest("pk")


def in_columns(run: MarginRun) -> MarginRun:
    """The same run again, in columns."""
    read = read_columns(horizon_id=run.horizon_id, as_of=run.as_of)
    with acting(DESK, reason="The same again"):
        return record_columns(read, business_day=run.business_day, purpose="test")


def said(run: MarginRun) -> dict[int, tuple[Any, ...]]:
    return {row[0]: row for row in run.results.values_list(*RESULT)}


def parts_said(run: MarginRun) -> dict[int, list[tuple[Any, ...]]]:
    found: dict[int, list[tuple[Any, ...]]] = {result.scope_id: [] for result in run.results.all()}
    for part in parts_of(list(run.results.all())):
        found[part.result.scope_id].append(tuple(getattr(part, name) for name in PART))
    return found


def exceptions_said(run: MarginRun) -> list[tuple[Any, ...]]:
    return sorted(run.exceptions.values_list("account_id", "bucket_code", "reason", "detail"))


def test_columns_say_and_open_the_same_as_rows(by_rows: MarginRun) -> None:
    columns = in_columns(by_rows)
    assert (columns.layout, by_rows.layout) == ("columns", "rows")
    assert columns.scope_count == by_rows.scope_count == len(said(columns))
    assert said(columns) == said(by_rows)
    assert parts_said(columns) == parts_said(by_rows)
    assert columns.parameters_sha256 == by_rows.parameters_sha256
    assert exceptions_said(columns) == exceptions_said(by_rows)
    assert not ResultComponent.objects.filter(result__run=columns).exists()


def test_doubted_prices_are_left_to_decimals_in_columns(db: None, tmp_path: Path) -> None:
    third = booked_days(tmp_path / "firm", accounts=40, seed=4, days=3, booked=2)[2]
    desk = found_desk(entity=LegalEntity.objects.get())
    rules = replace(STANDARD_RULES, confidence=replace(STANDARD_RULES.confidence, rate=0.25))
    for code in ("BTC", "BTC-PERP"):
        asked = request_rule(
            kind="price", name=code, values=written_parameters(rules), legal_entity=desk.entity,
            effective_from=date(2031, 3, 5), reason="Agreed on Monday",
            actor=person(desk[Role.RISK]),
        )  # fmt: skip
        agreed(asked, desk[Role.COMPLIANCE])
    stated = [f"confidence,primary,2031-03-05T20:59:00Z,{code},,,,0.8,," for code in
              ("BTC", "BTC-PERP")]  # fmt: skip
    load_market("\n".join([",".join(HEADER), *stated, ""]).encode(), actor=DESK)
    run_day(third)
    by_rows = MarginRun.objects.latest("pk")
    kinds = set(ResultComponent.objects.filter(result__run=by_rows).values_list("kind", flat=True))
    assert kinds >= {"im_doubt", "im_doubt_money", "mm_doubt", "mm_doubt_money"}
    columns = in_columns(by_rows)
    assert columns.layout == "columns"
    assert said(columns) == said(by_rows)
    assert parts_said(columns) == parts_said(by_rows)
    assert replay(columns.number).is_same


def test_a_result_in_columns_explains_itself_as_one_by_rows(by_rows: MarginRun) -> None:
    columns = in_columns(by_rows)
    for result in MarginResult.objects.filter(run=by_rows, equity__gt=0).order_by("-equity")[:5]:
        same = columns.results.get(scope=result.scope_id)
        one, other = as_json(result), as_json(same)
        for name in ("run", "inputs_sha256", "model_sha256"):
            del one[name], other[name]
        assert one == other


def test_a_run_in_columns_replays_to_the_same_hash_after_a_later_day(
    by_rows: MarginRun, tmp_path: Path
) -> None:
    columns = in_columns(by_rows)
    assert replay(columns.number).is_same
    run_day(sorted((tmp_path / "firm").glob("2*"))[2])
    again = replay(columns.number)
    assert again.is_same
    assert replay(by_rows.number).is_same


def test_a_book_that_was_changed_replays_to_another_hash(by_rows: MarginRun) -> None:
    columns = in_columns(by_rows)
    columns.as_of = MarginRun.objects.order_by("pk")[0].as_of
    other = in_columns(columns)
    assert other.inputs_sha256 != MarginRun.objects.get(number=columns.number).inputs_sha256


def test_the_days_cycle_goes_through_columns_from_so_many_scopes_on(
    by_rows: MarginRun, tmp_path: Path, settings: Any
) -> None:
    settings.MARGIN_COLUMNS_FROM = by_rows.scope_count
    run_day(sorted((tmp_path / "firm").glob("2*"))[2])
    run = MarginRun.objects.latest("pk")
    assert (run.layout, run.purpose) == ("columns", "end-of-day")
    read = read_inputs(horizon_id=run.horizon_id, as_of=run.as_of)
    assert len(read.scopes) == run.scope_count
    assert replay(run.number).is_same
    with connection.cursor() as cursor:
        (check,) = check_columns(cursor)
    assert (check.name, check.is_sound, check.rows) == (NAME, True, run.scope_count)


def test_the_same_is_read_in_whichever_order_the_server_gives_it(
    by_rows: MarginRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = in_columns(by_rows)
    monkeypatch.setattr("margin.book.packed_book.ACCOUNTS_AT_ONCE", 7)
    monkeypatch.setattr("margin.column_runs.SCOPES_AT_ONCE", first.scope_count)
    again = in_columns(by_rows)
    assert (again.inputs_sha256, again.result_sha256) == (
        first.inputs_sha256,
        first.result_sha256,
    )


def test_scopes_are_told_apart_in_many_small_blocks(
    by_rows: MarginRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("margin.column_runs.SCOPES_AT_ONCE", 7)
    columns = in_columns(by_rows)
    assert RunBlock.objects.filter(run=columns).count() == 1 + -(-columns.scope_count // 7)
    assert parts_said(columns) == parts_said(by_rows)


def test_what_whole_numbers_cannot_hold_goes_through_decimals(
    by_rows: MarginRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("margin.engine.column_rules.COST_MAX", 10**12)
    columns = in_columns(by_rows)
    odd = [unpacked(bytes(block.content))[1]["odd"] for block in columns.blocks.exclude(ordinal=0)]
    assert 0 < sum(map(len, odd)) < columns.scope_count
    assert said(columns) == said(by_rows)
    assert parts_said(columns) == parts_said(by_rows)
    with connection.cursor() as cursor:
        assert check_columns(cursor)[0].is_sound


def test_a_block_made_when_columns_held_more_still_adds_up(
    by_rows: MarginRun, monkeypatch: pytest.MonkeyPatch, superuser: psycopg.Connection[Any]
) -> None:
    columns = in_columns(by_rows)
    monkeypatch.setattr("margin.engine.column_rules.COST_MAX", 10**12)
    with connection.cursor() as cursor:
        assert check_columns(cursor)[0].is_sound
    perpetual = next(p for p in parts_of(list(columns.results.all())) if p.kind == "im_perpetual")
    superuser.execute("ALTER TABLE margin_marginresult DISABLE TRIGGER ALL")
    superuser.execute(
        "UPDATE margin_marginresult SET initial_margin = initial_margin + 0.01 WHERE id = %s",
        [perpetual.result_id],
    )
    with connection.cursor() as cursor:
        wrong = check_columns(cursor)[0].wrong
    assert wrong is not None
    assert wrong.key == str(perpetual.result_id)


def test_a_result_that_its_parts_do_not_add_up_to_is_found(
    by_rows: MarginRun, superuser: psycopg.Connection[Any]
) -> None:
    columns = in_columns(by_rows)
    with connection.cursor() as cursor:
        assert check_columns(cursor)[0].is_sound
    result = columns.results.order_by("pk")[3]
    superuser.execute("ALTER TABLE margin_marginresult DISABLE TRIGGER ALL")
    superuser.execute(
        "UPDATE margin_marginresult SET equity = equity + 0.00000001 WHERE id = %s", [result.pk]
    )
    with connection.cursor() as cursor:
        (check,) = check_columns(cursor)
    assert check.wrong is not None
    assert (check.wrong.table, check.wrong.key) == ("margin_marginresult", str(result.pk))


@pytest.mark.parametrize("layout", ["rows", "columns"])
def test_parts_that_are_kept_in_the_other_way_are_found(by_rows: MarginRun, layout: str) -> None:
    run = {"rows": by_rows, "columns": in_columns(by_rows)}[layout]
    with connection.cursor() as cursor:
        assert check_columns(cursor)[0].is_sound
    with acting(DESK, reason="Parts that nobody reads"):
        if layout == "rows":
            found: Any = RunBlock.objects.create(
                run=run, ordinal=0, first_scope=0, last_scope=0, scope_count=0,
                content=b"something", content_sha256=sha256(b"something").hexdigest(),
            )  # fmt: skip
        else:
            found = ResultComponent.objects.create(
                result=run.results.order_by("pk")[0], ordinal=1, total="initial_margin",
                kind="crowding", amount=1, terms={"rate": "0.5"},
            )  # fmt: skip
    with connection.cursor() as cursor:
        (check,) = check_columns(cursor)
    assert check.wrong is not None
    assert (check.wrong.table, check.wrong.key) == (found._meta.db_table, str(found.pk))


def run_of_nothing(like: MarginRun) -> MarginRun:
    kept = {field.attname: getattr(like, field.attname) for field in like._meta.concrete_fields}
    for name in ("id", "xid", "finished_at"):
        del kept[name]
    with acting(DESK, reason="A run that says nothing yet"):
        return MarginRun.objects.create(**kept | {"number": "MR-X", "scope_count": 0})


@pytest.mark.parametrize(
    "column", ["scope_id", "run_id", "agreement_version_id", "parameter_set_id"]
)
def test_a_result_of_what_is_not_there_is_refused(by_rows: MarginRun, column: str) -> None:
    one = by_rows.results.order_by("pk")[0]
    row = MarginResult(run=run_of_nothing(by_rows), **{n: getattr(one, n) for n in RESULT})
    setattr(row, column, 10**9)
    before = MarginResult.objects.count()
    with pytest.raises(RefusedError) as refused, acting(DESK, reason="A result of nothing"):
        row.save(force_insert=True)
    assert refused.value.rule == "results_name_what_is_there"
    assert MarginResult.objects.count() == before


@pytest.mark.parametrize("scope_id", [-1, 10**9])
def test_one_scope_that_is_not_there_among_many_is_refused(
    by_rows: MarginRun, scope_id: int
) -> None:
    """In whatever order results come; where all are there, they are taken in that order too."""
    empty = run_of_nothing(by_rows)
    rows = [
        MarginResult(run=empty, **{n: getattr(one, n) for n in RESULT})
        for one in by_rows.results.order_by("-scope")
    ]
    before, there = MarginResult.objects.count(), rows[len(rows) // 2].scope_id
    rows[len(rows) // 2].scope_id = scope_id
    with pytest.raises(RefusedError) as refused, acting(DESK, reason="One result of nothing"):
        copy_rows(rows)
    assert refused.value.rule == "results_name_what_is_there"
    assert MarginResult.objects.count() == before
    rows[len(rows) // 2].scope_id = there
    for row in rows:
        row.pk = None
    with acting(DESK, reason="Results of what is there"):
        copy_rows(rows)
    assert MarginResult.objects.count() == before + len(rows)


def test_a_block_that_is_not_what_its_hash_says_is_refused(by_rows: MarginRun) -> None:
    with (
        pytest.raises(RefusedError) as refused,
        acting(DESK, reason="A block of something else"),
    ):
        RunBlock.objects.create(
            run=by_rows, ordinal=0, first_scope=0, last_scope=0, scope_count=0,
            content=b"something", content_sha256="0" * 64,
        )  # fmt: skip
    assert refused.value.rule == "block_is_what_its_hash_says"
    assert not RunBlock.objects.exists()
