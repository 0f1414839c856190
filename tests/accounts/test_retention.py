"""Who must be kept, who is held, who may go; and that an erased name is found nowhere."""

import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from django.conf import settings

from accounts import approvals, people, retention
from accounts.audit import Actor, RefusedError, acting
from accounts.erasure import destroyed_keys, erase_again, list_of_destroyed, signed_keys
from accounts.models import (
    Approval,
    Client,
    Erasure,
    LegalEntity,
    LegalHold,
    MarginAccount,
    PersonKey,
    Redaction,
    Role,
)
from accounts.redaction import Name
from brokerage.inbox.cycle import run_day
from brokerage.synthetic import DEMO, write_firm
from brokerage.verify import verify
from ledger.models import StatementFile
from tests.accounts.owners import add_account, add_client
from tests.accounts.people import Desk, found_desk, person
from tests.conftest import Connection
from tests.history.book import seal
from tests.stage import staged

NAME = "Zoë O'Łukasiewicz & Söhne"
OTHER = "Zoë Everquist"
WHY = "Asked for by the person on 5 February"
LONG_AGO = date(2001, 3, 1)
TODAY = datetime.now(tz=UTC).date()


@pytest.fixture
def desk(db: None) -> Desk:
    return found_desk()


def client_of(desk: Desk, *, closed_on: date | None, code: str = "C1") -> Client:
    """A client with one account, closed on a day or still open."""
    with acting(Actor.command("test"), reason="A client"):
        client = add_client(desk.entity, code, NAME)
        account = add_account(client, f"A-{code}")
        MarginAccount.objects.filter(pk=account.pk).update(closed_on=closed_on)
    return client


def agreed(desk: Desk, asked: UUID) -> tuple[Approval, Actor]:
    checker = person(desk[Role.COMPLIANCE])
    return approvals.decide(asked, verdict="approved", reason=WHY, actor=checker), checker


def erased(desk: Desk, client: Client, *, lawful_reason: str = "", reason: str = WHY) -> None:
    asked = people.request_erasure(
        client=client, reason=reason, actor=person(desk[Role.OPERATIONS]),
        lawful_reason=lawful_reason,
    )  # fmt: skip
    decided, checker = agreed(desk, asked)
    approvals.apply_approved(decided, actor=checker)


def refused(desk: Desk, client: Client, rule: str, **how: str) -> None:
    with pytest.raises(RefusedError) as refusal:
        erased(desk, client, **how)
    assert refusal.value.rule == rule, refusal.value.detail
    assert PersonKey.objects.get(pk=client.person_key_id).key is not None
    assert not Erasure.objects.exists()
    assert Client.objects.get(pk=client.pk).name == NAME


def placed(desk: Desk, client: Client) -> LegalHold:
    asked = retention.request_hold(client=client, reason=WHY, actor=person(desk[Role.OPERATIONS]))
    decided, checker = agreed(desk, asked)
    approvals.apply_approved(decided, actor=checker)
    return LegalHold.objects.get(client=client, lifted_xid__isnull=True)


# ---------------------------------------------------------------- whose time has come


def test_a_name_is_kept_while_the_client_has_an_account(desk: Desk) -> None:
    client = client_of(desk, closed_on=None)
    refused(desk, client, "erasure_waits_for_its_date")
    (standing,) = retention.standings(desk.entity, on=TODAY)
    assert (standing.verdict, standing.why) == ("must_stay", "the client still has an account")


def test_a_name_is_kept_until_its_earliest_date(desk: Desk) -> None:
    yesterday = TODAY - timedelta(days=1)
    client = client_of(desk, closed_on=yesterday)
    refused(desk, client, "erasure_waits_for_its_date")
    (standing,) = retention.standings(desk.entity, on=TODAY)
    assert standing.kept_until == yesterday + timedelta(days=1826)
    assert standing.gone_by == yesterday + timedelta(days=3653)


