"""Amounts and ids as a scan of a whole book brings them."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.models import Balance
from margin.book.columns import read_columns
from margin.book.packed_book import ODD
from margin.book.scan import COSTS_MAX, UNITS_MAX, finder, in_units
from margin.models import MarginRun
from tests.stage import booked_days

NANOS = st.integers(min_value=-(2**63) + 1, max_value=2**63 - 1)


@given(st.lists(st.tuples(NANOS, st.integers(0, 18)), max_size=20))
def test_amounts_come_in_units_of_their_scale_or_are_odd(drawn: list[tuple[int, int]]) -> None:
    amounts = np.array([amount for amount, _ in drawn], dtype=np.int64)
    scales = np.array([scale for _, scale in drawn], dtype=np.int64)
    for units, (amount, scale) in zip(in_units(amounts, scales).tolist(), drawn, strict=True):
        whole, left = divmod(amount, 10 ** max(9 - scale, 0))
        fits = scale <= 9 and left == 0 and abs(whole) < UNITS_MAX
        assert units == (whole if fits else ODD)


IDS = st.lists(st.integers(-(10**12), 10**12), unique=True, max_size=20)
NEAR = st.lists(st.integers(-30, 30), unique=True, max_size=20)


@pytest.mark.parametrize("ids", [IDS, NEAR], ids=["far_apart", "side_by_side"])
def test_what_is_said_of_an_id_is_found_or_nothing_is(ids: st.SearchStrategy[list[int]]) -> None:
    @given(ids, NEAR)
    def found(known: list[int], others: list[int]) -> None:
        said = {pk: 7 * n for n, pk in enumerate(known)}
        find = finder(np.array(known, dtype=np.int64), np.array([*said.values()], dtype=np.int64))
        wanted = [*known, *others]
        answers = find(np.array(wanted, dtype=np.int64)).tolist()
        assert answers == [said.get(pk, -1) for pk in wanted]

    found()


@pytest.fixture
def by_rows(db: None, tmp_path: Path) -> MarginRun:
    """The run of a small firm's second day."""
    booked_days(tmp_path / "firm", accounts=40, seed=4, days=3, booked=2)
    return MarginRun.objects.latest("pk")


CASES = {
    "beyond_64_bits": ("claim", "amount = -12345678901.23", "scale = 2"),
    "finer_than_columns_hold": ("claim", "amount = -0.000000000000000001", "scale = 18"),
    "a_cost_with_nine_decimals": ("position", "average_cost = 1.123456789", "scale = scale"),
    "a_cost_beyond_columns": ("position", "average_cost = 12345678.5", "scale = scale"),
}


@pytest.mark.parametrize("case", CASES)
def test_every_balance_is_read_as_it_stands_or_is_odd(
    by_rows: MarginRun, superuser: psycopg.Connection[Any], case: str
) -> None:
    kind, change, scale = CASES[case]
    row = superuser.execute(
        "SELECT a.id, a.asset_id FROM ledger_ledgeraccount a JOIN ledger_balance b"
        " ON b.account_id = a.id WHERE a.account_class = %s AND b.amount <> 0"
        " AND EXISTS (SELECT FROM accounts_scope s WHERE s.bucket_id = a.bucket_id)"
        " ORDER BY a.id LIMIT 1",
        [kind],
    ).fetchone()
    assert row is not None
    account, asset = row
    superuser.execute("DROP EVENT TRIGGER guards_stay_on")
    for table in ("ledger_balance", "ledger_ledgeraccount", "ledger_asset"):
        superuser.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL".encode())
    superuser.execute(
        f"UPDATE ledger_balance SET {change} WHERE account_id = %s".encode(), [account]
    )
    for table, column in (("ledger_ledgeraccount", "asset_id"), ("ledger_asset", "id")):
        superuser.execute(f"UPDATE {table} SET {scale} WHERE {column} = %s".encode(), [asset])
    superuser.commit()
    read = read_columns(horizon_id=by_rows.horizon_id, as_of=by_rows.as_of)
    found = {
        ledger_account: (units, cost)
        for ledger_account, units, cost in zip(
            read.held.ledger_accounts.tolist(),
            read.held.units.tolist(),
            read.held.costs.tolist(),
            strict=True,
        )
    }
    buckets = set(read.scopes.buckets.tolist())
    expected = {
        each.account_id: (
            in_whole(-each.amount, each.account.scale, most=UNITS_MAX, finest=9),
            in_whole(each.average_cost or Decimal(0), 8, most=COSTS_MAX, finest=8),
        )
        for each in Balance.objects.exclude(amount=0)
        .filter(account__account_class__in=["claim", "position"])
        .select_related("account")
        if each.account.bucket_id in buckets
    }
    assert found == expected
    assert (ODD in found[account]) == (account in read.odd)
    assert (case == "beyond_64_bits") != (ODD in found[account])


def in_whole(value: Decimal, scale: int, *, most: int, finest: int) -> int:
    units = value.scaleb(scale)
    fits = scale <= finest and units == units.to_integral_value() and abs(units) < most
    return int(units) if fits else ODD
