"""The texts of notices: which version holds, what it may name, and what it says of a step.

A text is data, never code: a declared place in braces is replaced by its value as it is, once;
there is nothing else in it to be carried out.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final, NamedTuple
from uuid import UUID

from accounts.approvals import (
    AskRefusedError,
    Description,
    FieldChange,
    register_action,
    request_approval,
    spend,
)
from accounts.audit import Actor, acting
from accounts.groups import called_name
from accounts.models import Approval, LegalEntity
from margin.models import CallEvent, MarginCall, MarginResult, NoticeKind, NoticeTemplate

TEMPLATE: Final = "notice.template"
STANDARD_LANGUAGE: Final = "en"
SUBJECT_LENGTH_MAX, BODY_LENGTH_MAX = 200, 20_000
LANGUAGE: Final = re.compile(r"[a-z]{2}(-[A-Z]{2})?")
# What a text may name, and what stands there.
PLACES: Final[Mapping[str, str]] = {
    "account": "the account's code",
    "amount": "what is called now",
    "amount_before": "what was called before this step",
    "as_of": "when the figures were computed, UTC",
    "bucket": "the bucket's code",
    "client": "the client's code",
    "client_name": "the client's name",
    "currency": "the currency of the call",
    "due": "when it is due, UTC",
    "equity": "the equity of the scope",
    "firm": "the legal entity's name",
    "initial_margin": "the initial margin of the scope",
    "issued": "when the call was made, UTC",
    "number": "the number of the call",
    "reason": "what the step says of itself",
    "run": "the margin run behind it",
}
PLACE: Final = re.compile(r"\{(" + "|".join(PLACES) + r")\}")
# Whatever ends a line or steers a terminal; a value that has one gets a blank instead.
CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# The kind of notice behind each step of a call; "amended" is told apart by its amounts.
KIND_OF_EVENT: Final[Mapping[str, NoticeKind]] = {
    "issued": NoticeKind.ISSUED,
    "raised": NoticeKind.RAISED,
    "lowered": NoticeKind.LOWERED,
    "cancelled": NoticeKind.CANCELLED,
    "withdrawn": NoticeKind.CANCELLED,
    "waived": NoticeKind.CANCELLED,
    "partially_met": NoticeKind.PARTIALLY_MET,
    "met": NoticeKind.MET,
    "extended": NoticeKind.EXTENDED,
    "expired": NoticeKind.EXPIRED,
    "liquidating": NoticeKind.LIQUIDATING,
}
AMENDED: Final = "amended"
TOLD_EVENTS: Final = (*KIND_OF_EVENT, AMENDED)


class NoticeText(NamedTuple):
    """A notice as its reader sees it."""

    subject: str
    body: str


# ---------------------------------------------------------------- what may stand in a text


def faults_of(*, language: str, subject: str, body: str) -> dict[str, str]:
    """What is wrong with a text that somebody proposes, by field; empty where nothing is."""
    faults = {}
    if not LANGUAGE.fullmatch(language):
        faults["language"] = "A language is two small letters, such as en, or en-US."
    if not subject.strip() or len(subject) > SUBJECT_LENGTH_MAX or CONTROL.search(subject):
        faults["subject"] = f"A subject is one line of at most {SUBJECT_LENGTH_MAX} characters."
    if not body.strip() or len(body) > BODY_LENGTH_MAX or CONTROL.search(body.replace("\n", "")):
        faults["body"] = f"A text is plain lines of at most {BODY_LENGTH_MAX:,} characters in all."
    for field, said in (("subject", subject), ("body", body)):
        unknown = unknown_places(said)
        if unknown and field not in faults:
            faults[field] = f"{', '.join(unknown)}: not a place that a text may name."
    return faults


def unknown_places(said: str) -> list[str]:
    """What stands in braces, or is a brace, and is no declared place."""
    rest = PLACE.sub("", said)
    named = re.findall(r"\{[^{}]*\}", rest)
    loose = re.sub(r"\{[^{}]*\}", "", rest)
    return sorted(set(named)) + sorted(set(re.findall(r"[{}]", loose)))


# ---------------------------------------------------------------- which version holds


class TextBook:
    """The versions that hold, read once; for many notices together."""

    def __init__(self, entities: Iterable[int]) -> None:
        found = NoticeTemplate.objects.filter(legal_entity__in=set(entities))
        standard = NoticeTemplate.objects.filter(legal_entity__isnull=True)
        self._newest: dict[tuple[int | None, str, str], NoticeTemplate] = {}
        for each in (found | standard).order_by("version"):
            self._newest[each.legal_entity_id, each.kind, each.language] = each

    def of(self, entity_id: int, kind: str, language: str) -> NoticeTemplate:
        """The firm's own text, or the standard one, in the language; else in the standard one."""
        for spoken in (language, language[:2], STANDARD_LANGUAGE):
            for owner in (entity_id, None):
                if found := self._newest.get((owner, kind, spoken)):
                    return found
        raise AssertionError(f"there is no standard text for {kind}")


def texts_at(entity: LegalEntity) -> list[NoticeTemplate]:
    """Every version that holds at a legal entity, by kind and language."""
    book = TextBook([entity.pk])
    languages = sorted({language for _, _, language in book._newest})
    held = {
        (kind, found.language): found
        for kind in NoticeKind.values
        for language in languages
        if (found := book.of(entity.pk, kind, language))
    }
    order = {kind: place for place, kind in enumerate(NoticeKind.values)}
    return [held[key] for key in sorted(held, key=lambda key: (order[key[0]], key[1]))]


