"""One's own sign-in: second factors, recovery codes, sessions."""

from uuid import UUID

from django import forms
from django.contrib import messages
from django.db import IntegrityError
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_POST

from accounts import factors, passkeys, sessions
from accounts.audit import RefusedError
from accounts.factors import WrongCodeError
from accounts.models import SecondFactor
from accounts.roles import DeskRequest


class LabelForm(forms.Form):
    """How a person calls a second factor."""

    label = forms.CharField(max_length=factors.LABEL_LENGTH_MAX)


class SessionForm(forms.Form):
    """One session, or all others."""

    session = forms.UUIDField(required=False)


@require_GET
def me(request: DeskRequest) -> HttpResponse:
    """How one signs in, and where one is signed in."""
    return me_page(request)


def me_page(
    request: DeskRequest, *, codes: tuple[str, ...] = (), problem: str = "", passkey: str = "",
    status: int = 200,
) -> HttpResponse:  # fmt: skip
    """The page; recovery codes stand on it once, right after they were made."""
    operator = request.operator
    context = {
        "factors": factors.factors_of(operator),
        "begun": factors.unconfirmed(operator),
        "codes": codes,
        "codes_left": factors.recovery_codes_left(operator),
        "sessions": sessions.live_sessions(operator, now=timezone.now()),
        "session_id": request.session_id,
        "proof_minutes": request.proof_minutes,
        "lacks_factor": request.lacks_factor,
        "problem": problem,
        "passkey": passkey,
    }
    return render(request, "accounts/me.html", context, status=status)


@require_POST
def factor_begin(request: DeskRequest) -> HttpResponse:
    """Begin a code generator; its first code takes it into use."""
    form = LabelForm(request.POST)
    if not form.is_valid():
        return me_page(request, problem="A second factor needs a name of its own.", status=400)
    label = form.cleaned_data["label"]
    taken = SecondFactor.objects.filter(
        operator=request.operator, label=label, removed_at__isnull=True, confirmed_at__isnull=False
    )
    if taken.exists():
        return me_page(request, problem=f"{label} is the name of another one.", status=400)
    try:
        factors.begin_totp(
            request.operator, label=label, actor=request.actor, request_id=request.request_id
        )
    except RefusedError as refused:
        return me_page(request, problem=f"Not begun: {refused.detail}.", status=409)
    return redirect("accounts:me")


@require_POST
@sensitive_post_parameters("code")
def factor_confirm(request: DeskRequest, factor_id: UUID) -> HttpResponse:
    """Take a code generator into use; the first one comes with recovery codes."""
    is_first = not factors.factors_of(request.operator).exists()
    actor, request_id = request.actor, request.request_id
    try:
        factors.confirm_totp(
            request.operator, factor_id, code=request.POST.get("code", "")[:40],
            now=timezone.now(), actor=actor, request_id=request_id,
        )  # fmt: skip
        codes = []
        if is_first:
            codes = factors.new_recovery_codes(request.operator, actor=actor, request_id=request_id)
    except WrongCodeError:
        text = "That is not the code of now. Look at the clock of the device, and try the next."
        return me_page(request, problem=text, status=400)
    except RefusedError as refused:
        return me_page(request, problem=f"Not set up: {refused.detail}.", status=409)
    messages.success(request, "The second factor is set up. It is asked for from now on.")
    request.lacks_factor = False
    return me_page(request, codes=tuple(codes))


@require_POST
def passkey_begin(request: DeskRequest) -> HttpResponse:
    """Begin a passkey; the browser makes it, and sends it to be kept."""
    form = LabelForm(request.POST)
    if not form.is_valid():
        return me_page(request, problem="A second factor needs a name of its own.", status=400)
    options = passkeys.begin_adding(request, request.operator, label=form.cleaned_data["label"])
    return me_page(request, passkey=options)


@require_POST
def passkey_add(request: DeskRequest) -> HttpResponse:
    """Keep a passkey that the browser has made."""
    is_first = not factors.factors_of(request.operator).exists()
    actor, request_id = request.actor, request.request_id
    codes = []
    try:
        passkeys.add(
            request, request.operator, request.POST.get("credential", ""),
            actor=actor, request_id=request_id,
        )  # fmt: skip
        if is_first:
            codes = factors.new_recovery_codes(request.operator, actor=actor, request_id=request_id)
    except WrongCodeError:
        return me_page(request, problem="Not kept: this is no passkey for here.", status=400)
    except (RefusedError, IntegrityError):
        return me_page(request, problem="Not kept: it, or its name, is known already.", status=409)
    messages.success(request, "The passkey is kept. A second factor is asked for from now on.")
    request.lacks_factor = False
    return me_page(request, codes=tuple(codes))


@require_POST
def factor_remove(request: DeskRequest, factor_id: UUID) -> HttpResponse:
    """Take a second factor of one's own away."""
    try:
        factors.remove_factor(
            request.operator, factor_id, actor=request.actor, request_id=request.request_id
        )
    except RefusedError as refused:
        return me_page(request, problem=f"Not removed: {refused.detail}.", status=409)
    messages.success(request, "The second factor is removed.")
    return redirect("accounts:me")


@require_POST
def recovery_new(request: DeskRequest) -> HttpResponse:
    """New recovery codes; those from before are void."""
    if not factors.factors_of(request.operator).exists():
        return me_page(request, problem="Set up a second factor first.", status=409)
    try:
        codes = factors.new_recovery_codes(
            request.operator, actor=request.actor, request_id=request.request_id
        )
    except RefusedError as refused:
        return me_page(request, problem=f"Not made: {refused.detail}.", status=409)
    return me_page(request, codes=tuple(codes))


@require_POST
def sessions_end(request: DeskRequest) -> HttpResponse:
    """End one session of one's own, or all but this one."""
    form = SessionForm(request.POST)
    if not form.is_valid():
        return me_page(request, problem="There is no such session.", status=400)
    ended = sessions.end_sessions(
        request.operator, one=form.cleaned_data["session"], actor=request.actor,
        request_id=request.request_id,
    )  # fmt: skip
    messages.success(request, f"Ended {ended} session{'' if ended == 1 else 's'}.")
    return redirect("accounts:me")
