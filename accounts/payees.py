"""Payment instructions: where a client's money may go, set by two people, used after a wait."""

import json
import re
from dataclasses import asdict, dataclass
from datetime import date
from typing import Final
from uuid import UUID

from django.db import connection
from django.utils import timezone

from accounts.approvals import (
    AskRefusedError,
    Description,
    FieldChange,
    register_action,
    request_approval,
    spend,
)
from accounts.audit import Actor, acting
from accounts.models import Approval, Client, LegalEntity, PaymentInstruction
from accounts.personal import ERASED, ErasedPersonError, open_text, seal_text

SET: Final = "instruction.set"
RULE: Final = "instruction.rule"
WAIT_HOURS_MAX: Final = 24 * 30
NAME_LENGTH_MAX: Final = 140
METHOD = PaymentInstruction.Method
_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")
_BIC = re.compile(r"[A-Z]{6}[A-Z0-9]{2}([A-Z0-9]{3})?")
_ACCOUNT = re.compile(r"[A-Za-z0-9][A-Za-z0-9/-]{0,33}")
_ADDRESS = re.compile(r"[A-Za-z0-9][A-Za-z0-9:_-]{9,119}")
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
# What payment systems carry in a name beside letters and digits.
_NAME_MARKS: Final = frozenset(" /-?:().,'+&")


@dataclass(frozen=True, slots=True)
class Payee:
    """Who is paid and where. A bank account has an IBAN or an account number; a wallet an address.

    Attributes:
        name: of the beneficiary, as their bank knows it.
        bic: of their bank; needed with an account number, not with an IBAN.
    """

    name: str
    iban: str = ""
    bic: str = ""
    account: str = ""
    address: str = ""

    @classmethod
    def of(cls, instruction: PaymentInstruction) -> "Payee":
        """What an instruction says.

        Raises:
            ErasedPersonError: the client's key is destroyed.
        """
        return cls.opened(instruction.details)

    @classmethod
    def opened(cls, text: str) -> "Payee":
        """What an opened text says.

        Raises:
            ErasedPersonError: there is nothing left to read.
        """
        if text == ERASED:
            raise ErasedPersonError("the person was erased; nobody can be paid")
        return cls(**json.loads(text))

    @property
    def place(self) -> str:
        """The account or address, in one line."""
        return " ".join(filter(None, [self.iban or self.account or self.address, self.bic]))

    @property
    def masked(self) -> str:
        """The place as lists show it: its last four characters."""
        return f"…{(self.iban or self.account or self.address)[-4:]}"


def as_payee(
    *, name: str, iban: str = "", bic: str = "", account: str = "", address: str = ""
) -> Payee:
    """What somebody typed, without the spaces that people write IBANs with."""
    return Payee(
        name=" ".join(name.split()),
        iban="".join(iban.split()).upper(),
        bic="".join(bic.split()).upper(),
        account=account.strip(),
        address=address.strip(),
    )


def is_iban(text: str) -> bool:
    """Whether the text is an IBAN whose check digits are right (ISO 13616: modulo 97 is 1)."""
    if not _IBAN.fullmatch(text):
        return False
    turned = text[4:] + text[:4]
    return int("".join(str(int(each, 36)) for each in turned)) % 97 == 1


def check_payee(payee: Payee, *, method: str) -> None:
    """Refuse what no money could follow.

    Raises:
        AskRefusedError: the field that does not fit, and why.
    """
    if (
        not payee.name[:1].isalnum()
        or len(payee.name) > NAME_LENGTH_MAX
        or not all(each.isalnum() or each in _NAME_MARKS for each in payee.name)
    ):
        detail = "A name begins with a letter or digit; payment systems carry letters, digits and"
        raise AskRefusedError("name", f"{detail} / - ? : ( ) . , ' + &.")
    if method == METHOD.WALLET:
        if not _ADDRESS.fullmatch(payee.address):
            raise AskRefusedError("address", "An address is 10 to 120 letters and digits.")
        if payee.iban or payee.bic or payee.account:
            raise AskRefusedError("iban", "A wallet has an address and no bank account.")
        return
    if payee.address:
        raise AskRefusedError("address", "A bank account has no wallet address.")
    if bool(payee.iban) == bool(payee.account):
        raise AskRefusedError("iban", "Say an IBAN, or an account number with the BIC.")
    if payee.iban and not is_iban(payee.iban):
        raise AskRefusedError("iban", "The check digits of this IBAN are not right.")
    if payee.bic and not _BIC.fullmatch(payee.bic):
        raise AskRefusedError("bic", "A BIC has 8 or 11 letters and digits.")
    if payee.account and not (_ACCOUNT.fullmatch(payee.account) and payee.bic):
        raise AskRefusedError("account", "An account number has up to 34 characters, and a BIC.")


# ---------------------------------------------------------------- setting one