# ---------------------------------------------------------------- what a text says of a step


def kind_of(event: CallEvent) -> NoticeKind | None:
    """The kind of notice that tells of a step; None where nobody is told."""
    if event.event == AMENDED:
        rises = (event.amount_after or Decimal(0)) > (event.amount_before or Decimal(0))
        return NoticeKind.RAISED if rises else NoticeKind.LOWERED
    return KIND_OF_EVENT.get(event.event)


def values_of(event: CallEvent, *, result: MarginResult) -> dict[str, str]:
    """What stands in each place, in one line each.

    Args:
        event: with its call, scope, bucket, account, client, key and legal entity.
        result: what the run behind the step says of the scope, with its run.
    """
    call = event.call
    bucket = call.scope.bucket
    assert bucket is not None, "calls are made on buckets"
    account = bucket.account
    client = account.client
    # The first notice asks for what is missing when it is made, as the call itself does.
    is_then = event.event != NoticeKind.ISSUED and event.amount_after is not None
    values = {
        "account": called_name(account, day=call.business_day),
        "amount": _money(event.amount_after if is_then else call.amount),
        "amount_before": _money(event.amount_before),
        "as_of": _instant(result.run.as_of),
        "bucket": bucket.code,
        "client": "" if client is None else client.code,
        "client_name": account.legal_entity.name if client is None else client.name,
        "currency": call.currency,
        "due": _instant(call.due_at),
        "equity": _money(result.equity),
        "firm": account.legal_entity.name,
        "initial_margin": _money(result.initial_margin),
        "issued": _instant(call.issued_at),
        "number": call.number,
        "reason": event.text,
        "run": result.run.number,
    }
    return {name: CONTROL.sub(" ", value) for name, value in values.items()}


def filled(template: NoticeTemplate, values: Mapping[str, str]) -> NoticeText:
    """The text with its places filled in; what a value says is never read as a place."""

    def put(said: str) -> str:
        return PLACE.sub(lambda place: values[place[1]], said)

    return NoticeText(put(template.subject), put(template.body))


def result_behind(event: CallEvent) -> MarginResult:
    """What the run behind a step says of the call's scope, or the newest that spoke of it."""
    call: MarginCall = event.call
    for near in (call.first_result, call.last_result):
        if near.run_id == event.run_id:
            return near
    if event.run_id is not None:
        spoken = MarginResult.objects.filter(run=event.run_id, scope=call.scope_id)
        if found := spoken.select_related("run").first():
            return found
    return call.first_result if event.event == "issued" else call.last_result


def _money(amount: Decimal | None) -> str:
    return "0.00" if amount is None else f"{amount:,.2f}"


def _instant(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}"


# ---------------------------------------------------------------- changing one


def request_text(
    *,
    legal_entity: LegalEntity,
    kind: str,
    language: str,
    subject: str,
    body: str,
    reason: str,
    actor: Actor,
    request_id: str = "",
) -> UUID:
    """Ask that a firm's notices of a kind say something else from now on.

    Raises:
        AskRefusedError: it names a place that there is not, is no plain text, or says the same.
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    body = body.replace("\r\n", "\n")
    if kind not in NoticeKind.values:
        raise AskRefusedError("kind", "There is no such kind of notice.")
    for field, fault in faults_of(language=language, subject=subject, body=body).items():
        raise AskRefusedError(field, fault)
    own = NoticeTemplate.objects.filter(legal_entity=legal_entity, kind=kind, language=language)
    newest = own.order_by("-version").first()
    if newest is not None and (newest.subject, newest.body) == (subject, body):
        raise AskRefusedError("body", f"That is what version {newest.version} says.")
    row = {
        "legal_entity_id": legal_entity.pk,
        "kind": kind,
        "language": language,
        "version": 1 if newest is None else newest.version + 1,
        "subject": subject,
        "body": body,
    }
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=legal_entity.pk,
            action=TEMPLATE,
            subject=f"Notice “{NoticeKind(kind).label}”, {language}, version {row['version']}",
            payload={"row": row},
            reason=reason,
            records=(record_of(kind, language),),
        )


def record_of(kind: str, language: str) -> str:
    """How requests name a text."""
    return f"margin_noticetemplate:{kind}:{language}"


def describe_text(approval: Approval) -> Description:
    """The text that holds and the one proposed."""
    row = approval.payload["row"]
    held = TextBook([approval.legal_entity_id]).of(
        approval.legal_entity_id, row["kind"], row["language"]
    )
    whose = "standard" if held.legal_entity_id is None else f"version {held.version}"
    return Description(
        headline=approval.subject,
        facts=(("Kind", NoticeKind(row["kind"]).label), ("Language", row["language"]),
               ("Holds now", f"{whose}, {held.language}")),
        fields=(FieldChange("Subject", held.subject, row["subject"]),
                FieldChange("Text", held.body, row["body"])),
        note="It holds for notices made from then on; those that were sent stay as they are.",
    )  # fmt: skip


def apply_text(approval: Approval) -> None:
    """Let it hold; call inside an act."""
    spend("SELECT margin.change_notice_text(%s)", approval)


def register() -> None:
    """Say how these requests are shown and applied."""
    register_action(TEMPLATE, describe=describe_text, apply=apply_text)
