"""Staged work: two connections share it, and the book cannot tell that from one."""

import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.audit import RefusedError, acting
from ledger import staging
from ledger.models import Entry, EntryKey, StagedDraft
from ledger.posting import Draft, Leg, drafted, plain, post_entries
from ledger.staging import post_staged
from tests.ledger.book import DESK, Book

Connection = psycopg.Connection[Any]
Connect = Callable[[str], Connection]

ACT = "SELECT accounts.act('system:job:test-desk', NULL, 'job', '', 'Staged work')"
PLAIN = """
    INSERT INTO ledger_stageddraft (batch, ordinal, key, kind, effective_at, reference, accounts,
                                    amounts)
    VALUES (%s, %s, %s, %s, %s, '', %s, %s)
"""
WHOLE = "INSERT INTO ledger_stageddraft (batch, ordinal, draft) VALUES (%s, %s, %s)"


def staged(drafts: list[Draft], *, chunk: int = 3) -> staging.Staged:
    return post_staged(drafts, actor=DESK, reason="The day's end", chunk=chunk)


def fee(book: Book, amount: str = "1", **said: Any) -> Draft:
    return book.draft("fee", ("alice", amount), ("residual", f"-{amount}"), **said)


def post_chunk(runtime: Connection, batch: UUID, first: int, until: int) -> None:
    with runtime.transaction():
        runtime.execute(ACT)
        runtime.execute("SELECT ledger.post_staged(%s, %s, %s)", [batch, first, until])


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
amounts = st.decimals(allow_nan=False, allow_infinity=False, places=3)
legs = st.lists(st.tuples(st.integers(1, 10**12), amounts), min_size=2, max_size=5)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # it is only asked
@given(key=texts, reference=texts, narrative=texts, kind=texts, legs=legs)
def test_a_plain_draft_is_said_letter_by_letter_as_its_object(
    superuser: Connection,
    key: str,
    reference: str,
    narrative: str,
    kind: str,
    legs: list[tuple[int, Decimal]],
) -> None:
    draft = {
        "key": key, "kind": kind, "effective_at": "2026-02-03T12:00:00+00:00",
        "reference": reference, "narrative": narrative,
        "legs": [{"account": account, "amount": plain(amount)} for account, amount in legs],
    }  # fmt: skip
    said = superuser.execute(
        "SELECT ledger.plain_text(%s, %s, ledger.legs_text(%s, %s), %s, %s, %s), %s::jsonb::text",
        [
            key, kind, [account for account, _ in legs],
            [plain(amount) for _, amount in legs], narrative, reference,
            draft["effective_at"], json.dumps(draft),
        ],
    ).fetchone()  # fmt: skip
    assert said is not None
    assert said[0] == said[1]


def test_what_a_batch_posted_is_not_posted_again_when_staged(book: Book) -> None:
    drafts = [
        fee(book, key="tab\there", reference='a "word"', narrative="line\nline\\"),
        fee(book, key="ключ €", reference="\\N", narrative="\r\x01"),
        fee(book, "2.50"),
        book.draft("fee", ("alice", "1"), ("alice", "1"), ("residual", "-2")),
    ]
    with acting(DESK, reason="A batch"):
        first = [posted.entry_id for posted in post_entries(drafts)]
    more = [fee(book) for _ in range(6)]
    assert staged([*more[:3], *drafts, *more[3:]]) == (10, 6)
    assert staged(drafts, chunk=10) == (4, 0)
    keys = EntryKey.objects.filter(key__in=[draft.key for draft in drafts])
    assert sorted(keys.values_list("entry_id", flat=True)) == sorted(first)


