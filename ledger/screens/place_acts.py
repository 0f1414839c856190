"""Asking to open, change or close a location, and to file the letter of its keeper."""

from typing import Any

from django import forms
from django.http import Http404, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from accounts.models import Approval, Client, LegalEntity, OwnerClass
from accounts.roles import DeskRequest, require
from accounts.screens.asking import AskForm, Question, ask, day_field, text_field
from ledger.letter_documents import DOCUMENT_SIZE_MAX, LetterDraft
from ledger.letters import letter_state
from ledger.locations import (
    CHANGE,
    CLOSE,
    LETTER,
    OPEN,
    PARTICULARS,
    held_words,
    request_change,
    request_closing,
    request_letter,
    request_opening,
)
from ledger.models import Asset, Letter, LetterDocument, Location, Pool
from ledger.screens.locations import desk_today
from ledger.screens.visible import NO_PAGE, entity_here, readable

LENGTHS = {"account_number": 60, "venue": 60, "chain": 40, "keeper_address": 300}
LETTER_FIELDS = ("letter_reference", "signed_on", "expires_on", "document")


class ParticularsForm(AskForm):
    """What a location is called and where it is."""

    account_title = text_field(PARTICULARS["account_title"], hint="As its keeper writes it.")
    account_number = text_field(PARTICULARS["account_number"], length=LENGTHS["account_number"])
    keeper = text_field(PARTICULARS["keeper"], hint="Who holds the assets, by full name.")
    keeper_address = text_field(PARTICULARS["keeper_address"], length=LENGTHS["keeper_address"])
    venue = text_field(PARTICULARS["venue"], length=LENGTHS["venue"])
    chain = text_field(PARTICULARS["chain"], length=LENGTHS["chain"])
    field_order = (*PARTICULARS, "reason")

    def particulars(self) -> dict[str, str]:
        """What was typed, without spaces around it."""
        return {name: self.cleaned_data[name].strip() for name in PARTICULARS}


class LetterForm(AskForm):
    """A letter as its keeper signed it."""

    letter_reference = text_field("Letter", required=True, hint="What its keeper calls it.")
    signed_on = day_field("Signed on")
    expires_on = day_field("Expires on", required=False, hint="Empty where it has no last day.")
    document = forms.FileField(
        label="Document", max_length=200, help_text="PDF, PNG, JPEG or text, up to 10 MB."
    )
    field_order = (*LETTER_FIELDS, "reason")


class OpenForm(ParticularsForm):
    """A new location, with its letter where it holds client assets."""

    pool = forms.ModelChoiceField(
        Pool.objects.none(), to_field_name="code", label="Pool", empty_label=None
    )
    code = text_field("Name", required=True, length=60, hint="Such as bank:client-eur.")
    kind = forms.ChoiceField(label="Kind", choices=Location.Kind.choices)
    individual_client = forms.ModelChoiceField(
        Client.objects.none(), to_field_name="code", label="For one client alone", required=False,
        empty_label="no, for all of the pool",
    )  # fmt: skip
    carries = forms.ModelMultipleChoiceField(
        Asset.objects.none(), to_field_name="code", label="Carries"
    )
    letter_reference = text_field("Letter", hint="Needed where it holds client assets.")
    signed_on = day_field("Signed on", required=False)
    expires_on = day_field("Expires on", required=False)
    document = forms.FileField(label="Document", required=False, max_length=200)
    field_order = (
        "pool", "code", "kind", "individual_client", "carries", *PARTICULARS, *LETTER_FIELDS,
        "reason",
    )  # fmt: skip

    def __init__(self, data: Any, files: Any, *, entity: LegalEntity) -> None:  # noqa: ANN401
        super().__init__(data, files)
        self.choose("pool", Pool.objects.filter(legal_entity=entity).order_by("code"))
        self.choose("individual_client", Client.objects.filter(legal_entity=entity))
        self.choose("carries", Asset.objects.order_by("kind", "code"))

    def choose(self, name: str, rows: Any) -> None:  # noqa: ANN401
        field = self.fields[name]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = rows

    def clean(self) -> dict[str, Any]:
        """A client pool needs all of the letter."""
        typed: dict[str, Any] = super().clean() or {}
        pool = typed.get("pool")
        if pool is not None and pool.owner_class == OwnerClass.CLIENT:
            for name in ("letter_reference", "signed_on", "document"):
                if not typed.get(name):
                    self.add_error(name, "A location of client assets is opened with its letter.")
        return typed


class CloseForm(AskForm):
    """From when on nothing moves there."""

    closed_on = day_field("Closed from")
    field_order = ("closed_on", "reason")


def letter_typed(typed: Any) -> LetterDraft | None:  # noqa: ANN401
    """The letter of a form; None where none was handed in."""
    document = typed.get("document")
    if not document or not typed.get("signed_on"):
        return None
    return LetterDraft(
        reference=typed["letter_reference"].strip(),
        signed_on=typed["signed_on"],
        expires_on=typed["expires_on"],
        name=document.name,
        content=document.read(DOCUMENT_SIZE_MAX + 1),
    )


