"""What statements, matches, breaks and the owners of accounts cannot be made to say by hand."""

import json
from datetime import date, timedelta
from typing import Any

import pytest

from accounts.audit import acting
from accounts.models import (
    AccountAgreement,
    AccountGroup,
    Agreement,
    AgreementVersion,
    GroupMember,
    PersonKey,
    Scope,
)
from ledger.models import (
    Break,
    Holding,
    Statement,
    StatementFile,
    StatementLine,
    StatementMatch,
)
from tests.ledger.book import DESK, NOON, Book
from tests.ledger.raw import ACT, Owner, insert, refused_by_hand, run

DAY = date(2026, 2, 5)


def copied(table: str, row: int, **changed: Any) -> tuple[str, list[Any]]:
    """A row once more, under the id 1000 and with other columns where they are named."""
    text = (
        f"INSERT INTO {table} SELECT (jsonb_populate_record(t, %s::jsonb)).* FROM {table} t"
        " WHERE id = %s"
    )
    return text, [json.dumps({"id": 1000, **changed}, default=str), row]


# ---------------------------------------------------------------- owners


def others(book: Book) -> dict[str, int]:
    """Ids of rows that the firm does not have by itself, and of some it has."""
    with acting(DESK, reason="A test adds rows"):
        agreement = Agreement.objects.create(legal_entity=book.desk.entity, code="standard")
        version = AgreementVersion.objects.create(
            agreement=agreement, version=1, effective_from=DAY, model="m", parameters="p",
            call_level=1, liquidation_level=1, minimum_transfer_amount=0, currency="USD",
            call_due_for=timedelta(hours=1),
        )  # fmt: skip
        alice = book.buckets["alice"].account
        group = AccountGroup.objects.create(
            legal_entity=book.desk.entity, code="g", owner_class="CLIENT", client=alice.client
        )
        return {
            "client": book.clients["alice"].pk,
            "account": alice.pk,
            "bob's account": book.buckets["bob"].account_id,
            "bucket": book.buckets["alice"].pk,
            "isolated": book.buckets["alice/ISO"].pk,
            "agreement": agreement.pk,
            "version": version.pk,
            "signed": AccountAgreement.objects.create(
                account=alice, agreement=agreement, effective_from=DAY
            ).pk,
            "group": group.pk,
            "member": GroupMember.objects.create(group=group, account=alice, joined_on=DAY).pk,
            "scope": Scope.objects.create(bucket=book.buckets["alice/ISO"]).pk,
        }


# rule: table, row, columns of the permitted copy, columns of the forbidden one
COPIES: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "account_code_is_unique": ("marginaccount", "account", {"code": "new"}, {}),
    "client_account_has_a_client": (
        "marginaccount", "account", {"code": "new"}, {"code": "new", "client_id": None},
    ),
    "bucket_code_is_unique": ("bucket", "bucket", {"code": "new"}, {}),
    "isolated_bucket_names_its_instrument": (
        "bucket", "isolated", {"code": "new"}, {"code": "new", "instrument_code": ""},
    ),
    "group_code_is_unique": ("accountgroup", "group", {"code": "new"}, {}),
    "agreement_code_is_unique": ("agreement", "agreement", {"code": "new"}, {}),
    "agreement_version_is_unique": (
        "agreementversion", "version", {"version": 2, "effective_from": "2027-01-01"},
        {"effective_from": "2027-01-01"},
    ),
    "agreement_has_one_version_a_day": (
        "agreementversion", "version", {"version": 2, "effective_from": "2027-01-01"},
        {"version": 2},
    ),
    "account_has_one_agreement_a_day": (
        "accountagreement", "signed", {"effective_from": "2027-01-01"}, {},
    ),
    "account_is_in_one_group": ("groupmember", "member", {"left_on": "2027-01-01"}, {}),
    "group_is_left_after_it_is_joined": (
        "groupmember", "member", {"left_on": "2027-01-01"}, {"left_on": "2025-01-01"},
    ),
    "scope_is_one_thing": (
        "scope", "scope", {"bucket_id": None, "account_id": "account"}, {"account_id": "account"},
    ),
    "group_shares_one_owner": (
        "groupmember", "member", {"left_on": "2027-01-01"},
        {"left_on": "2027-01-01", "account_id": "bob's account"},
    ),
}  # fmt: skip


# What is in order otherwise and still needs a second person.
NEED_TWO = {
    "agreementversion": "agreement_is_changed_by_two",
    "accountagreement": "account_is_signed_by_two",
}


@pytest.mark.parametrize("rule", COPIES)
def test_who_owns_what_is_said_once_and_clearly(book: Book, owner: Owner, rule: str) -> None:
    table, row, permitted, forbidden = COPIES[rule]
    ids = others(book)

    def copy(changed: dict[str, Any]) -> tuple[str, list[Any]]:
        values = {name: ids.get(value, value) for name, value in changed.items()}
        return copied(f"accounts_{table}", ids[row], **values)

    with refused_by_hand(book, rule):
        run(owner, copy(forbidden))
    if table in NEED_TWO:
        with refused_by_hand(book, NEED_TWO[table]):
            run(owner, copy(permitted))
    else:
        run(owner, copy(permitted))


def test_two_clients_have_two_codes(book: Book, owner: Owner) -> None:
    with acting(DESK, reason="A key"):
        key = PersonKey.objects.create(key=b"k" * 32).pk
    alice = book.clients["alice"].pk
    with refused_by_hand(book, "client_code_is_unique"):
        run(owner, copied("accounts_client", alice, person_key_id=key))
    run(owner, copied("accounts_client", alice, person_key_id=key, code="new"))


