"""Everything that is held, from two scans of tables: who an account is of, and what is on it.

Neither scan joins anything, and amounts come in units of 10^-9 whatever their asset's last decimal
is, which is what the server makes soonest. Pages with a number that these units cannot hold are
asked for again, number by number in the units of its asset; the others stay as they came.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from django.db import DataError, connection, transaction

from accounts.agreed_terms import IN_FORCE_IDS
from accounts.packed import joined_numbers
from margin.book.packed_book import (
    ASSET_BITS,
    COSTS,
    HELD,
    KEY,
    ODD,
    UNITS,
    Ask,
    as_whole,
    whole_numbers,
)
from margin.engine.column_ground import SCALE_MAX
from margin.engine.column_rules import COST_DECIMALS
from margin.engine.wide import Ints

PAGES_AT_ONCE: Final = 2_048
TENS: Final = np.array([10**n for n in range(SCALE_MAX + 1)], dtype=np.int64)
UNITS_MAX: Final = 10**17
COSTS_MAX: Final = 10**15
# A table of all ids is made where it is not much longer than there are ids.
SPARSE: Final = 8

ACCOUNTS: Final = f"""
    SELECT {joined_numbers("int8send", "x.id")}, {joined_numbers("int8send", KEY)}
    FROM ledger_ledgeraccount x
    WHERE x.ctid >= %(low)s::tid AND x.ctid < %(high)s::tid AND x.account_class IN {HELD}
"""  # noqa: S608 - fixed texts
WHOLE: Final = ("x.account_id", "x.seq", f"(x.amount * {10**SCALE_MAX})::int8",
                f"(coalesce(x.average_cost, 0) * {10**COST_DECIMALS})::int8")  # fmt: skip
# Scopes, and what says whose they are and under which terms.
SCOPE_TABLES: Final = (
    ("id", "bucket_id", "accounts_scope"),
    ("id", "account_id", "accounts_bucket"),
    ("id", "(mode = 'cash')::int", "accounts_marginaccount"),
    ("account_id", "id", f"({IN_FORCE_IDS})"),
)
BALANCES: Final = f"""
    SELECT {", ".join(joined_numbers("int8send", each) for each in WHOLE)},
           coalesce(max(scale(x.average_cost)), 0)
    FROM ledger_balance x
    WHERE x.ctid >= %(low)s::tid AND x.ctid < %(high)s::tid AND x.amount <> 0
"""  # noqa: S608 - fixed texts
IN_UNITS: Final = f"""
    SELECT {", ".join(joined_numbers("int8send", each) for each in ("x.id", "x.seq", UNITS, COSTS))}
    FROM (SELECT b.account_id AS id, b.seq, b.amount, b.average_cost, a.scale
          FROM ledger_balance b JOIN ledger_ledgeraccount a ON a.id = b.account_id
          WHERE b.ctid >= %(low)s::tid AND b.ctid < %(high)s::tid AND b.amount <> 0) x
"""  # noqa: S608 - fixed texts


class Pages(NamedTuple):
    """A stretch of pages of a table, as addresses of rows: from one to below another."""

    low: str
    high: str


def stretches(table: str) -> Iterator[Pages]:
    """All pages of a table, so many at once; the last stretch has no end."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_relation_size(%s::regclass) / current_setting('block_size')::bigint", [table]
        )
        (pages,) = cursor.fetchone()
    ends = [*range(PAGES_AT_ONCE, pages, PAGES_AT_ONCE), 2**32 - 1]
    for low, high in zip([0, *ends], ends, strict=False):
        yield Pages(f"({low},0)", f"({high},0)")


class Amounts(NamedTuple):
    """Balances of some pages; (N,) each.

    Attributes:
        are_units: amounts are in units of their assets' last decimals, else of 10^-9.
    """

    ids: Ints
    seqs: Ints
    amounts: Ints
    costs: Ints
    are_units: bool


