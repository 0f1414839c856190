"""The terms of the calls of an agreement: what is in force, and asking for others."""

from datetime import date
from decimal import Decimal
from typing import Any

from django import forms
from django.http import Http404, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from accounts.models import Agreement
from accounts.roles import DeskRequest, require
from accounts.screens.asking import (
    AskForm,
    Question,
    amount_field,
    ask,
    day_field,
    text_field,
)
from margin.calls.terms import SET_TERMS, CallTermsBook, request_call_terms, shown
from margin.engine.call_terms import DAYS_MOST, FLAGS, HOLIDAYS, TEXTS, WHOLE, written_rules
from margin.screens.terms import desk_today
from margin.screens.visible import NO_PAGE, entity_here


def _days(label: str, hint: str = "") -> Any:  # noqa: ANN401
    return forms.IntegerField(
        label=label, required=False, min_value=0, max_value=DAYS_MOST, help_text=hint
    )


def _flag(label: str) -> Any:  # noqa: ANN401
    return forms.BooleanField(label=label, required=False)


class CallTermsForm(AskForm):
    """Every term; an empty one is as the house does it."""

    effective_from = day_field("From")
    zone = text_field("Time zone", length=60, hint="By its name in the IANA database.")
    holidays = forms.ChoiceField(label="Holidays of", choices=[(each, each) for each in HOLIDAYS])
    due_days = _days("Due after, business days", "Empty: after the agreement's own period.")
    due_at = text_field("Due at, HH:MM", length=5)
    cut_off = text_field("Cut-off, HH:MM", length=5, hint="Later counts as the next day.")
    initial_days = _days("Initial calls are due after, business days")
    initial_ignored_up_to = amount_field("No initial call up to", required=False)
    rounding = amount_field("Rounded up to multiples of", required=False)
    counts_in_transit = _flag("Do not call again for what is on its way")
    nets_pending = _flag("Do not call again for what an initial call asks for")
    expires = _flag("Let unpaid calls expire and escalate by the clock")
    delivery_hours = amount_field("Undelivered after, hours", required=False)
    answer_hours = amount_field("Unanswered after, hours", required=False)
    escalation_hours = amount_field("Escalated after, hours", required=False)
    dispute_tolerance = amount_field("No dispute up to", required=False)
    extension_days_max = _days("Extended by at most, days")
    extension_amount_max = amount_field("Extended up to, amount", required=False)
    waiver_amount_max = amount_field("Waived up to, amount", required=False)
    notice_level = amount_field("Notice level", required=False, hint="Times maintenance margin.")
    close_only_level = amount_field(
        "Close-only level", required=False, hint="Times maintenance margin."
    )
    hysteresis = amount_field(
        "Restored above a level by", required=False, hint="Times maintenance margin."
    )
    session_calendar = text_field(
        "All levels are higher while closed", length=60, required=False,
        hint="A calendar: NYSE, FX, or one that was set. Empty: levels do not follow a session.",
    )  # fmt: skip
    session_addition = amount_field(
        "Higher by, while closed", required=False, hint="Times maintenance margin."
    )
    volatility_asset = text_field(
        "All levels follow the volatility of", length=40, required=False,
        hint="An asset. Empty: levels do not follow volatility.",
    )  # fmt: skip
    volatility_days = _days("Volatility of the newest, days")
    volatility_normal = amount_field(
        "Normal volatility of a day", required=False, hint="A share: 0.02 is 2 % a day."
    )
    volatility_factor = amount_field(
        "What is above it, times", required=False, hint="Is added, times maintenance margin."
    )
    volatility_cap = amount_field("Added at most", required=False)
    volatility_step = amount_field(
        "Moves in a day by at most", required=False, hint="Up and down, whatever volatility does."
    )

    def values(self) -> dict[str, Any]:
        """The terms as JSON holds them; what was left empty is left out."""
        typed = {
            name: value
            for name, value in self.cleaned_data.items()
            if name not in ("effective_from", "reason") and value not in (None, "")
        }
        return {
            name: value if name in (*FLAGS, *WHOLE, *TEXTS) else format(Decimal(value), "f")
            for name, value in typed.items()
        }


@require_http_methods(["GET", "POST"])
@require("read")
def call_terms_new(request: DeskRequest, code: str) -> HttpResponse:
    """Ask that the calls of an agreement have other terms from a day on."""
    entity = entity_here(request)
    agreement = Agreement.objects.filter(legal_entity=entity, code=code).first()
    if agreement is None:
        raise Http404(NO_PAGE)
    now = written_rules(CallTermsBook([agreement.pk]).of(agreement.pk, day=desk_today()))
    initial = now | {"effective_from": desk_today()}
    form = CallTermsForm(request.POST if request.method == "POST" else None, initial=initial)

    def do(typed: Any) -> Any:  # noqa: ANN401
        begins: date = typed["effective_from"]
        return request_call_terms(
            legal_entity=entity, agreement=agreement, effective_from=begins, values=form.values(),
            reason=typed["reason"], actor=request.actor, request_id=request.request_id,
        )  # fmt: skip

    question = Question(
        action=SET_TERMS, title=f"Calls of {code}", back=reverse("margin:terms"),
        back_label="Terms", purpose="Calls that are open keep the terms under which they were"
        " made.", facts=tuple((_label(name), shown(value)) for name, value in now.items()),
    )  # fmt: skip
    return ask(request, form, question, entity=entity, do=do)


def _label(name: str) -> str:
    return str(CallTermsForm.base_fields[name].label or name)
