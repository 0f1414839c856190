"""Drafting an initial (Reg T) call; issuing it is an act on its page."""

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from accounts.audit import RefusedError
from accounts.models import Scope
from accounts.roles import DeskRequest, check, require
from accounts.screens.asking import AskForm, amount_field, day_field, text_field
from margin.calls.acts import CARRY_ON
from margin.calls.initial import NoCallError, draft_initial_call
from margin.models import MarginCall
from margin.screens.visible import NO_PAGE, account_or_404, check_account, entity_here


class InitialCallForm(AskForm):
    """What trades of a day lack of initial margin."""

    scope = text_field("Scope", required=True, length=100, hint="Account/bucket.")
    deficiency = amount_field("Deficiency", hint="In the currency of the agreement.")
    trade_day = day_field("Trade day", hint="The payment period runs from it.")
    field_order = ("scope", "deficiency", "trade_day", "reason")


@require_http_methods(["GET", "POST"])
@require("read")
def initial_call_new(request: DeskRequest) -> HttpResponse:
    """Draft an initial call."""
    sent = request.method == "POST"
    check(request, CARRY_ON, entity_here(request))
    initial = {"scope": request.GET.get("scope", "")}
    form = InitialCallForm(request.POST if sent else None, initial=initial)
    status = 422 if sent else 200
    if sent and form.is_valid():
        try:
            call = drafted(request, form)
        except (NoCallError, RefusedError) as refused:
            form.add_error(None, f"Not drafted: {refused}")
            status = 422 if isinstance(refused, NoCallError) else 409
        else:
            messages.success(
                request, f"{call.number} is drafted. Nobody owes it before it is issued."
            )
            return redirect("margin:call", call.number)
    return render(request, "margin/initial_call.html", {"form": form}, status=status)


def drafted(request: DeskRequest, form: InitialCallForm) -> MarginCall:
    """Draft what was typed, on a scope that the person may see.

    Raises:
        Http404, PermissionDenied: there is no such scope here, or the person may not.
        NoCallError, RefusedError: see `draft_initial_call`.
    """
    typed = form.cleaned_data
    code, _, bucket = typed["scope"].strip().rpartition("/")
    account = account_or_404(request, code)
    check_account(request, CARRY_ON, account)
    scope = Scope.objects.filter(bucket__account=account, bucket__code=bucket).first()
    if scope is None:
        raise Http404(NO_PAGE)
    return draft_initial_call(
        scope, deficiency=typed["deficiency"], trade_day=typed["trade_day"],
        reason=typed["reason"], actor=request.actor, request_id=request.request_id,
    )  # fmt: skip
