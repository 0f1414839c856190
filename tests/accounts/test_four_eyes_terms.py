"""Agreements and parameters: new ones take effect once a second person agrees, and by codes known.

The firm is one small day of the product's own files, so that its terms are real ones.
"""

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.test import Client as Browser
from django.urls import reverse

from accounts.agreed_terms import account_terms
from accounts.agreements import TERMS, request_end, request_signature, request_version
from accounts.approvals import AskRefusedError, describe, request_approval
from accounts.audit import acting
from accounts.models import (
    AccountAgreement,
    Agreement,
    AgreementVersion,
    Approval,
    LegalEntity,
    MarginAccount,
    Role,
)
from ledger.models import Asset
from margin.models import Bracket, Haircut, InstrumentTerms
from margin.parameters import request_haircut, request_terms
from margin.terms import terms_in_force
from tests.accounts.people import Desk, found_desk, person, sign_in
from tests.accounts.raw import act
from tests.accounts.raw import refused as raw_refused
from tests.ledger.agreeing import WHY, agreed, refused, standing
from tests.stage import booked_days

LATER = date(2031, 4, 1)


@pytest.fixture
def desk(db: None, tmp_path: Path) -> Desk:
    booked_days(tmp_path / "firm", accounts=6, seed=4, days=1)
    return found_desk(entity=LegalEntity.objects.get())


def terms_of(version: AgreementVersion, **changed: Any) -> dict[str, Any]:
    said = {name: getattr(version, name) for name in TERMS} | {
        "effective_from": LATER.isoformat(), "call_level": "3", "liquidation_level": "2",
        "minimum_transfer_amount": "100", "call_due_for": "2 days",
    }  # fmt: skip
    return said | changed


def version_asked(desk: Desk, **changed: Any) -> UUID:
    old = AgreementVersion.objects.order_by("agreement__code")[0]
    return request_version(
        legal_entity=desk.entity, code=old.agreement.code, terms=terms_of(old, **changed),
        reason=WHY, actor=person(desk[Role.RISK]),
    )  # fmt: skip


def test_new_terms_hold_from_their_day_once_agreed(desk: Desk) -> None:
    pk = version_asked(desk)
    asked = Approval.objects.get(pk=pk)
    fields = {f.label: (f.before, f.after) for f in describe(asked).fields}
    assert fields["Call level"][1] == "3"
    assert not AgreementVersion.objects.filter(version=2).exists()
    with refused("approval_is_not_ones_own"):
        agreed(pk, desk[Role.RISK])
    agreed(pk, desk[Role.COMPLIANCE])
    added = AgreementVersion.objects.get(version=2)
    assert (added.effective_from, added.call_level) == (LATER, Decimal(3))
    assert added.call_due_for == timedelta(days=2)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"model": "span"}, "no model span"),
        ({"parameters": "v9"}, "no parameters v9"),
        ({"currency": "XXX"}, "no currency"),
        ({"eligible_collateral": ["USD", "GOLD"]}, "GOLD"),
        ({"call_level": "1", "liquidation_level": "2"}, "no lower"),
    ],
)
def test_codes_that_margin_does_not_know_are_not_asked_for(
    desk: Desk, changed: dict[str, Any], words: str
) -> None:
    with pytest.raises(AskRefusedError, match=words):
        version_asked(desk, **changed)
    assert not Approval.objects.exists()


def test_codes_are_looked_at_again_when_they_are_applied(desk: Desk) -> None:
    old = AgreementVersion.objects.order_by("agreement__code")[0]
    with acting(person(desk[Role.RISK]), reason=WHY):
        pk = request_approval(
            legal_entity_id=desk.entity.pk, action="agreement.version", subject="x", reason=WHY,
            payload={
                "agreement": old.agreement.code,
                "row": terms_of(old, model="span") | {"version": 2},
            },
        )  # fmt: skip
    with refused("agreement_names_what_is_known"):
        agreed(pk, desk[Role.COMPLIANCE])


def test_an_account_changes_its_agreement_by_two_people(desk: Desk) -> None:
    signed = AccountAgreement.objects.select_related("account", "agreement").order_by("pk")[0]
    other = Agreement.objects.exclude(pk=signed.agreement_id).order_by("code")[0]
    pk = request_signature(
        account=signed.account, agreement=other, effective_from=LATER, reason=WHY,
        actor=person(desk[Role.OPERATIONS]),
    )  # fmt: skip
    agreed(pk, desk[Role.RISK])
    terms = account_terms(signed.account_id, day=LATER)
    assert terms is not None
    assert terms.agreement.code == other.code
    newest = AccountAgreement.objects.get(account=signed.account, agreement=other)
    end = request_end(
        newest, effective_to=LATER + timedelta(days=9), reason=WHY,
        actor=person(desk[Role.OPERATIONS]),
    )  # fmt: skip
    agreed(end, desk[Role.RISK])
    assert account_terms(signed.account_id, day=LATER + timedelta(days=9)) is None


