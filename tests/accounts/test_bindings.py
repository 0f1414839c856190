"""Whose identity it is: bound by two administrators, of one person, and gone when taken away."""

import pytest
from django.test import Client as Browser

from accounts import bindings
from accounts.approvals import AskRefusedError
from accounts.audit import RefusedError
from accounts.models import Role, SignInBinding
from accounts.people import request_grant
from tests.accounts.people import Desk, found_desk, person, session_of, sign_in
from tests.accounts.provider import SmallProvider
from tests.accounts.raw import Connection, act, refused
from tests.accounts.test_provider import WHY, agree, bind, go, live


@pytest.fixture
def desk(db: None) -> Desk:
    return found_desk()


def test_an_identity_is_of_one_person_and_taking_it_away_ends_their_sessions(
    desk: Desk, there: SmallProvider, client: Browser
) -> None:
    bind(desk, desk[Role.RISK], "idp-42")
    with pytest.raises(AskRefusedError):
        bind(desk, desk[Role.TREASURY], "idp-42")
    go(client)
    by_password = Browser()
    sign_in(by_password, desk[Role.RISK])
    bind(desk, desk[Role.RISK], "idp-42", is_bound=False)
    assert client.get("/approvals/").status_code == 302
    assert by_password.get("/approvals/").status_code == 200
    assert (go(Browser()).status_code, live()) == (403, 0)
    bind(desk, desk[Role.TREASURY], "idp-42")
    assert bindings.operator_of(there.address, "idp-42") == desk[Role.TREASURY]


def test_of_two_who_were_agreed_to_have_an_identity_one_has_it(
    desk: Desk, there: SmallProvider
) -> None:
    asked = [
        bindings.request_binding(
            operator=desk[role], legal_entity=desk.entity, subject="idp-42", is_bound=True,
            reason=WHY, actor=person(desk.administrators[0]),
        )
        for role in (Role.RISK, Role.TREASURY)
    ]  # fmt: skip
    agree(desk, asked[0])
    with pytest.raises(RefusedError) as refusal:
        agree(desk, asked[1])
    assert refusal.value.rule == "identity_is_of_one_person"
    assert bindings.operator_of(there.address, "idp-42") == desk[Role.RISK]
    assert SignInBinding.objects.count() == 1


def test_the_database_binds_nobody_by_one_person(
    desk: Desk, there: SmallProvider, owner: Connection
) -> None:
    rows = SignInBinding.objects.count()
    row = (
        "INSERT INTO accounts_signinbinding (operator_id, issuer, subject, is_bound)"
        " VALUES (%s, %s, 'idp-42', true)"
    )
    operator = desk[Role.RISK]
    for key in (None, session_of(desk.administrators[0])):
        with refused("identity_is_bound_by_two"), act(owner, key=key):
            owner.execute(row, [operator.pk, there.address])
    with refused("identity_has_issuer_and_subject"), act(owner):
        owner.execute(row, [operator.pk, ""])
    with refused("identity_is_bound"), act(owner, actor="system:sign-in"):
        owner.execute(
            "SELECT accounts.open_proved_session(%s, 'k', interval '1 hour', 'oidc', '', '')",
            [operator.pk],
        )
    assert SignInBinding.objects.count() == rows
    assert live() == 0


def test_administrators_of_one_firm_bind_nobody_who_works_at_another(
    desk: Desk, there: SmallProvider
) -> None:
    """Else two of the smaller firm could act at the larger one."""
    other = found_desk(code="EB-UK")
    both = desk[Role.RISK]
    asked = request_grant(
        operator=both, role=Role.RISK, legal_entity=other.entity, reason=WHY,
        actor=person(other.administrators[0]),
    )  # fmt: skip
    agree(other, asked)
    with pytest.raises(RefusedError) as refusal:
        bind(other, both, "of-the-thief")
    assert refusal.value.rule == "identity_is_bound_wherever_one_works"
    assert not SignInBinding.objects.exists()
