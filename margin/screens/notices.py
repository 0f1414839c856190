"""Texts of notices and where they go: what holds, trying one on a call, asking for another."""

from typing import Any

from django import forms
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from accounts.approvals import AskRefusedError, pending_on
from accounts.audit import RefusedError
from accounts.models import Client, LegalEntity, MarginAccount
from accounts.news import announce
from accounts.roles import DECIDE, REQUEST, DeskRequest, check, may, one_of, require, who_may
from accounts.screens.asking import AskForm, Question, ask, ask_page, text_field
from margin.models import (
    CallEvent,
    Channel,
    MarginCall,
    NoticeContact,
    NoticeKind,
    NoticeTemplate,
)
from margin.notices.contacts import (
    CONTACTS,
    WAYS,
    AskedContacts,
    ContactDraft,
    addresses_of,
    contact_of,
    record_of,
    request_contacts,
    shown_addresses,
)
from margin.notices.plan import READ_WITH
from margin.notices.texts import (
    BODY_LENGTH_MAX,
    PLACES,
    STANDARD_LANGUAGE,
    SUBJECT_LENGTH_MAX,
    TEMPLATE,
    TOLD_EVENTS,
    NoticeText,
    TextBook,
    faults_of,
    filled,
    kind_of,
    request_text,
    result_behind,
    texts_at,
    values_of,
)
from margin.notices.texts import record_of as record_of_text
from margin.screens.visible import CALL_ACCOUNT, NO_PAGE, entity_here, of_accounts

PREVIEW = "preview"
CLIENTS_SHOWN_MAX = 500


# ---------------------------------------------------------------- texts


class TextForm(AskForm):
    """A text of a kind of notice, and the call on which it is tried."""

    kind = forms.ChoiceField(label="Notice", choices=NoticeKind.choices)
    language = text_field("Language", required=True, length=8, hint="Such as en or de.")
    subject = text_field("Subject", required=True, length=SUBJECT_LENGTH_MAX)
    body = forms.CharField(
        label="Text", max_length=BODY_LENGTH_MAX, strip=False,
        widget=forms.Textarea(attrs={"rows": 10}),
        help_text="Places in braces, such as {number}, and nothing else in braces.",
    )  # fmt: skip
    call = text_field("Try it on call", length=40, hint="Its number; empty: the newest.")
    field_order = ("kind", "language", "subject", "body", "call", "reason")


@require_GET
@require("read")
def text_list(request: DeskRequest) -> HttpResponse:
    """The texts that hold, and their earlier versions."""
    entity = entity_here(request)
    texts = texts_at(entity)
    own = NoticeTemplate.objects.filter(legal_entity=entity).order_by(
        "kind", "language", "-version"
    )
    context = {
        "texts": texts,
        "versions": own,
        "places": list(PLACES.items()),
        "pending": pending_on(
            *(record_of_text(each.kind, each.language) for each in texts), roles=request.roles
        ).filter(legal_entity=entity),
        "can_change": may(request, f"{REQUEST}{TEMPLATE}", entity),
    }
    return render(request, "margin/notice_texts.html", context)


@require_http_methods(["GET", "POST"])
@require("read")
def text_new(request: DeskRequest, kind: str) -> HttpResponse:
    """Ask for another text, or see first what it would say of a call."""
    entity = entity_here(request)
    if kind not in NoticeKind.values:
        raise Http404(NO_PAGE)
    language = request.GET.get("language", STANDARD_LANGUAGE)
    held = TextBook([entity.pk]).of(entity.pk, kind, language)
    check(request, f"{REQUEST}{TEMPLATE}", entity)
    form = TextForm(
        request.POST if request.method == "POST" else None,
        initial={"kind": kind, "language": language, "subject": held.subject, "body": held.body},
    )
    if PREVIEW in request.POST:
        return text_preview(request, form, entity=entity)

    def do(typed: Any) -> Any:  # noqa: ANN401
        return request_text(
            legal_entity=entity, kind=typed["kind"], language=typed["language"],
            subject=typed["subject"], body=typed["body"], reason=typed["reason"],
            actor=request.actor, request_id=request.request_id,
        )  # fmt: skip

    return ask(request, form, text_question(), entity=entity, do=do)


def text_question() -> Question:
    """What the page asks for."""
    return Question(
        action=TEMPLATE, title="Change the text of a notice",
        purpose="It holds for notices made from then on; those that were sent stay as they are.",
        back=reverse("margin:notice-texts"), back_label="Texts of notices",
        facts=tuple((f"{{{name}}}", words) for name, words in PLACES.items()),
        preview="See it on a call",
    )  # fmt: skip