@pytest.mark.parametrize(
    ("days_ago", "verdict"), [(1825, "must_stay"), (1826, "may_go"), (3652, "may_go"),
                              (3653, "must_go")],
)  # fmt: skip
def test_the_clock_of_a_name_starts_with_the_end(desk: Desk, days_ago: int, verdict: str) -> None:
    client_of(desk, closed_on=TODAY - timedelta(days=days_ago))
    (standing,) = retention.standings(desk.entity, on=TODAY)
    assert standing.verdict == verdict


def test_a_lawful_reason_goes_before_the_date_and_stays_in_the_record(desk: Desk) -> None:
    client = client_of(desk, closed_on=TODAY)
    erased(desk, client, lawful_reason="Order of the authority of 3 February")
    assert Erasure.objects.get().lawful_reason == "Order of the authority of 3 February"
    assert Client.objects.get().name == "erased"


def test_a_reason_names_nobody(desk: Desk) -> None:
    client = client_of(desk, closed_on=LONG_AGO)
    refused(desk, client, "reason_names_nobody", reason=f"{NAME.upper()} asked for it")
    assert not Approval.objects.exists()


def test_how_long_is_data_that_two_people_change(desk: Desk) -> None:
    client_of(desk, closed_on=TODAY - timedelta(days=400))
    record = retention.rule_of("client_identity", on=TODAY).record
    asked = retention.request_retention(
        record=record, effective_from=TODAY, keep_days=365, gone_days=None, basis="a shorter law",
        legal_entity=desk.entity, reason=WHY, actor=person(desk[Role.COMPLIANCE]),
    )  # fmt: skip
    checker = person(desk.administrators[0])
    decided = approvals.decide(asked, verdict="approved", reason=WHY, actor=checker)
    assert [f.label for f in approvals.describe(decided).fields] == [
        "Kept for, days", "Gone after, days",
    ]  # fmt: skip
    approvals.apply_approved(decided, actor=checker)
    (standing,) = retention.standings(desk.entity, on=TODAY)
    assert (standing.verdict, standing.gone_by) == ("may_go", None)


# ---------------------------------------------------------------- holds


def test_a_held_person_is_kept_until_the_hold_is_lifted_by_two(desk: Desk) -> None:
    client = client_of(desk, closed_on=LONG_AGO)
    hold = placed(desk, client)
    refused(desk, client, "held_person_is_kept", lawful_reason="Order of the authority")
    (standing,) = retention.standings(desk.entity, on=TODAY)
    assert standing.verdict == "held"
    asked = retention.request_lifting(hold=hold, reason=WHY, actor=person(desk[Role.OPERATIONS]))
    decided, checker = agreed(desk, asked)
    approvals.apply_approved(decided, actor=checker)
    erased(desk, client)
    assert Client.objects.get().name == "erased"


