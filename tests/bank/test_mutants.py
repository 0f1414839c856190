"""Every book that is broken on purpose is found out, by the bank's tellers or by the attacks."""

import os
from collections.abc import Callable
from random import Random
from typing import Any

import psycopg
import pytest

from brokerage.attacks import attack
from tests.bank.bank import run_bank
from tests.bank.firm import found_bank
from tests.bank.mutants import LOCKS, MUTANTS, Mutant, MutantDoesNotFitError

Connection = psycopg.Connection[Any]
Connect = Callable[[str], Connection]
OPERATIONS = 800
# What only a race shows is given more of them.
RACES = {mutant.name: 20 * OPERATIONS for mutant in LOCKS}
SAMPLE = 2


def caught(mutant: Mutant, connect: Connect, chance: Random) -> str | None:
    """Who found out that the book is broken, and after how much; None if nobody did."""
    book = found_bank()
    mutant.apply(connect("superuser"))
    outcome = run_bank(
        book,
        connect,
        seed=str(chance.random()),
        stops_at_first=True,
        operations=RACES.get(mutant.name, OPERATIONS),
    )
    if outcome.violations:
        return f"the bank, {outcome.violations[0]}"
    report = attack()
    if report.accepted:
        return f"the attacks, accepted: {report.accepted[0].rule}"
    if report.broken:
        broken, why = report.broken[0]
        return f"the attacks, {broken.rule} was refused otherwise: {why}"
    return None


def test_every_mutant_still_fits(db: None, connect: Connect) -> None:
    superuser = connect("superuser")
    assert len(MUTANTS) >= 20
    misfits = []
    for mutant in MUTANTS.values():
        try:
            with superuser.transaction(force_rollback=True):
                mutant.apply(superuser)
        except MutantDoesNotFitError as misfit:
            misfits.append(str(misfit))
    assert misfits == []


def test_a_mutant_that_changes_nothing_is_refused(db: None, connect: Connect) -> None:
    superuser = connect("superuser")
    for rotten in (
        Mutant("gone", ("DROP TRIGGER posting_0_is_gone ON ledger_posting",)),
        Mutant("other words", rewrites=(("ledger.balance_stays()", "no such words", ""),)),
        Mutant("no function", rewrites=(("ledger.nothing()", "x", "y"),)),
    ):
        with pytest.raises(MutantDoesNotFitError):
            rotten.apply(superuser)


@pytest.mark.parametrize("nth", range(SAMPLE))
def test_a_book_that_is_broken_is_found_out(
    db: None, connect: Connect, chance: Random, nth: int
) -> None:
    names = sorted(MUTANTS)
    Random(os.environ["SEED"]).shuffle(names)
    assert caught(MUTANTS[names[nth]], connect, chance), names[nth]


@pytest.mark.soak
@pytest.mark.parametrize("name", MUTANTS)
def test_every_book_that_is_broken_is_found_out(
    db: None, connect: Connect, chance: Random, name: str
) -> None:
    found = caught(MUTANTS[name], connect, chance)
    print(f"\n| {name} | {found} |")  # noqa: T201
    assert found
