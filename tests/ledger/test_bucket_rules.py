"""Limits of single rows of the tables of buckets: kinds, causes and keys that there are not."""

from datetime import date
from decimal import Decimal

import pytest
from django.db import connection

from accounts.approvals import request_approval
from accounts.audit import RefusedError, acting
from accounts.models import AccountGroup, Bucket, Role
from ledger.blocks import block_outflows
from ledger.debts import Asked, request_obligation
from tests.accounts.people import person
from tests.ledger.book import DESK, Book
from tests.ledger.raw import Owner, refused_by_hand, run

MOVE = "INSERT INTO ledger_moverule (from_role, to_role, guard, effective_from) VALUES "
BLOCK_RULE = "INSERT INTO ledger_blockrule (cause, effective_from, lasts_for, is_automatic) VALUES "
TRANSIT = "INSERT INTO ledger_transitrule (effective_from, business_days) VALUES "
ROWS = {
    "move_guard_is_known": MOVE + "('FREE', 'HOLD', 'perhaps', '2026-02-06')",
    "move_has_one_rule_a_day": MOVE + "('FREE', 'HOLD', 'free', '1970-01-01')",
    "block_cause_is_known": BLOCK_RULE + "('rain', '2026-02-06', '1 hour', false)",
    "block_has_one_rule_a_day": BLOCK_RULE + "('outage', '1970-01-01', '1 hour', false)",
    "transit_has_one_rule_a_day": TRANSIT + "('1970-01-01', 3)",
}


@pytest.mark.parametrize("rule", ROWS)
def test_a_rule_of_buckets_is_of_a_known_kind_and_said_once(
    book: Book, superuser: Owner, rule: str
) -> None:
    table = ROWS[rule].split()[2]
    superuser.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    with refused_by_hand(book, rule):
        run(superuser, ROWS[rule])


def test_nobody_sets_the_rule_of_blocks_alone(book: Book, owner: Owner) -> None:
    with refused_by_hand(book, "block_rule_is_set_by_two"):
        run(owner, BLOCK_RULE + "('outage', '2026-02-06', '0', false)")


def test_a_bucket_has_a_role_there_is(book: Book, owner: Owner) -> None:
    account = book.buckets["alice"].account_id
    with refused_by_hand(book, "bucket_role_is_known"):
        run(
            owner,
            "INSERT INTO accounts_bucket (account_id, code, role, instrument_code, is_margined)"
            f" VALUES ({account}, 'X', 'SPARE', '', false)",
        )
    assert not Bucket.objects.filter(code="X").exists()


def test_a_block_says_whom_it_covers_and_why(book: Book, owner: Owner) -> None:
    entity = book.desk.entity.pk
    with pytest.raises(RefusedError) as refused, acting(DESK, reason="Too short"):
        block_outflows(legal_entity=book.desk.entity, cause="outage", detail="short")
    assert refused.value.rule == "block_says_whom_and_why"
    with acting(DESK, reason="A group for a test"):
        group = AccountGroup.objects.create(
            legal_entity=book.desk.entity, code="g", owner_class="CLIENT",
            client=book.clients["bob"],
        )  # fmt: skip
    with refused_by_hand(book, "block_covers_one_thing"):
        run(
            owner,
            "INSERT INTO ledger_outflowblock (legal_entity_id, group_id, client_id, cause, detail,"
            f" lasts_until) VALUES ({entity}, {group.pk}, {book.clients['bob'].pk}, 'outage',"
            " 'Both at the same time', now())",
        )


def test_an_obligation_concerns_the_firm_that_registers_it(book: Book) -> None:
    other = book.pools["OTHER"].legal_entity
    asked = Asked(
        reference="L-1", kind="loan", by=other, to=book.desk.entity, asset=book.assets["USD"],
        amount=Decimal(1), effective_on=date(2026, 2, 5),
    )  # fmt: skip
    elsewhere = Asked(
        reference="G-1", kind="guarantee", by=book.buckets["alice"].account,
        to=book.buckets["bob"].account, secures=book.buckets["alice"].account,
        asset=book.assets["USD"], amount=Decimal(1), effective_on=date(2026, 2, 5),
    )  # fmt: skip
    operations = book.desk[Role.OPERATIONS]
    request_obligation(
        asked, legal_entity=book.desk.entity, reason="Two firms of the same house.",
        actor=person(operations),
    )  # fmt: skip
    with pytest.raises(RefusedError) as refused:
        request_obligation(
            elsewhere, legal_entity=other, reason="Of no party of that firm.",
            actor=person(operations),
        )  # fmt: skip
    assert refused.value.rule == "obligation_is_of_this_firm"


def test_a_reference_and_a_number_are_given_once(book: Book, superuser: Owner) -> None:
    alice = book.buckets["alice"].account_id
    entity, usd = book.desk.entity.pk, book.assets["USD"].pk
    approvals = [
        book.request(book.draft("interest", ("residual", "1"), ("alice", "-1"))) for _ in range(2)
    ]
    superuser.execute("ALTER TABLE ledger_obligation DISABLE TRIGGER obligation_is_registered")
    rows = [
        "INSERT INTO ledger_obligation (legal_entity_id, reference, kind, by_account_id,"
        " to_entity_id, asset_id, amount, effective_on, document_sha256, note, approval_id)"
        f" VALUES ({entity}, 'L-1', 'loan', {alice}, {entity}, {usd}, 1, '2026-02-05', '', '',"
        f" '{approval}')"
        for approval in approvals
    ]
    run(superuser, rows[0])
    with refused_by_hand(book, "obligation_reference_is_unique"):
        run(superuser, rows[1])
    superuser.execute("ALTER TABLE ledger_clientreconciliation DISABLE TRIGGER USER")
    carol = book.clients["carol"].pk
    row = (
        "INSERT INTO ledger_clientreconciliation (client_id, business_day, number, lines,"
        f" open_breaks, is_whole) VALUES ({carol}, '2026-02-05', 1, '[]', 0, true)"
    )
    run(superuser, row)
    with refused_by_hand(book, "client_reconciliation_has_its_number"):
        run(superuser, row)


def test_nobody_is_held_apart_who_is_not_of_the_firm(book: Book) -> None:
    with acting(person(book.desk[Role.OPERATIONS]), reason="Asks"):
        asked = request_approval(
            legal_entity_id=book.desk.entity.pk, action="client.segregation", subject="Nobody",
            payload={"client": 0, "held_apart": True}, reason="Of nobody we know.",
        )  # fmt: skip
    book.decide(asked, checker=Role.RISK)
    with (
        pytest.raises(RefusedError) as refused,
        acting(person(book.desk[Role.RISK]), reason="Applies"),
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT accounts.hold_client_apart(%s)", [asked])
    assert refused.value.rule == "client_is_known"