def test_the_owner_cannot_erase_place_or_lift_by_hand(
    desk: Desk, owner: Connection, superuser: Connection
) -> None:
    client = client_of(desk, closed_on=LONG_AGO)
    held = client_of(desk, closed_on=LONG_AGO, code="C2")
    placed(desk, held)
    key = "UPDATE accounts_personkey SET key = NULL, destroyed_at = now() WHERE id = %s"
    for statement, values, rule in (
        (key, [client.person_key_id], "key_goes_with_its_person"),
        (key, [held.person_key_id], "held_person_is_kept"),
        ("UPDATE accounts_legalhold SET lifted_xid = pg_current_xact_id()", [],
         "hold_is_lifted_by_two"),
        ("UPDATE accounts_legalhold SET reason = 'other'", [], "hold_stays_as_placed"),
        ("DELETE FROM accounts_legalhold", [], "row_is_kept"),
        ("INSERT INTO accounts_legalhold (id, client_id, reason, placed_xid, lifted_reason)"
         " VALUES (gen_random_uuid(), %s, 'x', pg_current_xact_id(), '')", [client.pk],
         "hold_is_placed_by_two"),
        ("INSERT INTO accounts_erasure (person_key_id, client_id, kept_until, lawful_reason,"
         " is_again) VALUES (%s, %s, '2006-03-01', '', false)",
         [client.person_key_id, client.pk], "erasure_is_agreed"),
        ("INSERT INTO accounts_erasure (person_key_id, client_id, kept_until, lawful_reason,"
         " is_again) VALUES (%s, %s, '2006-03-01', '', true)",
         [client.person_key_id, client.pk], "erasure_is_done_again_on_restore"),
        ("INSERT INTO accounts_erasure (person_key_id, client_id, kept_until, lawful_reason,"
         " is_again) VALUES (%s, %s, '2006-03-01', '', false)",
         [held.person_key_id, client.pk], "erasure_is_of_a_person"),
        ("INSERT INTO accounts_retentionrule (record_id, effective_from, keep_for, basis)"
         " VALUES ('book', '2030-01-01', '0 days', 'none')", [], "retention_is_set_by_two"),
        ("UPDATE accounts_act SET reason = 'other'", [], "history_is_append_only"),
        ("UPDATE accounts_retentionrule SET keep_for = '0 days'", [], "history_is_append_only"),
        ("SELECT accounts.redact('accounts_act', '(0,1)', '{\"reason\": \"x\"}')", [],
         "only_words_are_redacted"),
    ):  # fmt: skip
        assert rule_of_refusal(owner, statement, *values) == rule, statement
    assert Client.objects.get(pk=client.pk).name == NAME


def rule_of_refusal(owner: Connection, statement: str, *values: object) -> str:
    """The rule that refuses a statement of the owner, in an act of its own."""
    with pytest.raises(psycopg.errors.IntegrityError) as refusal:
        write(owner, statement, values)
    return str(refusal.value.diag.constraint_name)


def write(owner: Connection, statement: str, values: tuple[object, ...]) -> None:
    with owner.transaction():
        owner.execute("SELECT accounts.act('system:job:forger', NULL, 'job', '', 'forges')")
        owner.execute(statement, values)


def test_lifting_what_is_not_there_is_refused(desk: Desk) -> None:
    client = client_of(desk, closed_on=LONG_AGO)
    hold = placed(desk, client)
    hold.id = uuid4()
    asked = retention.request_lifting(hold=hold, reason=WHY, actor=person(desk[Role.OPERATIONS]))
    decided, checker = agreed(desk, asked)
    with pytest.raises(RefusedError) as refusal:
        approvals.apply_approved(decided, actor=checker)
    assert refusal.value.rule == "hold_is_there"
    assert LegalHold.objects.filter(lifted_xid__isnull=True).count() == 1


@pytest.mark.parametrize(
    ("keep", "gone", "day", "rule"),
    [
        (10, 5, "2030-01-01", "records_are_kept_before_they_go"),
        (10, None, "1970-01-01", "retention_changes_once_a_day"),
    ],
)
def test_rules_that_cannot_be_are_refused_after_two_agreed(
    desk: Desk, keep: int, gone: int | None, day: str, rule: str
) -> None:
    record = retention.rule_of("jobs", on=TODAY).record
    asked = retention.request_retention(
        record=record, effective_from=date.fromisoformat(day), keep_days=keep, gone_days=gone,
        basis="a mistake", legal_entity=desk.entity, reason=WHY,
        actor=person(desk[Role.COMPLIANCE]),
    )  # fmt: skip
    checker = person(desk.administrators[0])
    decided = approvals.decide(asked, verdict="approved", reason=WHY, actor=checker)
    with pytest.raises(RefusedError) as refusal:
        approvals.apply_approved(decided, actor=checker)
    assert refusal.value.rule == rule


def test_a_redaction_is_recorded_with_its_erasure_alone(desk: Desk, owner: Connection) -> None:
    erased(desk, client_of(desk, closed_on=LONG_AGO))
    rule = rule_of_refusal(
        owner,
        "INSERT INTO accounts_redaction (erasure_id, table_name, row_key, columns)"
        " SELECT id, 'ledger_entry', '1', '[]' FROM accounts_erasure",
    )
    assert rule == "redaction_is_of_its_erasure"


