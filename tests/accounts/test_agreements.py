"""Terms come from the agreement in force on the day, and from nothing else."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from accounts.agreed_terms import account_terms, terms_in_force
from accounts.audit import Actor, RefusedError, acting
from accounts.models import AccountAgreement, AgreementVersion, LegalEntity, MarginAccount
from tests.accounts.owners import add_account, add_agreement, add_client, sign
from tests.accounts.raw import Connection, act, refused, rows_of

SETUP = Actor.command("test")
TODAY = date(2018, 2, 6)
TOMORROW = TODAY + timedelta(days=1)
LONG_AGO = date(2018, 1, 31)


@pytest.fixture
def entity(db: None) -> LegalEntity:
    with acting(SETUP, reason="A firm"):
        return LegalEntity.objects.create(code="EB-US", name="Example Brokerage")


@pytest.fixture
def accounts(entity: LegalEntity) -> list[MarginAccount]:
    with acting(SETUP, reason="Three accounts"):
        client = add_client(entity, "C1", "Ada Lovelace")
        return [add_account(client, f"A{n}") for n in (1, 2, 3)]


def level(account: MarginAccount, *, day: date) -> Decimal | None:
    terms = account_terms(account.pk, day=day)
    return None if terms is None else terms.call_level


def test_an_account_without_an_agreement_has_no_terms(
    entity: LegalEntity, accounts: list[MarginAccount]
) -> None:
    with acting(SETUP, reason="One agreement"):
        sign(accounts[0], add_agreement(entity, "BASIC", (LONG_AGO, "1")), LONG_AGO)
    terms = terms_in_force(TODAY)
    assert list(terms) == [accounts[0].pk]
    assert (terms[accounts[0].pk].call_level, terms[accounts[0].pk].agreement.code) == (1, "BASIC")
    assert account_terms(accounts[1].pk, day=TODAY) is None


def test_an_agreement_effective_tomorrow_changes_nothing_today(
    entity: LegalEntity, accounts: list[MarginAccount]
) -> None:
    with acting(SETUP, reason="A stricter agreement from tomorrow"):
        sign(accounts[0], add_agreement(entity, "BASIC", (LONG_AGO, "1")), LONG_AGO)
        sign(accounts[0], add_agreement(entity, "STRICT", (LONG_AGO, "1.2")), TOMORROW)
    assert level(accounts[0], day=TODAY) == 1
    assert level(accounts[0], day=TOMORROW) == Decimal("1.2")


def test_a_version_effective_tomorrow_changes_nothing_today(
    entity: LegalEntity, accounts: list[MarginAccount]
) -> None:
    with acting(SETUP, reason="A new version from tomorrow"):
        agreement = add_agreement(entity, "BASIC", (LONG_AGO, "1"), (TOMORROW, "1.1"))
        sign(accounts[0], agreement, LONG_AGO)
    assert level(accounts[0], day=TODAY) == 1
    assert level(accounts[0], day=TOMORROW) == Decimal("1.1")


def test_an_agreement_ends_on_the_day_it_names(
    entity: LegalEntity, accounts: list[MarginAccount]
) -> None:
    with acting(SETUP, reason="An agreement that ends"):
        sign(accounts[0], add_agreement(entity, "BASIC", (LONG_AGO, "1")), LONG_AGO, TOMORROW)
    assert level(accounts[0], day=TODAY) == 1
    assert level(accounts[0], day=TOMORROW) is None
    assert level(accounts[0], day=LONG_AGO - timedelta(days=1)) is None


def test_what_was_replaced_does_not_come_back(
    entity: LegalEntity, accounts: list[MarginAccount]
) -> None:
    with acting(SETUP, reason="A replacement that ended, and one without terms yet"):
        basic = add_agreement(entity, "BASIC", (LONG_AGO, "1"))
        for account in accounts[:2]:
            sign(account, basic, LONG_AGO)
        brief = add_agreement(entity, "BRIEF", (LONG_AGO, "1.5"))
        sign(accounts[0], brief, date(2018, 2, 1), TODAY)
        sign(accounts[1], add_agreement(entity, "LATER", (TOMORROW, "2")), date(2018, 2, 1))
    assert level(accounts[0], day=date(2018, 2, 5)) == Decimal("1.5")
    assert terms_in_force(TODAY) == {}


def test_all_terms_are_one_query_and_one_object_per_version(
    entity: LegalEntity, accounts: list[MarginAccount], django_assert_num_queries: Any
) -> None:
    with acting(SETUP, reason="One agreement for all"):
        agreement = add_agreement(entity, "BASIC", (LONG_AGO, "1"))
        for account in accounts:
            sign(account, agreement, LONG_AGO)
    with django_assert_num_queries(1):
        terms = terms_in_force(TODAY)
        assert {version.agreement.code for version in terms.values()} == {"BASIC"}
    assert len({id(version) for version in terms.values()}) == 1
    assert set(terms_in_force(TODAY, account_ids=[accounts[2].pk])) == {accounts[2].pk}


def test_levels_out_of_order_are_no_agreement(entity: LegalEntity) -> None:
    with pytest.raises(RefusedError) as refusal, acting(SETUP, reason="Levels out of order"):
        add_agreement(entity, "ODD", (LONG_AGO, "0.4"))
    assert refusal.value.rule == "agreement_levels_are_in_order"
    assert not AgreementVersion.objects.exists()


@pytest.mark.parametrize(
    ("rule", "statement"),
    [
        (
            "agreement_version_stays_as_agreed",
            "UPDATE accounts_agreementversion SET call_level = 2",
        ),
        (
            "agreement_version_stays_as_agreed",
            "UPDATE accounts_agreementversion SET segregation_regime = 'other'",
        ),
        (
            "account_agreement_stays_as_signed",
            "UPDATE accounts_accountagreement SET effective_from = '2018-02-01'",
        ),
        ("row_is_kept", "DELETE FROM accounts_agreementversion"),
        ("row_is_kept", "DELETE FROM accounts_accountagreement"),
        (
            "agreement_ends_after_it_starts",
            "UPDATE accounts_accountagreement SET effective_to = effective_from",
        ),
    ],
)
def test_what_was_agreed_stays(
    entity: LegalEntity,
    accounts: list[MarginAccount],
    owner: Connection,
    rule: str,
    statement: str,
) -> None:
    with acting(SETUP, reason="One agreement"):
        sign(accounts[0], add_agreement(entity, "BASIC", (LONG_AGO, "1")), LONG_AGO)
    tables = ("accounts_agreementversion", "accounts_accountagreement")
    before = rows_of(owner, *tables)
    with refused(rule), act(owner):
        owner.execute(statement)
    assert rows_of(owner, *tables) == before
    with pytest.raises(RefusedError) as refusal, acting(SETUP, reason="It ends tomorrow"):
        AccountAgreement.objects.update(effective_to=TOMORROW)
    assert refusal.value.rule == "agreement_is_ended_by_two"
    assert terms_in_force(TOMORROW) != {}
