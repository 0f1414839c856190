"""Clients, accounts and agreements for tests, as plain rows."""

from datetime import date, timedelta
from decimal import Decimal
from uuid import uuid4

from accounts.models import (
    AccountAgreement,
    Agreement,
    AgreementVersion,
    Client,
    LegalEntity,
    MarginAccount,
    PersonKey,
)
from accounts.personal import new_key, seal_text

OPENED = date(2018, 1, 31)


def add_client(entity: LegalEntity, code: str, name: str) -> Client:
    """A client whose name is sealed; call inside an act."""
    key = PersonKey.objects.create(id=uuid4(), key=new_key())
    return Client.objects.create(
        legal_entity=entity, code=code, name_sealed=seal_text(key, name), person_key=key
    )


def add_account(client: Client, code: str, *, parent: MarginAccount | None = None) -> MarginAccount:
    """A cross-margin account of the client; call inside an act."""
    return MarginAccount.objects.create(
        legal_entity=client.legal_entity,
        code=code,
        owner_class="CLIENT",
        client=client,
        parent=parent,
        mode=MarginAccount.Mode.CROSS,
        opened_on=OPENED,
    )


def add_agreement(entity: LegalEntity, code: str, *versions: tuple[date, str]) -> Agreement:
    """An agreement with versions, each its first day and its call level; call inside an act."""
    agreement = Agreement.objects.create(legal_entity=entity, code=code)
    for number, (first_day, call_level) in enumerate(versions, start=1):
        AgreementVersion.objects.create(
            agreement=agreement,
            version=number,
            effective_from=first_day,
            model="house_v1",
            parameters="standard",
            call_level=Decimal(call_level),
            liquidation_level=Decimal("0.5"),
            minimum_transfer_amount=Decimal(100),
            currency="USD",
            call_due_for=timedelta(days=1),
        )
    return agreement


def sign(
    account: MarginAccount, agreement: Agreement, first_day: date, last_day: date | None = None
) -> None:
    """Put the account under the agreement from a day, up to before `last_day`."""
    AccountAgreement.objects.create(
        account=account, agreement=agreement, effective_from=first_day, effective_to=last_day
    )