def text_preview(request: DeskRequest, form: TextForm, *, entity: LegalEntity) -> HttpResponse:
    """What a text would say of a call, as it would go out; nothing is asked for."""
    form.is_valid()
    for name in ("reason",):
        form.errors.pop(name, None)
    said = {name: request.POST.get(name, "") for name in ("kind", "language", "subject", "body")}
    body = said["body"].replace("\r\n", "\n")
    faults = faults_of(language=said["language"], subject=said["subject"], body=body)
    for field, fault in faults.items():
        form.add_error(field, fault)
    event = None if faults else event_to_try(request, said["kind"], request.POST.get("call", ""))
    shown: NoticeText | None = None
    if event is not None:
        draft = NoticeTemplate(subject=said["subject"], body=body)
        shown = filled(draft, values_of(event, result=result_behind(event)))
    elif not faults:
        form.add_error("call", "There is no such call, or none to try it on.")
    context = {
        "form": form, "question": text_question(), "is_multipart": False, "shown": shown,
        "event": event, "deciders": one_of(
            who_may(f"{DECIDE}{TEMPLATE}", entity.pk, besides=request.operator.pk)
        ),
    }  # fmt: skip
    return render(request, "margin/notice_preview.html", context, status=200 if shown else 422)


def event_to_try(request: DeskRequest, kind: str, number: str) -> CallEvent | None:
    """A step of a call that the person sees: of this kind if there is one, else its first."""
    mine = of_accounts(request.roles, [entity_here(request).pk], path=CALL_ACCOUNT)
    calls = MarginCall.objects.filter(mine)
    if number.strip():
        calls = calls.filter(number=number.strip())
    events = (
        CallEvent.objects.filter(call__in=calls, event__in=TOLD_EVENTS)
        .select_related(*READ_WITH)
        .order_by("-pk")[:200]
    )
    found = list(events)
    return next((each for each in found if kind_of(each) == kind), found[0] if found else None)


# ---------------------------------------------------------------- where they go


class ContactForm(AskForm):
    """Ways, kinds and addresses of one client."""

    language = text_field("Language", required=True, length=8, hint="Such as en or de.")
    email = text_field("E-mail address", length=254, hint="Empty: no e-mail.")
    email_kinds = forms.MultipleChoiceField(
        label="Notices by e-mail", choices=NoticeKind.choices, required=False,
        widget=forms.SelectMultiple(attrs={"size": len(NoticeKind)}),
    )  # fmt: skip
    webhook = text_field("Webhook", length=500, hint="An https URL of an allowed host.")
    webhook_kinds = forms.MultipleChoiceField(
        label="Notices by webhook", choices=NoticeKind.choices, required=False,
        widget=forms.SelectMultiple(attrs={"size": len(NoticeKind)}),
    )  # fmt: skip
    renews_secret = forms.BooleanField(label="New secret for the webhook", required=False)
    letter = forms.CharField(
        label="Postal address", required=False, max_length=1000,
        widget=forms.Textarea(attrs={"rows": 5, "autocomplete": "off"}),
        help_text="As it stands on the envelope. Empty: no letters.",
    )  # fmt: skip
    letter_kinds = forms.MultipleChoiceField(
        label="Notices by letter", choices=NoticeKind.choices, required=False,
        widget=forms.SelectMultiple(attrs={"size": len(NoticeKind)}),
    )  # fmt: skip
    field_order = (
        "language", "email", "email_kinds", "webhook", "webhook_kinds", "renews_secret", "letter",
        "letter_kinds", "reason",
    )  # fmt: skip

    def draft(self) -> ContactDraft:
        """What was typed."""
        said = self.cleaned_data
        return ContactDraft(
            language=said["language"], email=said["email"], webhook=said["webhook"],
            letter=said["letter"], renews_secret=said["renews_secret"],
            kinds={way: said[f"{way}_kinds"] for way in WAYS},
        )  # fmt: skip


@require_GET
@require("read")
def contact_list(request: DeskRequest) -> HttpResponse:
    """The clients whose calls the person sees, and the ways of each."""
    entity = entity_here(request)
    mine = of_accounts(request.roles, [entity.pk], path="")
    held = MarginAccount.objects.filter(mine, client__isnull=False).values("client")
    clients = Client.objects.named().filter(pk__in=held).order_by("code")
    words = request.GET.get("q", "").strip()
    if words:
        clients = clients.filter(code__icontains=words[:200])
    shown = list(clients[:CLIENTS_SHOWN_MAX])
    newest = NoticeContact.objects.filter(client__in=shown).order_by("client", "-version")
    contacts = {each.client_id: each for each in newest.distinct("client")}
    rows = [(client, contacts.get(client.pk)) for client in shown]
    context = {
        "rows": [(client, contact, ways_of(contact)) for client, contact in rows],
        "words": words,
        "is_cut": clients.count() > CLIENTS_SHOWN_MAX,
    }
    return render(request, "margin/notice_contacts.html", context)