# ---------------------------------------------------------------- found nowhere


@pytest.fixture
def firm(db: None, tmp_path: Path) -> Desk:
    """A firm with two days in the book, one of whose clients has the name and no money."""
    days = write_firm(
        tmp_path / "firm", accounts=10, seed=3, first_day=date(2031, 3, 3), days=3, profile=DEMO
    )
    reference = tmp_path / "firm" / "reference.yaml"
    text = reference.read_text()
    text = text.replace("clients:\n", f'clients:\n- {{client: Z1, name: "{NAME}"}}\n'
                        f'- {{client: Z2, name: "{OTHER}"}}\n', 1)  # fmt: skip
    text = text.replace(
        "accounts:\n",
        "accounts:\n- {account: Z1-A, owner: Z1, pool: CLIENT, mode: cash, buckets: [FREE],"
        " agreement: STD}\n",
        1,
    )
    reference.write_text(text)

    def book() -> Desk:
        for day in days[:2]:
            run_day(day)
        desk = found_desk(entity=LegalEntity.objects.get())
        with acting(Actor.command("test"), reason="The account is closed"):
            MarginAccount.objects.filter(code="Z1-A").update(closed_on=LONG_AGO)
        return desk

    return staged("a firm with a client to erase", book)


def everything(superuser: Connection) -> bytes:
    """Every row of every table as text, with bytes as they are."""
    said = []
    tables = superuser.execute(
        "SELECT c.relname, (SELECT array_agg(a.attname::text) FROM pg_attribute a"
        " WHERE a.attrelid = c.oid AND a.attnum > 0 AND a.atttypid = 'bytea'::regtype)"
        " FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace"
    ).fetchall()
    for table, of_bytes in tables:
        rows = superuser.execute(f"SELECT t::text FROM public.{table} t").fetchall()
        said += [row[0].encode() for row in rows]
        for column in of_bytes or ():
            found = superuser.execute(f"SELECT {column} FROM public.{table}").fetchall()
            said += [bytes(row[0]) for row in found if row[0] is not None]
    return b"\n".join(said)


def spelled(name: str) -> list[bytes]:
    forms = [name, name.upper(), name.lower(), name.replace("&", "&amp;")]
    encodings = ("utf-8", "utf-16-le", "utf-16-be")
    return [form.encode(encoding) for form in forms for encoding in encodings] + [
        name.encode().hex().encode(), name.encode("unicode_escape"),
    ]  # fmt: skip


def test_an_erased_name_is_found_nowhere_and_history_still_proves_itself(
    firm: Desk, superuser: Connection, tmp_path: Path
) -> None:
    client = Client.objects.get(code="Z1")
    with acting(Actor.command("test"), reason=f"A letter of {NAME.lower()} came, says {OTHER}"):
        LegalEntity.objects.filter(pk=firm.entity.pk).update(name="Example Brokerage")
    outbox = Path(settings.VAR) / "outbox" / f"letter to {NAME.replace('&', 'and')}.txt"
    outbox.parent.mkdir(parents=True, exist_ok=True)
    outbox.write_bytes(b"\xff\xfe" + f"Dear {NAME},\n".encode("utf-16-le"))
    seal()
    with acting(Actor.command("test"), reason=f"Not sealed yet: {NAME}"):
        LegalEntity.objects.filter(pk=firm.entity.pk).update(name="Example Brokerage Inc")
    try:
        erased(firm, client)
        whole = everything(superuser) + outbox.read_bytes()
    finally:
        shutil.rmtree(outbox.parent)
    assert [said for said in spelled(NAME) if said in whole] == []
    assert OTHER.encode() in whole, "nobody else's name is covered"
    kept = StatementFile.objects.get(name="reference.yaml")
    assert b'client: Z1, name: "XXX' in bytes(kept.content)
    said = {
        (d.table_name, tuple(d.columns), d.leaf_sealed is None) for d in Redaction.objects.all()
    }
    assert ("ledger_statementfile", ("content",), False) in said
    assert ("accounts_act", ("reason",), True) in said
    assert ("accounts_act", ("reason",), False) in said
    report = verify()
    assert [c for c in report.checks if c.wrong is not None and "guards" not in c.name] == []
    seal()
    assert [c for c in verify().checks if c.wrong is not None and "guards" not in c.name] == []