def request_instruction(
    *,
    client: Client,
    code: str,
    asset_code: str,
    method: str,
    payee: Payee,
    reason: str,
    actor: Actor,
    request_id: str = "",
) -> UUID:
    """Ask that a client's money in an asset may go somewhere; a second person verifies it.

    Args:
        code: what the desk calls the instruction; the same code again is its next version.
        method: bank or wallet.

    Raises:
        AskRefusedError: no money could follow it.
        ErasedPersonError: the client was erased.
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    if not _CODE.fullmatch(code):
        raise AskRefusedError("code", "A short name of letters, digits, - and _.")
    check_payee(payee, method=method)
    sealed = seal_text(client.person_key, json.dumps(asdict(payee), sort_keys=True))
    return _ask(
        client, code=code, asset_code=asset_code, method=method, sealed=sealed, is_active=True,
        reason=reason, actor=actor, request_id=request_id,
    )  # fmt: skip


def request_end(
    instruction: PaymentInstruction, *, reason: str, actor: Actor, request_id: str = ""
) -> UUID:
    """Ask that nothing be paid by an instruction any more.

    Raises:
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    return _ask(
        instruction.client, code=instruction.code, asset_code=instruction.asset_code,
        method=instruction.method, sealed=bytes(instruction.details_sealed), is_active=False,
        reason=reason, actor=actor, request_id=request_id,
    )  # fmt: skip


def _ask(
    client: Client, *, code: str, asset_code: str, method: str, sealed: bytes, is_active: bool,
    reason: str, actor: Actor, request_id: str,
) -> UUID:  # fmt: skip
    verb = "pay" if is_active else "no longer pay"
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=client.legal_entity_id,
            action=SET,
            subject=f"Client {client.code}: {verb} {asset_code} by instruction {code}",
            payload={
                "client": client.pk, "code": code, "asset_code": asset_code, "method": method,
                "details": sealed.hex(), "is_active": is_active,
            },
            reason=reason,
            records=(f"accounts_client:{client.pk}",),
        )  # fmt: skip


def describe_instruction(approval: Approval) -> Description:
    """The instruction in force, and as asked for; opened for whoever decides."""
    asked = approval.payload
    client = Client.objects.named().get(pk=asked["client"])
    before = (
        PaymentInstruction.objects.filter(client=client, code=asked["code"])
        .select_related("client__person_key")
        .order_by("-version")
        .first()
    )
    opened = open_text(client.person_key, bytes.fromhex(asked["details"]))
    now = _lines("none" if before is None or not before.is_active else before.details)
    then = _lines(opened if asked["is_active"] else "none")
    hours = waiting_hours(approval.legal_entity, timezone.now().date())
    return Description(
        headline=approval.subject,
        facts=(("Client", f"{client.code} {client.name}"), ("Asset", asked["asset_code"]),
               ("Instruction", asked["code"])),
        fields=tuple(
            FieldChange(label, now.get(label, "none"), then.get(label, "none"))
            for label in dict.fromkeys([*now, *then])
        ),
        note=f"Compare it with what the client signed. It is used {hours} hours after this"
        " decision at the earliest." if asked["is_active"] else
        "Payments that are in a file already are not stopped by this.",
    )  # fmt: skip


def _lines(text: str) -> dict[str, str]:
    if text in ("none", ERASED):
        return {"Beneficiary": text}
    payee = Payee.opened(text)
    said = {
        "Beneficiary": payee.name, "IBAN": payee.iban, "BIC": payee.bic,
        "Account": payee.account, "Address": payee.address,
    }  # fmt: skip
    return {label: value for label, value in said.items() if value}


def set_instruction(approval: Approval) -> None:
    """Set it as agreed; call inside an act."""
    spend("SELECT accounts.set_instruction(%s)", approval)


# ---------------------------------------------------------------- how long one waits


def waiting_hours(legal_entity: LegalEntity, day: date) -> int:
    """How many hours a new instruction waits, on a day."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT accounts.instruction_hours(%s, %s)", [legal_entity.pk, day])
        return int(cursor.fetchone()[0])


def request_rule(
    *,
    hours: int,
    effective_from: date,
    legal_entity: LegalEntity,
    reason: str,
    actor: Actor,
    request_id: str = "",
) -> UUID:
    """Ask that new instructions wait for another number of hours from a day on.

    Raises:
        AskRefusedError: nobody would wait for so long.
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    if not 0 <= hours <= WAIT_HOURS_MAX:
        raise AskRefusedError("hours", f"Between 0 and {WAIT_HOURS_MAX} hours.")
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=legal_entity.pk,
            action=RULE,
            subject=f"New payment instructions wait {hours} hours",
            payload={"hours": hours, "effective_from": effective_from.isoformat()},
            reason=reason,
        )


def describe_rule(approval: Approval) -> Description:
    """The wait now and as asked for."""
    begins = date.fromisoformat(approval.payload["effective_from"])
    now = waiting_hours(approval.legal_entity, begins)
    return Description(
        headline=approval.subject,
        facts=(("From", begins.isoformat()),),
        fields=(FieldChange("Hours a new instruction waits", str(now),
                            str(approval.payload["hours"])),),
        note="Versions that are set already keep the wait they were set with.",
    )  # fmt: skip


def set_rule(approval: Approval) -> None:
    """Set the rule as agreed; call inside an act."""
    spend("SELECT accounts.set_instruction_rule(%s)", approval)


def register() -> None:
    """Say how requests about instructions are shown and applied."""
    register_action(SET, describe=describe_instruction, apply=set_instruction)
    register_action(RULE, describe=describe_rule, apply=set_rule)