def test_chunks_are_written_in_their_order(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each fee takes all that the deposit before it brought, so any other order is refused."""
    monkeypatch.setattr(staging, "FIRST_CHUNK", 1)
    free = -book.balance("alice")
    drafts = [fee(book, plain(free))]
    for _ in range(60):
        drafts.append(book.draft("deposit", ("client_bank", "7"), ("alice", "-7")))
        drafts.append(fee(book, "7"))
    assert staged(drafts, chunk=1) == (121, 121)
    assert book.balance("alice") == 0
    posted = Entry.objects.filter(key__key__in=[draft.key for draft in drafts])
    assert posted.values("xid").distinct().count() == 121


def test_chunks_that_repeat_each_others_keys_do_not_wait_in_a_ring(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "FIRST_CHUNK", 1)
    drafts = [fee(book) for _ in range(10)]
    asked = [draft for draft in drafts for _ in range(12)]
    for chunk in (1, 2, 5, 7):
        before = Entry.objects.count()
        again = [replace(draft, key=f"{chunk}:{draft.key}") for draft in asked]
        assert staged([*again, *reversed(again)], chunk=chunk) == (240, 10)
        assert Entry.objects.count() == before + 10


def test_nothing_is_written_after_a_chunk_that_was_refused(book: Book) -> None:
    before = book.digest()
    too_much = fee(book, "99999")
    with pytest.raises(RefusedError) as refusal:
        staged([too_much, *(fee(book) for _ in range(20))], chunk=2)
    assert refusal.value.rule == "claim_not_below_zero"
    assert book.digest() == before
    assert not StagedDraft.objects.exists()


@pytest.mark.parametrize("flaw", ["account", "approval", "kind", "amount", "scale", "reference"])
def test_a_flaw_is_refused_as_in_a_batch(book: Book, flaw: str) -> None:
    draft = fee(book)
    mine, other = draft.legs
    changed = {
        "account": {"legs": [mine, other._replace(account_id=10**9)]},
        "approval": {"kind": "write_off"},
        "kind": {"kind": "nothing_known"},
        "amount": {"legs": [Leg(mine.account_id, Decimal("NaN")), other]},
        "scale": {"legs": [mine._replace(amount=Decimal("1.001")), other]},
        "reference": {"reference": "x" * 121},
    }[flaw]
    bad = replace(draft, **changed)
    before = book.digest()
    with pytest.raises(RefusedError) as by_batch, acting(DESK, reason="A batch"):
        post_entries([fee(book), bad])
    with pytest.raises(RefusedError) as by_chunk:
        staged([fee(book), bad], chunk=2)
    assert by_chunk.value.rule == by_batch.value.rule
    assert book.digest() == before


def test_a_chunk_before_which_something_waits_is_refused(book: Book, connect: Connect) -> None:
    batch, runtime = uuid4(), connect("runtime")
    for ordinal in range(4):
        runtime.execute(WHOLE, [batch, ordinal, json.dumps(drafted(fee(book)))])
    before = book.digest()
    with pytest.raises(psycopg.errors.CheckViolation) as refusal:
        post_chunk(runtime, batch, 2, 4)
    assert refusal.value.diag.constraint_name == "drafts_are_posted_in_order"
    assert book.digest() == before
    for first in (0, 2):
        post_chunk(runtime, batch, first, first + 2)
    assert not StagedDraft.objects.filter(batch=batch).exists()
    assert book.digest() != before


def test_a_draft_is_staged_in_columns_or_whole(book: Book, connect: Connect) -> None:
    runtime, batch = connect("runtime"), uuid4()
    for accounts, numbers in (([1, 2], None), (None, [1, 2]), (None, None)):
        with pytest.raises(psycopg.errors.CheckViolation) as refusal:
            runtime.execute(PLAIN, [batch, 0, "k", "fee", "2026-02-03", accounts, numbers])
        assert refusal.value.diag.constraint_name == "draft_is_staged_in_one_way"
    with pytest.raises(psycopg.errors.CheckViolation):
        runtime.execute(
            "INSERT INTO ledger_stageddraft (batch, ordinal, draft, accounts, amounts)"
            " VALUES (%s, 0, '{}', '{1,2}', '{1,-1}')",
            [batch],
        )
    assert not StagedDraft.objects.exists()


@pytest.mark.parametrize("numbers", ["{1,NULL}", "{1,Infinity}", "{1}", "{NULL,NULL}", "{}"])
def test_columns_that_say_no_entry_are_refused(book: Book, connect: Connect, numbers: str) -> None:
    runtime, batch = connect("runtime"), uuid4()
    accounts = [leg.account_id for leg in fee(book).legs]
    runtime.execute(PLAIN, [batch, 0, "k", "fee", "2026-02-03T12:00Z", accounts, numbers])
    before = book.digest()
    with pytest.raises(psycopg.errors.CheckViolation) as refusal:
        post_chunk(runtime, batch, 0, 1)
    assert refusal.value.diag.constraint_name == "amount_fits_its_asset"
    assert book.digest() == before
