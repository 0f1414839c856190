"""Entries one by one, in batches and staged: three ways into the book that leave the same book."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal

import pytest
from django.db import connection, connections

from accounts.audit import RefusedError, acting
from brokerage.digest import digest
from ledger.models import Entry, EntryKey, StagedDraft
from ledger.posting import Draft, post_entries, post_entry
from ledger.staging import Staged, post_staged
from tests.cluster import Cluster
from tests.ledger.book import DESK, Book, found_book

ONE = Decimal(1)

Path = Callable[[list[Draft]], object]


def one_by_one(drafts: list[Draft]) -> None:
    for draft in drafts:
        with acting(DESK, reason="One entry"):
            post_entry(draft)


def in_batches(drafts: list[Draft]) -> None:
    for start in range(0, len(drafts), 7):
        with acting(DESK, reason="A batch"):
            post_entries(drafts[start : start + 7])


def staged(drafts: list[Draft], *, chunk: int = 9) -> Staged:
    return post_staged(drafts, actor=DESK, reason="The day's end", chunk=chunk)


def some_drafts(book: Book, chance: random.Random, *, many: int) -> list[Draft]:
    """Deposits, fees, moves and trades of three clients, some of them asked for twice."""
    drafts: list[Draft] = []
    for number in range(many):
        who = chance.choice(("alice", "bob", "carol"))
        bank = "carol_bank" if who == "carol" else "client_bank"
        amount = f"{chance.randrange(1, 400) / 100:.2f}"
        key = f"path:{number}"
        drafts.append(
            chance.choice((
                book.draft("deposit", (bank, amount), (who, f"-{amount}"), key=key),
                book.draft("custody_move", ("client_bank", "-1"), ("venue", "1"), key=key),
                book.draft("fee", (who, amount), ("residual", f"-{amount}"), key=key),
                book.draft("derivative_trade", *book.contracts("alice", ONE, "100"), key=key),
            ))
        )  # fmt: skip
        if chance.random() < 0.2:
            drafts.append(drafts[-1])
    return drafts


@contextmanager
def fresh_database(cluster: Cluster) -> Iterator[None]:
    name, before = cluster.clone(), connection.settings_dict["NAME"]
    connections.close_all()
    connection.settings_dict["NAME"] = name
    try:
        yield
    finally:
        connections.close_all()
        connection.settings_dict["NAME"] = before
        cluster.drop(name)


def test_every_path_leaves_the_same_book(db: None, cluster: Cluster, chance: random.Random) -> None:
    said = []
    seed = chance.random()
    for path in (one_by_one, in_batches, staged):
        with fresh_database(cluster):
            book = found_book()
            path(some_drafts(book, random.Random(seed), many=40))
            tables = digest()["tables"]
            said.append({name: tables[name] for name in tables if name.startswith("ledger_")})
    assert said[0] == said[1] == said[2]


def test_a_batch_whose_first_key_is_known_posts_the_rest(book: Book) -> None:
    known = book.draft("fee", ("alice", "1"), ("residual", "-1"), key="a")
    (first,) = book.post_drafts(known)
    others = [
        book.draft("fee", ("alice", "1"), ("residual", "-1"), key=key) for key in ("b", "c", "d")
    ]
    with acting(DESK, reason="Once more, and others"):
        posted = post_entries([known, *others, others[0]])
    assert posted[0] == (first, False)
    assert [each.is_new for each in posted] == [False, True, True, True, False]
    assert posted[4].entry_id == posted[1].entry_id
    assert EntryKey.objects.filter(key__in="abcd").count() == 4


def test_staged_work_that_was_cut_off_posts_nothing_twice(book: Book) -> None:
    drafts = [
        book.draft("fee", ("alice", "1"), ("residual", "-1"), key=f"fee:{n}") for n in range(25)
    ]
    assert staged(drafts[:10], chunk=5) == (10, 10)
    before = Entry.objects.count()
    assert staged(drafts, chunk=10) == (25, 15)
    assert Entry.objects.count() == before + 15
    assert staged(drafts, chunk=10) == (25, 0)
    assert not StagedDraft.objects.exists()


def test_a_refused_chunk_moves_nothing_and_those_before_it_stand(book: Book) -> None:
    good = [
        book.draft("fee", ("alice", "1"), ("residual", "-1"), key=f"fee:{n}") for n in range(10)
    ]
    bad = book.draft("fee", ("alice", "99999"), ("residual", "-99999"), key="too much")
    with pytest.raises(RefusedError) as refusal:
        staged([*good[:5], good[5], bad, *good[6:]], chunk=5)
    assert refusal.value.rule == "claim_not_below_zero"
    assert EntryKey.objects.filter(key__startswith="fee:").count() == 5
    assert not EntryKey.objects.filter(key="too much").exists()
    assert not StagedDraft.objects.exists()
    assert staged(good, chunk=5) == (10, 5)


def test_a_key_with_other_content_stops_its_chunk(book: Book) -> None:
    book.post("fee", ("alice", "1"), ("residual", "-1"), key="fee:1")
    other = book.draft("fee", ("alice", "2"), ("residual", "-2"), key="fee:1")
    fresh = book.draft("fee", ("alice", "2"), ("residual", "-2"), key="fee:2")
    with pytest.raises(RefusedError) as refusal:
        staged([fresh, other])
    assert refusal.value.rule == "key_names_one_content"
    assert not EntryKey.objects.filter(key="fee:2").exists()
