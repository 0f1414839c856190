"""Names are sealed under a key per person, and a destroyed key erases the name everywhere."""

from typing import Any
from uuid import uuid4

import pytest
from cryptography.exceptions import InvalidTag

from accounts import approvals, people
from accounts.audit import Actor, RefusedError, acting
from accounts.models import AuditRow, Client, MarginAccount, PersonKey, Role
from accounts.personal import ErasedPersonError, new_key, open_text, seal_text
from tests.accounts.owners import add_account, add_client
from tests.accounts.people import Desk, found_desk, person
from tests.accounts.raw import Connection, act, not_permitted, refused, rows_of

NAME = "Zoë Łukasiewicz"
WHY = "Asked for by the person on 5 February"


@pytest.fixture
def desk(db: None) -> Desk:
    return found_desk()


@pytest.fixture
def client_of_desk(desk: Desk) -> Client:
    with acting(Actor.command("test"), reason="A client"):
        return add_client(desk.entity, "C1", NAME)


def test_a_name_is_read_as_it_was_written(client_of_desk: Client) -> None:
    assert Client.objects.get().name == NAME


def test_what_is_sealed_says_nothing_and_never_twice_the_same() -> None:
    key = PersonKey(id=uuid4(), key=new_key())
    first, second = seal_text(key, NAME), seal_text(key, NAME)
    assert first != second
    assert NAME.encode() not in first
    assert (open_text(key, first), open_text(key, second)) == (NAME, NAME)


def test_a_name_opens_only_under_its_own_key_and_unchanged() -> None:
    key = PersonKey(id=uuid4(), key=new_key())
    sealed = seal_text(key, NAME)
    for wrong, content in (
        (PersonKey(id=key.id, key=new_key()), sealed),
        (PersonKey(id=uuid4(), key=key.key), sealed),
        (key, sealed[:-1] + bytes([sealed[-1] ^ 1])),
    ):
        with pytest.raises(InvalidTag):
            open_text(wrong, content)


def test_a_list_of_names_is_one_query(desk: Desk, django_assert_num_queries: Any) -> None:
    with acting(Actor.command("test"), reason="Clients"):
        for number in range(5):
            client = add_client(desk.entity, f"C{number}", f"Client {number}")
            add_account(client, f"A{number}")
    with django_assert_num_queries(1):
        names = [client.name for client in Client.objects.named().order_by("code")]
    assert names == [f"Client {number}" for number in range(5)]
    with django_assert_num_queries(1):
        accounts = MarginAccount.objects.select_related("client__person_key").order_by("code")
        assert [a.client.name for a in accounts if a.client] == names


def test_two_people_erase_a_name_for_ever(desk: Desk, client_of_desk: Client) -> None:
    asked = people.request_erasure(
        client=client_of_desk, reason=WHY, actor=person(desk[Role.OPERATIONS])
    )
    checker = person(desk[Role.COMPLIANCE])
    decided = approvals.decide(asked, verdict="approved", reason=WHY, actor=checker)
    assert Client.objects.get().name == NAME, "deciding alone erases nothing"
    said = approvals.describe(decided)
    assert said.fields == (approvals.FieldChange("Name", NAME, "erased"),)
    approvals.apply_approved(decided, actor=checker)
    client = Client.objects.get()
    assert client.name == "erased"
    assert (client.person_key.key, client.person_key.destroyed_at is None) == (None, False)
    with pytest.raises(ErasedPersonError):
        seal_text(client.person_key, "Somebody else")
    for row in AuditRow.objects.all():
        assert NAME not in f"{row.before}{row.after}"


def test_a_name_is_erased_once(desk: Desk, client_of_desk: Client) -> None:
    checker = person(desk[Role.COMPLIANCE])
    given = []
    for _ in range(2):
        asked = people.request_erasure(
            client=client_of_desk, reason=WHY, actor=person(desk[Role.OPERATIONS])
        )
        given.append(approvals.decide(asked, verdict="approved", reason=WHY, actor=checker))
    approvals.apply_approved(given[0], actor=checker)
    with pytest.raises(RefusedError) as refusal:
        approvals.apply_approved(given[1], actor=checker)
    assert refusal.value.rule == "person_is_known"