@pytest.mark.parametrize(
    ("rule", "statement"),
    [
        ("group_keeps_its_owner", "UPDATE accounts_accountgroup SET client_id = client_id + 1"),
        ("scope_stays_itself", "UPDATE accounts_scope SET bucket_id = bucket_id - 1"),
        ("destroyed_key_is_gone", "UPDATE accounts_personkey SET destroyed_at = now()"),
    ],
)
def test_an_owner_stays_what_it_is(book: Book, owner: Owner, rule: str, statement: str) -> None:
    others(book)
    with refused_by_hand(book, rule):
        run(owner, statement)


def test_a_seal_goes_forward(book: Book, owner: Owner) -> None:
    block = {
        "number": 1, "epoch": 1, "from_xid": "3", "to_xid": "9", "leaf_count": 0, "layout": "{}",
        "root": b"", "previous_hash": bytes(32), "head_hash": b"", "signature": b"",
        "sealed_at": NOON,
    }  # fmt: skip
    with refused_by_hand(book, "seal_block_goes_forward"):
        run(owner, insert("accounts_sealblock", block | {"to_xid": "3"}))
    run(owner, insert("accounts_sealblock", block))


# ---------------------------------------------------------------- statements


def confirmed(book: Book) -> tuple[StatementLine, int]:
    """A statement line of the client bank and the posting it is about: account_seq at the bank."""
    book.post("deposit", book.leg("client_bank", "5", reference="R"), ("alice", "-5"))
    with acting(DESK, reason="A statement"):
        file = StatementFile.objects.create(sha256="0" * 64, name="s", content=b"s")
        statement = Statement.objects.create(
            location=book.locations["client_bank"], business_day=NOON.date(), file=file,
            format="test", parser_version="1", lines_read=1,
        )  # fmt: skip
        line = StatementLine.objects.create(
            statement=statement, ordinal=1, reference="R", amount=5, amount_as_read="5.00",
            value_date=NOON.date(),
        )  # fmt: skip
    return line, 2


def test_a_line_confirms_a_posting_of_its_bank_reference_and_amount(
    book: Book, owner: Owner
) -> None:
    line, seq = confirmed(book)
    right = {"line_id": line.pk, "account_id": book["client_bank"], "account_seq": seq}
    for wrong in (
        {"account_seq": 1},
        {"account_seq": 99},
        {"account_id": book["alice"]},
        {"account_id": book["carol_bank"], "account_seq": 1},
    ):
        with refused_by_hand(book, "match_confirms_a_posting"):
            run(owner, insert("ledger_statementmatch", right | wrong))
    run(owner, insert("ledger_statementmatch", right))
    with refused_by_hand(book, "posting_is_matched_once"):
        again = StatementLine.objects.get(pk=line.pk)
        again.pk, again.ordinal = None, 2
        columns = ("statement_id", "ordinal", "reference", "amount", "amount_as_read")
        copy = {name: getattr(again, name) for name in columns}
        copy |= {"id": 77, "value_date": NOON.date(), "text": ""}
        run(
            owner,
            insert("ledger_statementline", copy),
            insert("ledger_statementmatch", right | {"line_id": 77}),
        )
    assert StatementMatch.objects.count() == 1


def test_a_break_closes_with_evidence_and_stays_as_found(book: Book, owner: Owner) -> None:
    line, _ = confirmed(book)
    with acting(DESK, reason="A break"):
        Break.objects.create(
            location=book.locations["client_bank"], business_day=NOON.date(), ordinal=1,
            kind=Break.Kind.MISSING_IN_LEDGER, asset=book.assets["USD"],
        )  # fmt: skip
    closing = "status = 'closed', closed_at = now(), closing_reason = 'seen'"
    with refused_by_hand(book, "break_closes_with_evidence"):
        run(owner, f"UPDATE ledger_break SET {closing}")
    with refused_by_hand(book, "break_stays_as_found"):
        run(owner, "UPDATE ledger_break SET kind = 'amount_differs'")
    run(owner, f"UPDATE ledger_break SET {closing}, closing_line_id = {line.pk}")


@pytest.mark.parametrize(
    ("rule", "table", "changed"),
    [
        ("bank_has_one_statement_a_day", "statement", {"business_day": "2026-02-06"}),
        ("statement_line_is_unique", "statementline", {"ordinal": 2}),
        ("holding_line_is_unique", "holding", {"line": 2}),
        ("break_is_unique", "break", {"ordinal": 2}),
    ],
)
def test_what_arrives_is_kept_once(
    book: Book, owner: Owner, rule: str, table: str, changed: dict[str, Any]
) -> None:
    line, _ = confirmed(book)
    with acting(DESK, reason="A holding and a break"):
        holding = Holding.objects.create(
            file=line.statement.file, location=book.locations["venue"], asset=book.assets["USD"],
            business_day=DAY, line=1, quantity=1, quantity_as_read="1",
        )  # fmt: skip
        found = Break.objects.create(
            location=book.locations["venue"], business_day=DAY, ordinal=1,
            kind=Break.Kind.QUANTITY_DIFFERS,
        )  # fmt: skip
    rows = {"statement": line.statement_id, "statementline": line.pk}
    row = (rows | {"holding": holding.pk, "break": found.pk})[table]

    def copy(**columns: Any) -> None:
        with owner.transaction():
            owner.execute(ACT)
            now = owner.execute("SELECT pg_current_xact_id()::text").fetchone()
            assert now is not None
            owner.execute(*copied(f"ledger_{table}", row, xid=now[0], **columns))

    with refused_by_hand(book, rule):
        copy()
    copy(**changed)
