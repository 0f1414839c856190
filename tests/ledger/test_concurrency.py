"""Many at once: no more is drawn than is there, and what is asked twice happens once."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from threading import Barrier, Event
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from ledger.models import Entry, Posting, ReleaseUse
from ledger.posting import Draft
from tests.ledger.book import Book
from tests.ledger.history import RUNNING, SEEN, wrong_history

Connection = psycopg.Connection[Any]
Connect = Callable[[str], Connection]
ACT = "SELECT accounts.act('system:job:test-desk', NULL, 'job', '', 'Many at once')"


@contextmanager
def act(connection: Connection) -> Iterator[None]:
    """A transaction in which a machine acts."""
    with connection.transaction():
        connection.execute(ACT)
        yield


def post(connection: Connection, *drafts: Draft, release: str | None = None) -> list[Any]:
    """Post in the transaction that is open: ordinal, entry, whether it is new."""
    batch = [draft.content() | ({"release": release} if release else {}) for draft in drafts]
    query = "SELECT * FROM ledger.post_entries(%s::jsonb) ORDER BY 1"
    return connection.execute(query, [json.dumps(batch)]).fetchall()


def try_act(connection: Connection, work: Callable[[], Any]) -> Any:
    """What an act of its own gives, or the rule that refused it; nothing else may happen."""
    try:
        with act(connection):
            return work()
    except psycopg.errors.IntegrityError as refusal:
        return str(refusal.diag.constraint_name)


def watch(connection: Connection, stop: Event) -> tuple[int, list[Any]]:
    """Look at the whole book until told to stop: how often, and what was wrong."""
    looks, seen = 0, []
    while not seen and (not looks or not stop.is_set()):
        seen = connection.execute(SEEN).fetchall()
        looks += 1
    return looks, seen


def in_parallel(works: list[Callable[[], Any]], *, reader: Connection) -> list[Any]:
    """What each work gives, all at once, while somebody watches the book."""
    stop = Event()
    with ThreadPoolExecutor(len(works) + 1) as pool:
        watched = pool.submit(watch, reader, stop)
        try:
            results = [done.result() for done in [pool.submit(work) for work in works]]
        finally:
            stop.set()
        looks, seen = watched.result()
    assert seen == []
    assert looks > 0
    return results


# ---------------------------------------------------------------- one balance, many hands


def test_a_hundred_withdrawals_get_what_is_there_and_no_more(book: Book, connect: Connect) -> None:
    bucket = book.buckets["bob"].pk

    def withdraw(connection: Connection, draft: Draft) -> Any:
        # As margin does: hold everything, look at how the bucket stands, release, post.
        held = connection.execute(
            "SELECT l.account_id, l.seq FROM ledger.lock_balances(%s, %s) l",
            [[book["client_bank"]], [bucket]],
        ).fetchall()
        version = sum(seq for account, seq in held if account != book["client_bank"])
        release = str(uuid4())
        connection.execute(
            "INSERT INTO ledger_release (id, bucket_id, kind_id, asset_id, amount, price_snapshot,"
            " scope_version, binding_term) VALUES (%s, %s, 'withdrawal', %s, 50, '', %s, '')",
            [release, bucket, book.assets["USD"].pk, version],
        )
        return post(connection, draft, release=release)

    def work(connection: Connection, drafts: list[Draft]) -> list[Any]:
        return [try_act(connection, partial(withdraw, connection, d)) for d in drafts]

    works = []
    for _ in range(20):
        drafts = [book.draft("withdrawal", ("bob", "50"), ("client_bank", "-50")) for _ in range(5)]
        works.append(partial(work, connect("runtime"), drafts))
    results = [r for given in in_parallel(works, reader=connect("runtime")) for r in given]

    refusals = Counter(result for result in results if isinstance(result, str))
    assert refusals == {"claim_not_below_zero": 60}
    assert book.balance("bob") == 0
    assert ReleaseUse.objects.count() == 40
    assert wrong_history(connect("runtime")) == {}


def test_history_shows_what_the_end_hides(connect: Connect) -> None:
    """The check itself: a book that looks before it writes is caught, though its end is right."""
    owner = connect("owner")
    owner.execute("CREATE TABLE scratch_account (id bigint, account_class text)")
    owner.execute(
        "CREATE TABLE scratch_posting (account_id bigint,"
        " account_seq bigint GENERATED ALWAYS AS IDENTITY, amount numeric, balance_after numeric)"
    )
    owner.execute("INSERT INTO scratch_account VALUES (1, 'claim')")
    running = RUNNING.format(postings="scratch_posting", accounts="scratch_account")

    def naive(connection: Connection, amount: int) -> None:
        total = "(SELECT coalesce(sum(amount), 0) FROM scratch_posting)"
        query = "INSERT INTO scratch_posting (account_id, amount, balance_after)"
        connection.execute(f"{query} SELECT 1, %s, {total} + %s", [amount, amount])

    naive(owner, -100)
    assert owner.execute(running).fetchall() == []
    one, other = connect("owner"), connect("owner")
    with one.transaction(), other.transaction():
        naive(one, 80)  # each sees 100 and leaves 20
        naive(other, 80)
    naive(owner, -60)
    assert owner.execute("SELECT sum(amount) FROM scratch_posting").fetchone() == (0,)
    assert owner.execute(running).fetchall() == [(1, 3)]


# ---------------------------------------------------------------- one key, many hands


def test_one_key_in_twenty_hands_is_one_entry(book: Book, connect: Connect) -> None:
    draft = book.draft("deposit", ("client_bank", "5"), ("alice", "-5"), key="one")
    together = Barrier(20)

    def work(connection: Connection) -> Any:
        together.wait()
        return try_act(connection, partial(post, connection, draft))

    works = [partial(work, connect("runtime")) for _ in range(20)]
    results = in_parallel(works, reader=connect("runtime"))
    entries = {entry for ((_, entry, _),) in results}
    assert len(entries) == 1
    assert sorted(is_new for ((_, _, is_new),) in results) == [False] * 19 + [True]
    assert book.balance("alice") == -1005


def test_who_waits_for_a_key_gets_the_first_entry(book: Book, connect: Connect) -> None:
    first, second = connect("runtime"), connect("runtime")
    draft = book.draft("deposit", ("client_bank", "5"), ("alice", "-5"), key="one")
    other = Draft(**{**vars(draft), "reference": "R-2"})
    with ThreadPoolExecutor(1) as pool:
        with act(first):
            ((_, entry, _),) = post(first, draft)
            waiting = pool.submit(try_act, second, partial(post, second, draft))
        assert waiting.result() == [(1, entry, False)]
    assert try_act(second, partial(post, second, other)) == "key_names_one_content"


def test_a_key_is_free_again_when_its_first_hand_gives_up(book: Book, connect: Connect) -> None:
    first, second = connect("runtime"), connect("runtime")
    draft = book.draft("deposit", ("client_bank", "5"), ("alice", "-5"), key="one")
    with ThreadPoolExecutor(1) as pool:
        with act(first):
            post(first, draft)
            waiting = pool.submit(try_act, second, partial(post, second, draft))
            raise psycopg.Rollback
        ((_, entry, is_new),) = waiting.result()
    assert (Entry.objects.latest("id").pk, is_new) == (entry, True)
    assert book.balance("alice") == -1005


# ---------------------------------------------------------------- locks


def test_legs_in_any_order_do_not_wait_in_a_ring(book: Book, connect: Connect) -> None:
    there = [("alice", "1"), ("client_bank", "-1")], [("carol", "1"), ("carol_bank", "-1")]

    def work(connection: Connection, number: int) -> int:
        for _ in range(40):
            drafts = [book.draft("withdrawal", *legs[:: 1 - 2 * (number % 2)]) for legs in there]
            with act(connection):
                post(connection, *drafts[:: 1 - 2 * (number % 2)])
        return 40

    works = [partial(work, connect("runtime"), n) for n in range(6)]
    assert sum(in_parallel(works, reader=connect("runtime"))) == 240
    assert (book.balance("alice"), book.balance("carol")) == (-760, -60)


def test_a_bucket_that_is_held_gets_no_new_account(book: Book, connect: Connect) -> None:
    holder, opener = connect("runtime"), connect("runtime")
    opener.execute("SET lock_timeout = '1ms'")
    euro = connect("owner").execute
    with act(holder):
        holder.execute("INSERT INTO ledger_asset (code, kind, scale) VALUES ('EUR', 'money', 2)")
    (asset,) = euro("SELECT id FROM ledger_asset WHERE code = 'EUR'").fetchone() or (0,)
    new = {
        "pool": book.pools["CLIENT"].pk, "asset": asset, "class": "claim",
        "bucket": book.buckets["bob"].pk,
    }  # fmt: skip
    open_new = "SELECT * FROM ledger.open_accounts(%s::jsonb)"
    with act(holder):
        holder.execute("SELECT ledger.lock_balances('{}', %s)", [[new["bucket"]]])
        with pytest.raises(psycopg.errors.LockNotAvailable), act(opener):
            opener.execute(open_new, [json.dumps([new])])
    with act(opener):
        opener.execute(open_new, [json.dumps([new])])
        holder.execute("SET lock_timeout = '1ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable), act(holder):
            holder.execute("SELECT ledger.lock_balances('{}', %s)", [[new["bucket"]]])


# ---------------------------------------------------------------- death


@pytest.mark.parametrize("in_the_middle", [False, True], ids=["posted", "half posted"])
def test_who_dies_before_the_commit_leaves_nothing(
    book: Book, connect: Connect, superuser: Connection, in_the_middle: bool
) -> None:
    drafts = [book.draft("deposit", ("client_bank", "5"), ("alice", "-5")) for _ in range(3)]
    before, postings = book.digest(), Posting.objects.count()
    doomed = connect("runtime")
    doomed.execute("BEGIN")
    doomed.execute(ACT)
    post(doomed, *drafts[:2])
    if in_the_middle:
        post(doomed, drafts[2])
    (pid,) = doomed.execute("SELECT pg_backend_pid()").fetchone() or (0,)
    superuser.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
    with pytest.raises(psycopg.OperationalError):
        doomed.execute("COMMIT")
    assert (book.digest(), Posting.objects.count()) == (before, postings)
    book.post_drafts(*drafts)
    assert book.balance("alice") == -1015
