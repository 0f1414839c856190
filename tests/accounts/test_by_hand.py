"""Requests, headers and sessions written by hand instead of through their functions.

Every refusal proves that requests, roles and the trail are as they were. A statement as `runtime`
is what the product could do; one as `owner` is what whoever owns the schema could.
"""

from collections.abc import Callable

import pytest

from tests.accounts.four import Four
from tests.accounts.people import session_of
from tests.accounts.raw import Connection, act, not_permitted, one, refused

Connect = Callable[[str], Connection]

# ---------------------------------------------------------------- by hand


RAW_REQUEST = """
    INSERT INTO accounts_approval (id, number, legal_entity_id, action_id, subject, payload,
        payload_sha256, reason, maker_id, made_at, expires_at, decision, decision_reason,
        checker_id, decided_at)
    VALUES (gen_random_uuid(), 900, %(entity)s, 'role.grant', 'by hand', %(payload)s,
        accounts.payload_sha256(%(hashed)s::jsonb), 'a reason long enough', %(maker)s,
        clock_timestamp(), clock_timestamp() + %(lives)s::interval, %(decision)s, '', %(checker)s,
        %(decided)s)
"""


def by_hand(four: Four, **changes: object) -> dict[str, object]:
    values: dict[str, object] = {
        "entity": four.desk.entity.pk, "payload": "{}", "hashed": "{}",
        "maker": four.desk.administrators[0].pk, "lives": "1 hour", "decision": "",
        "checker": None, "decided": None,
    }  # fmt: skip
    return values | changes


def test_the_runtime_writes_no_request_by_hand(four: Four) -> None:
    key = session_of(four.desk.administrators[0])
    with four.nothing_moves(), not_permitted(), act(four.runtime, key=key):
        four.runtime.execute(RAW_REQUEST, by_hand(four))


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("maker_is_the_session", {"maker": "other"}),
        ("approval_begins_undecided", {"hashed": '{"role": "treasury"}'}),
        ("approval_begins_undecided", {"lives": "2 days"}),
        ("approval_begins_undecided", {"decision": "approved", "checker": "other"}),
    ],
    ids=["forged maker", "other content", "lives too long", "born approved"],
)
def test_the_owner_writes_no_false_request(
    four: Four, rule: str, changes: dict[str, object]
) -> None:
    other = four.desk.administrators[1].pk
    changes = {name: other if value == "other" else value for name, value in changes.items()}
    key = session_of(four.desk.administrators[0])
    with four.nothing_moves(), refused(rule), act(four.owner, key=key):
        four.owner.execute(RAW_REQUEST, by_hand(four, **changes))
    with act(four.owner, key=session_of(four.desk.administrators[0])):
        four.owner.execute(RAW_REQUEST, by_hand(four))


EDIT = "UPDATE accounts_approval SET {} WHERE id = %(id)s"
DECIDED = (
    "decision = 'approved', decided_at = clock_timestamp(), decision_reason = 'long enough it is'"
)


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("approval_stays_as_asked", "payload = '{}'"),
        (
            "approval_stays_as_asked",
            "payload = '{}', payload_sha256 = accounts.payload_sha256('{}')",
        ),
        ("approval_stays_as_asked", "expires_at = expires_at + interval '1 day'"),
        ("approval_stays_as_asked", "subject = 'something else'"),
        ("approval_stays_as_asked", "maker_id = %(second)s"),
        ("approval_stays_as_asked", "action_id = 'role.revoke'"),
        ("checker_is_the_session", f"checker_id = %(second)s, {DECIDED}"),
        ("approval_is_not_ones_own", f"checker_id = %(first)s, {DECIDED}"),
        ("approval_is_given", "used_xid = pg_current_xact_id(), used_at = clock_timestamp()"),
    ],
)
def test_the_owner_edits_no_request(four: Four, rule: str, change: str) -> None:
    asked = four.asks()
    first, second = (operator.pk for operator in four.desk.administrators)
    key = session_of(four.desk.administrators[0])
    with four.nothing_moves(), refused(rule), act(four.owner, key=key):
        four.owner.execute(EDIT.format(change), {"id": asked, "first": first, "second": second})
    four.decides(asked)
    assert four.decision(asked) == "approved"