def test_agreements_and_parameters_are_not_written_by_hand(desk: Desk, owner: Any) -> None:
    statements = {
        "agreement_is_changed_by_two": "INSERT INTO accounts_agreementversion (agreement_id,"
        " version, effective_from, model, parameters, call_level, liquidation_level,"
        " minimum_transfer_amount, currency, call_due_for, eligible_collateral,"
        " segregation_regime, jurisdiction, document_sha256) SELECT agreement_id, 2, '2031-04-01',"
        " model, parameters, 0, 0, 0, currency, call_due_for, eligible_collateral, '', '', ''"
        " FROM accounts_agreementversion LIMIT 1",
        "account_is_signed_by_two": "INSERT INTO accounts_accountagreement (account_id,"
        " agreement_id, effective_from) SELECT account_id, agreement_id, '2031-04-01'"
        " FROM accounts_accountagreement LIMIT 1",
        "agreement_is_ended_by_two": "UPDATE accounts_accountagreement"
        " SET effective_to = '2031-04-01'",
        "haircut_is_set_by_two": "INSERT INTO margin_haircut (asset_id, version, effective_from,"
        " haircut) SELECT asset_id, 2, '2031-04-01', 0 FROM margin_haircut LIMIT 1",
        "terms_are_set_by_two": "INSERT INTO margin_instrumentterms (asset_id, version,"
        " effective_from, initial_rate, maintenance_rate) SELECT asset_id, 2, '2031-04-01', 0, 0"
        " FROM margin_instrumentterms LIMIT 1",
    }
    before = standing()
    for rule, statement in statements.items():
        with raw_refused(rule), act(owner):
            owner.execute(statement)
    bracket = (
        "INSERT INTO margin_bracket (terms_id, floor, initial_rate, maintenance_rate)"
        " SELECT id, 1e9, 0, 0 FROM margin_instrumentterms LIMIT 1"
    )
    with raw_refused("terms_are_set_by_two"), act(owner):
        owner.execute(bracket)
    assert standing() == before


def test_an_agreement_of_another_firm_is_not_signed(desk: Desk) -> None:
    elsewhere = found_desk(code="EB-UK")
    with acting(person(desk[Role.RISK]), reason=WHY):
        other = Agreement.objects.create(legal_entity=elsewhere.entity, code="THEIRS")
    account = MarginAccount.objects.order_by("pk")[0]
    with pytest.raises(AskRefusedError):
        request_signature(
            account=account, agreement=other, effective_from=LATER, reason=WHY,
            actor=person(desk[Role.OPERATIONS]),
        )  # fmt: skip
    with acting(person(desk[Role.OPERATIONS]), reason=WHY):
        pk = request_approval(
            legal_entity_id=desk.entity.pk, action="agreement.sign", subject="x", reason=WHY,
            payload={"account": account.pk, "agreement": other.pk, "effective_from": "2031-04-01"},
        )  # fmt: skip
    with refused("agreement_is_of_the_firm"):
        agreed(pk, desk[Role.RISK])


def test_a_haircut_changes_from_its_day_once_agreed(desk: Desk) -> None:
    asset = Asset.objects.get(code="BTC")
    before = terms_in_force(LATER).haircuts[asset.pk]
    pk = request_haircut(
        asset=asset, haircut=Decimal("0.35"), effective_from=LATER, legal_entity=desk.entity,
        reason=WHY, actor=person(desk[Role.RISK]),
    )  # fmt: skip
    assert describe(Approval.objects.get(pk=pk)).fields[0].after == "0.35"
    agreed(pk, desk[Role.COMPLIANCE])
    assert terms_in_force(LATER).haircuts[asset.pk].haircut == Decimal("0.35")
    day_before = terms_in_force(LATER - timedelta(days=1)).haircuts[asset.pk]
    assert day_before.pk == before.pk
    with pytest.raises(AskRefusedError):
        request_haircut(
            asset=asset, haircut=Decimal("1.01"), effective_from=LATER, legal_entity=desk.entity,
            reason=WHY, actor=person(desk[Role.RISK]),
        )  # fmt: skip


def test_brackets_are_all_that_was_agreed(desk: Desk, owner: Any) -> None:
    terms = InstrumentTerms.objects.filter(brackets__isnull=False).select_related("asset")[0]
    lines = [
        (Decimal(0), Decimal("0.2"), Decimal("0.1")),
        (Decimal(1000), Decimal("0.4"), Decimal("0.2")),
    ]
    pk = request_terms(
        asset=terms.asset, brackets=lines, effective_from=LATER, legal_entity=desk.entity,
        reason=WHY, actor=person(desk[Role.RISK]),
    )  # fmt: skip
    agreed(pk, desk[Role.COMPLIANCE])
    added = InstrumentTerms.objects.get(asset=terms.asset, version=2)
    found = Bracket.objects.filter(terms=added).order_by("floor")
    assert list(found.values_list("floor", "initial_rate", "maintenance_rate")) == lines
    for wrong in ([], lines[1:], [lines[0], lines[0]], [(Decimal(0), Decimal(1), Decimal(2))]):
        with pytest.raises(AskRefusedError):
            request_terms(
                asset=terms.asset, brackets=wrong, effective_from=LATER, legal_entity=desk.entity,
                reason=WHY, actor=person(desk[Role.RISK]),
            )  # fmt: skip


def test_the_pages_ask_and_show_what_waits(desk: Desk) -> None:
    browser = Browser()
    sign_in(browser, desk[Role.RISK])
    asset = Haircut.objects.order_by("asset__code")[0].asset
    assert browser.get(reverse("margin:terms")).status_code == 200
    code = Agreement.objects.order_by("code")[0].code
    assert browser.get(reverse("margin:version-new") + f"?agreement={code}").status_code == 200
    said = {"haircut": "0.5", "effective_from": LATER.isoformat(), "reason": WHY}
    address = reverse("margin:parameter-new", args=[asset.pk])
    assert browser.post(address, said | {"haircut": "2"}).status_code == 422
    assert browser.post(address, said).status_code == 302
    assert "Waits for a second person" in browser.get(reverse("margin:terms")).content.decode()
    auditor = Browser()
    sign_in(auditor, desk[Role.AUDITOR])
    assert auditor.post(address, said).status_code == 403