def scopes_now(terms_asked: Mapping[str, object]) -> list[Callable[[Ask], list[Ints]]]:
    """Jobs that read what `scopes_of` joins."""
    return [
        whole_numbers(
            f"SELECT {joined_numbers('int8send', one)}, {joined_numbers('int8send', other)}"  # noqa: S608 - fixed texts
            f" FROM {table} x",
            terms_asked,
        )
        for one, other, table in SCOPE_TABLES
    ]


def scopes_of(read: Sequence[list[Ints]]) -> list[Ints]:
    """Scopes with bucket, account and terms, as the query of some scopes gives them."""
    (ids, buckets), accounts, modes, versions = read
    account = finder(*accounts)(buckets)
    version = np.maximum(finder(*versions)(account), 0)
    return [ids, buckets, account, version * 2 + finder(*modes)(account)]


def accounts_on(pages: Pages) -> Callable[[Ask], list[Ints]]:
    """A job that reads ledger accounts, and of which bucket and asset each is."""
    return whole_numbers(ACCOUNTS, pages._asdict())


def balances_on(pages: Pages) -> Callable[[Ask], Amounts]:
    """A job that reads what is on the accounts whose balances stand on some pages."""
    return lambda ask: _balances(ask, pages)


def _balances(ask: Ask, pages: Pages) -> Amounts:
    try:
        with transaction.atomic():
            *columns, decimals = ask(BALANCES, pages._asdict())
    except DataError:  # an amount beyond 64 bits
        decimals = COST_DECIMALS + 1
    if decimals > COST_DECIMALS:
        ids, seqs, amounts, costs = as_whole(ask(IN_UNITS, pages._asdict()))
        return Amounts(ids, seqs, amounts, costs, are_units=True)
    ids, seqs, amounts, costs = as_whole(columns)
    return Amounts(
        ids, seqs, amounts, np.where(np.abs(costs) < COSTS_MAX, costs, ODD), are_units=False
    )


def in_units(amounts: Ints, scales: Ints) -> Ints:
    """Amounts in units of 10^-9 in units of 10^-scale; ODD where they are too large or fine."""
    fits = scales <= SCALE_MAX
    units, left = np.divmod(amounts, TENS[np.where(fits, SCALE_MAX - scales, 0)])
    return np.where(fits & (left == 0) & (np.abs(units) < UNITS_MAX), units, ODD)


class Book(NamedTuple):
    """What is held, (N,) each: `KEY`, ledger account, newest posting, units and average cost."""

    keys: Ints
    ids: Ints
    seqs: Ints
    units: Ints
    costs: Ints


def joined(accounts: list[list[Ints]], balances: list[Amounts], *, scales: Ints) -> Book:
    """Balances of accounts that stand in a bucket, with what their accounts say.

    Args:
        scales: decimals by id of the asset.
    """
    ids, keys = (np.concatenate(column) for column in zip(*accounts, strict=True))
    key_of = finder(ids, keys)
    parts = []
    for each in balances:
        key = key_of(each.ids)
        kept = np.flatnonzero(key >= 0)
        key, units = key[kept], each.amounts[kept]
        if not each.are_units:
            units = in_units(units, scales[(key >> 1) & ((1 << ASSET_BITS) - 1)])
        parts.append(Book(key, each.ids[kept], each.seqs[kept], units, each.costs[kept]))
    return Book(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def finder(ids: Ints, said: Ints) -> Callable[[Ints], Ints]:
    """What finds what is said of each id; -1 where nothing is."""
    if not len(ids):
        return lambda wanted: np.full(len(wanted), -1, dtype=np.int64)
    first, last = int(ids.min()), int(ids.max())
    if last - first > SPARSE * len(ids):
        order = np.argsort(ids)
        listed, sorted_said = ids[order], said[order]

        def looked_for(wanted: Ints) -> Ints:
            found = np.minimum(np.searchsorted(listed, wanted), len(listed) - 1)
            return np.where(listed[found] == wanted, sorted_said[found], -1)

        return looked_for
    table = np.full(last - first + 1, -1, dtype=np.int64)
    table[ids - first] = said

    def taken(wanted: Ints) -> Ints:
        there = (wanted >= first) & (wanted <= last)
        return np.where(there, table[np.where(there, wanted - first, 0)], -1)

    return taken
