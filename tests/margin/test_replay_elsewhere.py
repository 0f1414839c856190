"""A run repeats on a copy of the book elsewhere; what was changed since does not go unseen."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pytest

from accounts.models import Agreement, LegalEntity
from brokerage.inbox.cycle import run_day
from brokerage.synthetic import DEMO, write_firm
from margin.models import MarginRun
from margin.runs import replay
from tests.accounts.people import found_desk
from tests.brokerage.test_backup import Place, place
from tests.history.tampering import tamper
from tests.margin.under_models import used_by
from tests.stage import booked_days, staged

__all__ = ["place"]
DAY = date(2031, 3, 4)

# One bit of something that the run read, there and back again.
FLIPS = {
    "the price of a mark": (
        "margin_mark",
        "SET price = price {sign} 0.01 WHERE as_of = '{as_of}' AND asset_id ="
        " (SELECT id FROM ledger_asset WHERE code = 'BTC')",
    ),
    "the amount of a posting": (
        "ledger_posting",
        "SET amount = amount {sign} 0.01 WHERE (account_id, account_seq) = (SELECT account_id,"
        " account_seq FROM ledger_posting p JOIN ledger_ledgeraccount a ON a.id = p.account_id"
        " WHERE a.account_class = 'claim' AND a.bucket_id IN (SELECT bucket_id FROM accounts_scope)"
        " ORDER BY 1, 2 LIMIT 1)",
    ),
    "the balance of a posting": (
        "ledger_posting",
        "SET balance_after = balance_after {sign} 0.01 WHERE (account_id, account_seq) ="
        " (SELECT account_id, account_seq FROM ledger_posting p"
        " JOIN ledger_ledgeraccount a ON a.id = p.account_id"
        " WHERE a.account_class = 'claim' AND a.bucket_id IN (SELECT bucket_id FROM accounts_scope)"
        " ORDER BY 1, 2 DESC LIMIT 1)",
    ),
    "a parameter that decides": (
        "margin_parameterset",
        "SET values = jsonb_set(values, '{{shock}}', to_jsonb((values ->> 'shock')::numeric"
        " {sign} 0.01))",
    ),
    "a haircut": (
        "margin_haircut",
        "SET haircut = haircut {sign} 0.01 WHERE haircut > 0.02",
    ),
    "a level of the agreement": (
        "accounts_agreementversion",
        "SET call_level = call_level {sign} 0.01",
    ),
}


@pytest.fixture
def run(db: None, tmp_path: Path) -> MarginRun:
    """A run of some scopes under the delta margin and others under house rules."""
    days = booked_days(tmp_path / "firm", accounts=30, seed=4, days=2, booked=1)

    def build() -> None:
        desk = found_desk(entity=LegalEntity.objects.get())
        used_by(desk, Agreement.objects.get(code="STD"), "delta", DAY)
        run_day(days[1])

    staged("standard agreement under delta, no desk", build)
    return MarginRun.objects.get(business_day=DAY)


@pytest.mark.parametrize("what", FLIPS)
def test_one_changed_input_is_refused_or_gives_another_hash(
    run: MarginRun, superuser: psycopg.Connection[Any], what: str
) -> None:
    table, change = FLIPS[what]
    as_of = run.as_of.isoformat()
    there, back = (f"UPDATE {table} {change.format(sign=s, as_of=as_of)}" for s in "+-")
    assert replay(run.number).is_same
    # No privilege passes the guards.
    with pytest.raises(psycopg.Error), superuser.transaction():
        superuser.execute(there)
    superuser.execute("SET session_replication_role = 'replica'")
    with pytest.raises(psycopg.Error), superuser.transaction():
        superuser.execute(there)
    superuser.execute("RESET session_replication_role")
    assert replay(run.number).is_same
    # Whoever takes the guards away changes what the run reads.
    tamper(superuser, there)
    changed = replay(run.number)
    assert not changed.has_same_inputs
    assert not changed.is_same
    tamper(superuser, back)
    assert replay(run.number).is_same


def test_an_amount_that_no_balance_shows_is_named(
    run: MarginRun, superuser: psycopg.Connection[Any]
) -> None:
    table, change = FLIPS["the amount of a posting"]
    (account,) = superuser.execute(
        "SELECT min(a.id) FROM ledger_ledgeraccount a JOIN ledger_posting p ON p.account_id = a.id"
        " WHERE a.account_class = 'claim' AND a.bucket_id IN (SELECT bucket_id FROM accounts_scope)"
    ).fetchone() or (None,)
    tamper(superuser, f"UPDATE {table} {change.format(sign='+', as_of='')}")
    changed = replay(run.number)
    assert changed.unproved == (account,)
    assert changed.inputs_sha256 == run.inputs_sha256


def test_a_restored_copy_elsewhere_repeats_its_runs_to_the_same_hash(
    place: Callable[[], Place],
    tmp_path: Path,
) -> None:
    (day,) = write_firm(
        tmp_path / "inbox", accounts=20, seed=12, first_day=date(2031, 3, 3), days=1, profile=DEMO
    )
    here, there, file = place(), place(), tmp_path / "book.tar"
    code, _, complaint = here.manage("setup")
    assert code == 0, complaint
    here.answer("cycle", "--inbox", str(day), "--json")
    said = here.answer("replay", "MR-310303-1", "--json")
    assert (said["same"], said["balances_not_proved"]) == (True, [])
    code, _, complaint = here.manage("backup", str(file))
    assert code == 0, complaint
    there.answer("restore", str(file), "--json")
    assert there.var != here.var
    assert there.answer("replay", "MR-310303-1", "--json") == said