def test_the_owner_edits_no_decision_and_no_use(four: Four) -> None:
    asked = four.asks()
    four.decides(asked, verdict="rejected")
    key = session_of(four.desk.administrators[1])
    with four.nothing_moves(), refused("approval_is_decided_once"), act(four.owner, key=key):
        four.owner.execute(EDIT.format("decision = 'approved'"), {"id": asked})
    given = four.asks()
    four.decides(given)
    four.gives(given)
    with four.nothing_moves(), refused("approval_is_used_once"), act(four.owner):
        four.owner.execute(EDIT.format("used_xid = NULL, used_at = NULL"), {"id": given})


def test_the_runtime_edits_no_request(four: Four) -> None:
    asked = four.asks()
    with four.nothing_moves(), not_permitted(), act(four.runtime):
        four.runtime.execute(EDIT.format("payload = '{}'"), {"id": asked})


def test_a_request_is_never_deleted(four: Four) -> None:
    asked = four.asks()
    with four.nothing_moves(), refused("row_is_kept"), act(four.owner):
        four.owner.execute("DELETE FROM accounts_approval WHERE id = %s", [asked])
    with four.nothing_moves(), not_permitted(), act(four.runtime):
        four.runtime.execute("DELETE FROM accounts_approval WHERE id = %s", [asked])


def test_the_owner_writes_no_header_of_somebody_elses(four: Four) -> None:
    operator = four.desk.administrators[1]
    statement = (
        "INSERT INTO accounts_act (actor, operator_id, session_id, channel, request_id, reason)"
        " VALUES (%s, %s, %s, 'test', '', '')"
    )
    session_of(operator)
    session = one(
        four.owner, "SELECT id FROM accounts_operatorsession WHERE operator_id = %s", operator.pk
    )
    for values, rule in (
        (("operator:r.haddad", operator.pk, None), "person_acts_through_a_session"),
        (("somebody", None, None), "person_acts_through_a_session"),
        (("operator:a.novak", operator.pk, session), "session_is_live"),
        (("operator:a.novak", four.desk.administrators[0].pk, session), "session_is_live"),
    ):
        with four.nothing_moves(), refused(rule):
            four.owner.execute(statement, values)
    four.owner.execute(statement, ("operator:r.haddad", operator.pk, session))


@pytest.mark.parametrize(
    "change",
    [
        "expires_at = expires_at + interval '1 hour'",
        "operator_id = %(second)s",
        "key_sha256 = sha256('mine')",
        "ended_at = NULL",
        "subject = 'another'",
    ],
)
def test_a_session_is_not_prolonged_passed_on_or_taken_up_again(four: Four, change: str) -> None:
    key = session_of(four.desk.administrators[0])
    four.runtime.execute("SELECT accounts.end_session(%s)", [key])
    statement = f"UPDATE accounts_operatorsession SET {change} WHERE operator_id = %(first)s"
    first, second = (operator.pk for operator in four.desk.administrators)
    with four.nothing_moves("accounts_operatorsession"), refused("session_stays_as_opened"):
        four.owner.execute(statement, {"first": first, "second": second})
    with four.nothing_moves("accounts_operatorsession"), not_permitted():
        four.runtime.execute(statement, {"first": first, "second": second})


@pytest.mark.parametrize(
    ("secret", "permitted"),
    [
        ("SELECT session_key FROM django_session", "SELECT actor FROM accounts_act"),
        ("SELECT password FROM accounts_operator", "SELECT username FROM accounts_operator"),
        ("SELECT key FROM accounts_personkey", "SELECT destroyed_at FROM accounts_personkey"),
        (
            "SELECT key_sha256 FROM accounts_operatorsession",
            "SELECT operator_id FROM accounts_operatorsession",
        ),
    ],
)
def test_who_reads_for_an_audit_reads_no_secret(
    four: Four, connect: Connect, secret: str, permitted: str
) -> None:
    auditor = connect("auditor")
    auditor.execute(permitted)
    with not_permitted():
        auditor.execute(secret)