@require_http_methods(["GET", "POST"])
@require("read")
def location_new(request: DeskRequest) -> HttpResponse:
    """Ask that a location be opened."""
    entity = entity_here(request)
    is_sent = request.method == "POST"
    form = OpenForm(
        request.POST if is_sent else None, request.FILES if is_sent else None, entity=entity
    )

    def do(typed: Any) -> Any:  # noqa: ANN401
        return request_opening(
            pool=typed["pool"], code=typed["code"].strip(), kind=typed["kind"],
            carries=list(typed["carries"]), particulars=form.particulars(),
            individual_client=typed["individual_client"], letter=letter_typed(typed),
            reason=typed["reason"], actor=request.actor, request_id=request.request_id,
        )  # fmt: skip

    question = Question(
        action=OPEN,
        title="Open a location",
        purpose="A bank, custodian, wallet or venue account. It belongs to its pool for ever.",
        back=reverse("ledger:locations"),
        back_label="Pools and locations",
    )
    return ask(request, form, question, entity=entity, do=do)


@require_http_methods(["GET", "POST"])
@require("read")
def location_change(request: DeskRequest, location_id: int) -> HttpResponse:
    """Ask that a location be called otherwise or be at another number."""
    location = place_or_404(request, location_id)
    now = {name: getattr(location, name) for name in PARTICULARS}
    form = ParticularsForm(request.POST if request.method == "POST" else None, initial=now)

    def do(typed: Any) -> Any:  # noqa: ANN401
        return request_change(
            location, particulars=form.particulars(), reason=typed["reason"],
            actor=request.actor, request_id=request.request_id,
        )  # fmt: skip

    return ask(
        request, form, question_of(location, CHANGE, f"Change {location.code}"),
        entity=location.pool.legal_entity, do=do,
    )  # fmt: skip


@require_http_methods(["GET", "POST"])
@require("read")
def location_close(request: DeskRequest, location_id: int) -> HttpResponse:
    """Ask that a location be closed."""
    location = place_or_404(request, location_id)
    form = CloseForm(
        request.POST if request.method == "POST" else None, initial={"closed_on": desk_today()}
    )

    def do(typed: Any) -> Any:  # noqa: ANN401
        return request_closing(
            location, closed_on=typed["closed_on"], reason=typed["reason"],
            actor=request.actor, request_id=request.request_id,
        )  # fmt: skip

    return ask(
        request, form, question_of(location, CLOSE, f"Close {location.code}"),
        entity=location.pool.legal_entity, do=do,
    )  # fmt: skip


@require_http_methods(["GET", "POST"])
@require("read")
def letter_new(request: DeskRequest, location_id: int) -> HttpResponse:
    """Ask that a letter be filed."""
    location = place_or_404(request, location_id)
    is_sent = request.method == "POST"
    form = LetterForm(request.POST if is_sent else None, request.FILES if is_sent else None)

    def do(typed: Any) -> Any:  # noqa: ANN401
        letter = letter_typed(typed)
        assert letter is not None, "the form requires its parts"
        return request_letter(
            location, letter=letter, reason=typed["reason"], actor=request.actor,
            request_id=request.request_id,
        )  # fmt: skip

    return ask(
        request, form, question_of(location, LETTER, f"File a letter for {location.code}"),
        entity=location.pool.legal_entity, do=do,
    )  # fmt: skip


def question_of(location: Location, action: str, title: str) -> Question:
    """What is asked of one location, beside how it stands."""
    state = letter_state(location, today=desk_today())
    purposes = {
        CHANGE: "A change of name, address or account makes its letter void after some days.",
        CLOSE: "From that day on nothing moves there. It must hold nothing.",
        LETTER: "The keeper's acknowledgement that what it holds is the clients'.",
    }
    return Question(
        action=action,
        title=title,
        purpose=purposes[action],
        back=reverse("ledger:location", args=[location.code]),
        back_label=location.code,
        facts=(
            ("Pool", location.pool.code),
            ("Letter", state.word),
            ("Holds", held_words(location) or "nothing"),
        ),
    )


def place_or_404(request: DeskRequest, location_id: int) -> Location:
    """A location of the firms that the person reads."""
    found = (
        Location.objects.filter(pk=location_id, pool__legal_entity__in=readable(request))
        .select_related("pool__legal_entity")
        .first()
    )
    if found is None:
        raise Http404(NO_PAGE)
    return found


@require_GET
@require("read")
def letter_document(request: DeskRequest, sha256: str) -> HttpResponse:
    """The letter as it came, to keep or to read; never shown within our pages."""
    found = LetterDocument.objects.filter(pk=sha256).first()
    if found is None or not may_read_document(request, sha256):
        raise Http404(NO_PAGE)
    answer = HttpResponse(bytes(found.content), content_type=found.media_type)
    answer["Content-Disposition"] = f'attachment; filename="letter-{sha256[:12]}"'
    answer["X-Content-Type-Options"] = "nosniff"
    return answer


def may_read_document(request: DeskRequest, sha256: str) -> bool:
    """Whether it is filed, or asked for, at a firm that the person reads."""
    entities = readable(request)
    return (
        Letter.objects.filter(
            document_id=sha256, location__pool__legal_entity__in=entities
        ).exists()
        or Approval.objects.filter(
            legal_entity__in=entities,
            action_id__in=[OPEN, LETTER],
            payload__letter__document_id=sha256,
        ).exists()
    )