def test_operations_alone_erase_nobody(desk: Desk, client_of_desk: Client) -> None:
    asked = people.request_erasure(
        client=client_of_desk, reason=WHY, actor=person(desk[Role.OPERATIONS])
    )
    with pytest.raises(RefusedError) as refusal:
        approvals.decide(asked, verdict="approved", reason=WHY, actor=person(desk[Role.OPERATIONS]))
    assert refusal.value.rule == "approval_is_not_ones_own"
    assert Client.objects.get().name == NAME


KEY = "UPDATE accounts_personkey SET {}"


@pytest.mark.parametrize(
    "change",
    [
        "key = '\\x00'",
        "key = NULL",
        "id = gen_random_uuid()",
    ],
)
def test_a_key_is_made_once(
    client_of_desk: Client, owner: Connection, connect: Any, change: str
) -> None:
    before = rows_of(owner, "accounts_personkey")
    with refused("person_key_is_made_once"), act(owner):
        owner.execute(KEY.format(change))
    runtime = connect("runtime")
    with not_permitted(), act(runtime):
        runtime.execute(KEY.format(change))
    assert rows_of(owner, "accounts_personkey") == before


def test_a_destroyed_key_does_not_come_back(
    desk: Desk, client_of_desk: Client, owner: Connection
) -> None:
    asked = people.request_erasure(
        client=client_of_desk, reason=WHY, actor=person(desk[Role.OPERATIONS])
    )
    checker = person(desk[Role.COMPLIANCE])
    decided = approvals.decide(asked, verdict="approved", reason=WHY, actor=checker)
    approvals.apply_approved(decided, actor=checker)
    before = rows_of(owner, "accounts_personkey")
    for change in ("key = '\\x00', destroyed_at = NULL", "destroyed_at = NULL"):
        with refused("person_key_is_made_once"), act(owner):
            owner.execute(KEY.format(change))
    assert rows_of(owner, "accounts_personkey") == before


@pytest.mark.parametrize(
    ("rule", "statement"),
    [
        ("client_stays_itself", "UPDATE accounts_client SET code = 'C9' WHERE code = 'C1'"),
        (
            "client_stays_itself",
            "UPDATE accounts_client SET person_key_id = gen_random_uuid() WHERE code = 'C1'",
        ),
        ("account_stays_in_its_pool", "UPDATE accounts_marginaccount SET owner_class = 'HOUSE'"),
        (
            "account_stays_in_its_pool",
            "UPDATE accounts_marginaccount SET client_id = (SELECT id FROM accounts_client"
            " WHERE code = 'C2')",
        ),
        (
            "account_shares_one_owner",
            "INSERT INTO accounts_marginaccount (legal_entity_id, code, owner_class, client_id,"
            " parent_id, mode, desk, opened_on) SELECT c.legal_entity_id, 'SUB', 'CLIENT', c.id,"
            " a.id, 'cross', '', '2018-02-06' FROM accounts_client c, accounts_marginaccount a"
            " WHERE c.code = 'C2'",
        ),
    ],
)
def test_an_account_stays_with_its_owner(
    desk: Desk, client_of_desk: Client, owner: Connection, rule: str, statement: str
) -> None:
    with acting(Actor.command("test"), reason="An account and its permitted sub-account"):
        account = add_account(client_of_desk, "A1")
        add_account(client_of_desk, "A1-S", parent=account)
        add_client(desk.entity, "C2", "Somebody else")
    tables = ("accounts_client", "accounts_marginaccount")
    before = rows_of(owner, *tables)
    with refused(rule), act(owner):
        owner.execute(statement)
    assert rows_of(owner, *tables) == before
