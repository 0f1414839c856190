"""Pages that ask for a second person: one form, what it is for, and who can decide."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render

from accounts.approvals import AskRefusedError
from accounts.audit import RefusedError
from accounts.models import LegalEntity
from accounts.news import announce
from accounts.roles import DECIDE, REQUEST, DeskRequest, check, one_of, who_may

REASON_LENGTH_MIN, REASON_LENGTH_MAX = 10, 2000


class AskForm(forms.Form):
    """What every request says: why."""

    reason = forms.CharField(
        label="Reason", min_length=REASON_LENGTH_MIN, max_length=REASON_LENGTH_MAX,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Kept for ever with your name. At least 10 characters.",
    )  # fmt: skip


def text_field(label: str, *, required: bool = False, length: int = 200, hint: str = "") -> Any:  # noqa: ANN401
    """A line of text that no browser fills in by itself."""
    return forms.CharField(
        label=label, required=required, max_length=length, help_text=hint,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )  # fmt: skip


def amount_field(label: str, *, required: bool = True, hint: str = "") -> Any:  # noqa: ANN401
    """An exact number, typed as text."""
    return forms.DecimalField(
        label=label, required=required, max_digits=40, decimal_places=18, localize=False,
        min_value=0, help_text=hint,
        widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}),
    )  # fmt: skip


def day_field(label: str, *, required: bool = True, hint: str = "") -> Any:  # noqa: ANN401
    """A day, with the browser's calendar."""
    return forms.DateField(
        label=label, required=required, help_text=hint,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )  # fmt: skip


@dataclass(frozen=True)
class Question:
    """What a page asks for.

    Attributes:
        action: the approval action.
        title: of the page and its button.
        purpose: what it is for, in one sentence.
        back: address of the page that led here, and what the crumb calls it.
        facts: what stands now, label and text.
        preview: the button that shows first what it would bring, sent as `preview`; "" for none.
    """

    action: str
    title: str
    purpose: str
    back: str
    back_label: str
    facts: tuple[tuple[str, str], ...] = ()
    preview: str = ""


def ask(
    request: DeskRequest,
    form: forms.Form,
    question: Question,
    *,
    entity: LegalEntity,
    do: Callable[[Mapping[str, Any]], UUID],
) -> HttpResponse:
    """Show the form, or send what it says; a refusal comes back beside what was typed."""
    check(request, f"{REQUEST}{question.action}", entity)
    if request.method != "POST":
        return ask_page(request, form, question, entity=entity)
    if not form.is_valid():
        return ask_page(request, form, question, entity=entity, status=422)
    try:
        approval_id = do(form.cleaned_data)
    except AskRefusedError as refused:
        form.add_error(refused.field if refused.field in form.fields else None, str(refused))
        return ask_page(request, form, question, entity=entity, status=422)
    except RefusedError as refused:
        form.add_error(None, f"Not asked: {refused.detail}.")
        return ask_page(request, form, question, entity=entity, status=409)
    messages.success(request, "Asked. It waits for a second person; nothing has changed.")
    announce("approvals")
    return redirect("accounts:approval", approval_id)


def ask_page(
    request: DeskRequest,
    form: forms.Form,
    question: Question,
    *,
    entity: LegalEntity,
    status: int = 200,
) -> HttpResponse:
    """The form beside what stands now."""
    deciders = who_may(f"{DECIDE}{question.action}", entity.pk, besides=request.operator.pk)
    context = {
        "form": form,
        "question": question,
        "deciders": one_of(deciders),
        "is_multipart": form.is_multipart(),
    }
    return render(request, "accounts/ask.html", context, status=status)
