"""By whose identity a person signs in: asked for by one administrator, decided by another."""

from typing import Any

from django import forms
from django.http import HttpResponse
from django.views.decorators.http import require_http_methods

from accounts import bindings
from accounts.roles import DeskRequest, require
from accounts.screens.asking import AskForm, ask, text_field
from accounts.screens.duties import asked_of_people, here, person_here

BIND, TAKE_AWAY = "bind", "take"


class IdentityForm(AskForm):
    """Which identity, and whether it opens anything."""

    subject = text_field(
        "Subject", required=True, length=bindings.SUBJECT_LENGTH_MAX,
        hint="As the provider calls the person in its tokens (sub). Not a name, not an address.",
    )  # fmt: skip
    verdict = forms.ChoiceField(
        label="From now on",
        choices=[(BIND, "Signs in as this person"), (TAKE_AWAY, "Opens nothing any more")],
    )
    field_order = ("subject", "verdict", "reason")


@require_http_methods(["GET", "POST"])
@require("role.manage")
def identity_new(request: DeskRequest, username: str) -> HttpResponse:
    """Ask that an identity be this person's, or no longer."""
    entity, operator = here(request), person_here(request, username)

    def do(typed: Any) -> Any:  # noqa: ANN401
        return bindings.request_binding(
            operator=operator, legal_entity=entity, subject=typed["subject"],
            is_bound=typed["verdict"] == BIND, reason=typed["reason"], actor=request.actor,
            request_id=request.request_id,
        )  # fmt: skip

    question = asked_of_people(
        bindings.IDENTITY, f"Identity of {operator.full_name}",
        "Whoever the provider knows by this subject signs in as this person. Take the subject from"
        " the provider itself, never from what somebody sends.",
    )  # fmt: skip
    initial = {"subject": request.GET.get("subject", ""), "verdict": request.GET.get("verdict", "")}
    form = IdentityForm(request.POST if request.method == "POST" else None, initial=initial)
    return ask(request, form, question, entity=entity, do=do)