def ways_of(contact: Any) -> str:  # noqa: ANN401 - a NoticeContact or None
    """The ways of a contact in words."""
    named = [] if contact is None else [Channel(way).label for way in contact.channels]
    return ", ".join(named) or "file in the outbox"


def client_or_404(request: DeskRequest, code: str) -> Client:
    """One client of whose accounts the person sees one at least."""
    entity = entity_here(request)
    mine = of_accounts(request.roles, [entity.pk], path="")
    client = Client.objects.named().filter(legal_entity=entity, code=code).first()
    if client is None or not MarginAccount.objects.filter(mine, client=client).exists():
        raise Http404(NO_PAGE)
    return client


@require_GET
@require("read")
def contact_page(request: DeskRequest, code: str) -> HttpResponse:
    """Where a client's notices go, by version."""
    client = client_or_404(request, code)
    versions = client.notice_contacts.select_related("client__person_key").order_by("-version")
    context = {
        "client": client,
        "versions": [(each, contact_lines(each)) for each in versions],
        "pending": pending_on(record_of(client), roles=request.roles),
        "can_change": may(request, f"{REQUEST}{CONTACTS}", entity_here(request)),
    }
    return render(request, "margin/notice_contact.html", context)


def contact_lines(contact: Any) -> list[tuple[str, str, str]]:  # noqa: ANN401 - a NoticeContact
    """Way, address and kinds of a version."""
    shown = shown_addresses(addresses_of(contact))
    return [
        (Channel(way).label, shown.get(way, "erased"),
         ", ".join(NoticeKind(kind).label.lower() for kind in kinds))
        for way, kinds in contact.channels.items()
    ]  # fmt: skip


@require_http_methods(["GET", "POST"])
@require("read")
def contact_new(request: DeskRequest, code: str) -> HttpResponse:
    """Ask that notices go elsewhere; a new secret is shown on the answer and never again."""
    client = client_or_404(request, code)
    entity = entity_here(request)
    check(request, f"{REQUEST}{CONTACTS}", entity)
    form = ContactForm(
        request.POST if request.method == "POST" else None, initial=contact_initial(client)
    )
    question = Question(
        action=CONTACTS, title=f"Where notices of {client.code} go",
        purpose="It holds for what happens to calls from then on.",
        back=reverse("margin:notice-contact", args=[client.code]), back_label=client.code,
    )  # fmt: skip
    if request.method != "POST":
        return ask_page(request, form, question, entity=entity)
    if not form.is_valid():
        return ask_page(request, form, question, entity=entity, status=422)
    try:
        asked = request_contacts(
            client, form.draft(), reason=form.cleaned_data["reason"], actor=request.actor,
            request_id=request.request_id,
        )  # fmt: skip
    except AskRefusedError as refused:
        form.add_error(refused.field if refused.field in form.fields else None, str(refused))
        return ask_page(request, form, question, entity=entity, status=422)
    except RefusedError as refused:
        form.add_error(None, f"Not asked: {refused.detail}.")
        return ask_page(request, form, question, entity=entity, status=409)
    announce("approvals")
    return asked_page(request, client, asked)


def asked_page(request: DeskRequest, client: Client, asked: AskedContacts) -> HttpResponse:
    """The request, with the secret where it is new."""
    context = {"client": client, "asked": asked}
    return render(request, "margin/notice_asked.html", context)


def contact_initial(client: Client) -> dict[str, Any]:
    """What holds now, as the form shows it."""
    held = contact_of(client)
    if held is None:
        every = list(NoticeKind.values)
        return {"language": STANDARD_LANGUAGE, "email_kinds": every}
    addresses = addresses_of(held)
    return {
        "language": held.language,
        "email": addresses.get(Channel.EMAIL, {}).get("address", ""),
        "webhook": addresses.get(Channel.WEBHOOK, {}).get("url", ""),
        "letter": "\n".join(addresses.get(Channel.LETTER, {}).get("lines", [])),
        **{f"{way}_kinds": held.channels.get(way, []) for way in WAYS},
    }