def test_the_next_day_runs_after_an_erasure(firm: Desk, tmp_path: Path) -> None:
    erased(firm, Client.objects.get(code="Z1"))
    reference = tmp_path / "firm" / "reference.yaml"
    original = reference.read_bytes()
    reference.write_bytes(Name(NAME).cover_bytes(original))
    assert run_day(tmp_path / "firm" / "2031-03-05")["business_day"] == "2031-03-05"


def test_a_client_with_money_in_the_book_is_kept(firm: Desk) -> None:
    client = Client.objects.get(code="C0001")
    name = client.name
    with pytest.raises(RefusedError) as refusal:
        erased(firm, client, lawful_reason="Order of the authority")
    assert refusal.value.rule == "client_with_money_is_kept"
    assert Client.objects.get(code="C0001").name == name


def test_a_row_that_was_redacted_is_watched_like_any_other(
    firm: Desk, superuser: Connection
) -> None:
    seal()
    erased(firm, Client.objects.get(code="Z1"))
    superuser.execute("ALTER TABLE ledger_statementfile DISABLE TRIGGER USER")
    superuser.execute(
        "UPDATE ledger_statementfile SET content = content || 'x'::bytea"
        " WHERE name = 'reference.yaml'"
    )
    wrong = [
        c.wrong for c in verify().checks if c.wrong and c.name == "sealed_rows_are_as_they_were"
    ]
    assert [w.table for w in wrong if w] == ["ledger_statementfile"]


# ---------------------------------------------------------------- the list outside


def test_destroyed_keys_are_listed_outside_and_signed(desk: Desk) -> None:
    client = client_of(desk, closed_on=LONG_AGO)
    erased(desk, client)
    assert destroyed_keys() == [client.person_key_id]
    assert signed_keys() == {client.person_key_id}
    list_of_destroyed().unlink()
    wrong = [c.name for c in verify().checks if c.wrong is not None]
    assert "erasures_are_listed_outside" in wrong


def test_a_restored_book_erases_again(desk: Desk) -> None:
    client = client_of(desk, closed_on=None)
    placed(desk, client)
    restore = Actor.command("restore")
    assert erase_again([client.person_key_id], actor=restore) == 1
    assert Client.objects.get().name == "erased"
    assert erase_again([client.person_key_id], actor=restore) == 0
    assert Erasure.objects.get().is_again


# ---------------------------------------------------------------- covering


@pytest.mark.parametrize(
    ("text", "covered"),
    [
        ("for Ann Lee today", "for XXXXXXX today"),
        ("ANN LEE", "XXXXXXX"),
        ("Joann Lee", "Joann Lee"),
        ("Ann Leering", "Ann Leering"),
        ('{"who": "Ann Lee"}', '{"who": "XXXXXXX"}'),
    ],
)
def test_a_name_is_covered_as_a_word_of_its_own(text: str, covered: str) -> None:
    assert Name("Ann Lee").cover(text) == covered
    assert Name("Ann Lee").cover_bytes(text.encode()) == covered.encode()


def test_what_may_go_is_said_by_class_and_client(desk: Desk) -> None:
    client_of(desk, closed_on=LONG_AGO)
    said: dict[str, Any] = retention.report()
    assert {c["record"] for c in said["classes"]} == {
        "client_identity", "book", "notices", "jobs", "sign_in_failures", "sessions",
    }  # fmt: skip
    (firm,) = said["legal_entities"]
    assert firm["counts"]["must_go"] == 1
