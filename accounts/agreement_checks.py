"""What other apps have to say of terms and signatures, asked before and again when they count.

Agreements hold codes of what other apps know, and an account that comes under other terms may be
required more: whoever knows says so, registered from `AppConfig.ready`.
"""

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, NamedTuple

from accounts.approvals import FieldChange
from accounts.audit import RefusedError
from accounts.models import Agreement, MarginAccount

# Says what is wrong with the codes of some terms, one sentence each; nothing if all are known.
CheckTerms = Callable[[Mapping[str, Any]], list[str]]
_checks: list[CheckTerms] = []


class SignatureLook(NamedTuple):
    """What an app sees in an account coming under an agreement.

    Attributes:
        refusal: rule and sentence where it must not.
        fields: what would change, before and after.
    """

    refusal: tuple[str, str] | None
    fields: tuple[FieldChange, ...] = ()


LookAtSignature = Callable[[MarginAccount, Agreement, date], SignatureLook]
_looks: list[LookAtSignature] = []


def register_terms_check(check: CheckTerms) -> None:
    """Have new terms looked at by the app that knows what they name."""
    _checks.append(check)


def register_signature_look(look: LookAtSignature) -> None:
    """Have signatures looked at, asked and applied, by the app that knows what they change."""
    _looks.append(look)


def named_terms(terms: Mapping[str, Any], *, code: str, legal_entity_id: int) -> dict[str, Any]:
    """Terms with the agreement that they are of, as checks are asked about them."""
    return {**terms, "agreement": code, "legal_entity": legal_entity_id}


def wrong_terms(row: Mapping[str, Any]) -> list[str]:
    """What the apps that know the codes find wrong."""
    return [sentence for check in _checks for sentence in check(row)]


def looks_at(account: MarginAccount, agreement: Agreement, *, day: date) -> list[SignatureLook]:
    """What the apps see in an account coming under an agreement on a day."""
    return [look(account, agreement, day) for look in _looks]


def refuse_signature(account: MarginAccount, agreement: Agreement, *, day: date) -> None:
    """Refuse what one of the apps refuses.

    Raises:
        RefusedError: with the rule that it names.
    """
    for look in looks_at(account, agreement, day=day):
        if look.refusal is not None:
            rule, sentence = look.refusal
            raise RefusedError(rule, sentence.rstrip("."))
