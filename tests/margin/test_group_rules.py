"""What the database itself refuses of groups that are margined as one."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.db import connection
from psycopg import Connection, errors

from accounts.agreements import request_end
from accounts.approvals import decide, request_approval
from accounts.audit import RefusedError, acting, refusals
from accounts.models import AccountAgreement, AccountGroup, GroupMember, MarginAccount, Role
from tests.accounts.people import Desk, person
from tests.ledger.agreeing import agreed
from tests.margin.grouped import WHY, changed, fit, made
from tests.margin.under import SECOND_DAY, firm_under_models, put_under

ACT = "SELECT accounts.act('system:migration', NULL, 'command', '', 'A test by hand')"


class Linked(NamedTuple):
    """A group with one member, another without, and who tries what as the owner of the tables."""

    desk: Desk
    signed: AccountAgreement
    refusal: Callable[[str], str]


@pytest.fixture
def linked(request: pytest.FixtureRequest, db: None, tmp_path: Path) -> Linked:
    firm = firm_under_models(tmp_path / "firm")
    put_under(firm.desk, "LINKED", "house-rules", SECOND_DAY, of="STD")
    members = fit(SECOND_DAY)
    group = made(firm.desk, members[0], "LINKED", SECOND_DAY)
    bare = made(firm.desk, members[1], "LINKED", SECOND_DAY, code="G2", guarantee="")
    changed(firm.desk, group, SECOND_DAY, join=members[:1])
    names = {
        "group": group.pk, "bare": bare.pk, "other": members[1].pk,
        "member": GroupMember.objects.get().pk, "day": f"'{SECOND_DAY}'::date",
    }  # fmt: skip

    # Nobody else may be connected while the book is kept for other tests.
    owner: Connection = request.getfixturevalue("owner")

    def refusal(statement: str) -> str:
        with pytest.raises(errors.CheckViolation) as told, owner.transaction():
            owner.execute(f"{ACT}; {statement.format(**names)}")
        return str(told.value.diag.constraint_name)

    signed = AccountAgreement.objects.select_related("account", "agreement").get(
        account=group.account_id
    )
    return Linked(firm.desk, signed, refusal)


COLUMNS = "(legal_entity_id, code, owner_class, client_id, guarantee_reference,"
COPIED = f"""
    INSERT INTO accounts_accountgroup {COLUMNS} guarantee_sha256, guarantee_dated_on, account_id)
    SELECT legal_entity_id, 'G9', owner_class, client_id, '', '', """
REFUSED = {
    "group_is_made_by_two": COPIED + "NULL, {other} FROM accounts_accountgroup WHERE id = {group}",
    "guarantee_has_a_day": COPIED + "{day}, NULL FROM accounts_accountgroup WHERE id = {group}",
    "group_is_changed_by_two": """
        INSERT INTO accounts_groupmember (group_id, account_id, joined_on)
        VALUES ({group}, {other}, {day})""",
    "group_has_terms": """
        INSERT INTO accounts_groupmember (group_id, account_id, joined_on)
        VALUES ({bare}, {other}, {day} - 1)""",
    "member_stays_as_joined":
        "UPDATE accounts_groupmember SET joined_on = joined_on - 1 WHERE id = {member}",
    "member_is_known_since": "UPDATE accounts_groupmember SET xid = '3' WHERE id = {member}",
    "group_keeps_its_guarantee":
        "UPDATE accounts_accountgroup SET guarantee_reference = 'another' WHERE id = {group}",
}  # fmt: skip


def test_the_owner_of_the_tables_is_refused_by_name(linked: Linked) -> None:
    before = list(GroupMember.objects.values_list())
    assert {rule: linked.refusal(statement) for rule, statement in REFUSED.items()} == {
        rule: rule for rule in REFUSED
    }
    assert list(GroupMember.objects.values_list()) == before


def test_terms_under_which_a_group_has_members_do_not_end(linked: Linked) -> None:
    asked = request_end(
        linked.signed, effective_to=SECOND_DAY + timedelta(days=1), reason=WHY,
        actor=person(linked.desk[Role.RISK]),
    )  # fmt: skip
    with pytest.raises(RefusedError) as told:
        agreed(asked, linked.desk[Role.COMPLIANCE])
    assert told.value.rule == "group_keeps_its_terms"
    linked.signed.refresh_from_db()
    assert linked.signed.effective_to is None


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("group_is_of_the_firm", {"group": 0, "join": [], "leave": []}),
        ("member_is_in_the_group", {"join": [], "leave": ["other"]}),
    ],
)
def test_a_request_about_what_is_not_there_is_refused(
    linked: Linked, rule: str, said: dict[str, Any]
) -> None:
    """Agreed to by two people all the same, and handed to the database past every preview."""
    group = AccountGroup.objects.get(code="G1")
    other = MarginAccount.objects.exclude(pk__in=GroupMember.objects.values("account")).first()
    assert other is not None
    payload = {"group": group.pk, "day": SECOND_DAY.isoformat()} | said
    payload["leave"] = [other.pk for _ in payload["leave"]]
    with acting(person(linked.desk[Role.RISK]), reason=WHY):
        asked = request_approval(
            legal_entity_id=group.legal_entity_id, action="group.member", subject="A group",
            payload=payload, reason=WHY,
        )  # fmt: skip
    checker = person(linked.desk[Role.COMPLIANCE])
    decide(asked, verdict="approved", reason=WHY, actor=checker)
    before = list(GroupMember.objects.values_list())
    with (
        pytest.raises(RefusedError) as told,
        acting(checker, reason=WHY),
        refusals(),
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT accounts.change_group(%s)", [asked])
    assert told.value.rule == rule
    assert list(GroupMember.objects.values_list()) == before
