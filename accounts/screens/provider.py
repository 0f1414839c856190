"""Coming in by the firm's identity provider, and proving again there who one is."""

import logging
from typing import cast

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_GET, require_POST

from accounts import bindings, kept, operators, sessions
from accounts.audit import RefusedError
from accounts.operators import SignInRefusedError
from accounts.provider import flow, leaving
from accounts.provider.configured import Provider, provider
from accounts.provider.outgoing import ProviderError
from accounts.provider.tokens import TokenRefusedError
from accounts.roles import DeskRequest
from accounts.screens.door import BACK, LEFT, SignInForm, door, go_in, way_back

log = logging.getLogger(__name__)


def provider_or_404() -> Provider:
    """The provider, where there is one."""
    found = provider()
    if found is None:
        raise Http404("There is no such page.")
    return found


@login_not_required
@never_cache
@require_GET
def begin(request: HttpRequest) -> HttpResponse:
    """To the provider, to come in."""
    there, back = provider_or_404(), way_back(request)
    if request.user.is_authenticated:
        return HttpResponseRedirect(back)
    has_left = request.session.pop(LEFT, False)
    try:
        address = flow.begin(
            request, there, purpose=flow.IN, back=back, now=timezone.now(),
            is_asked_again=has_left,
        )  # fmt: skip
    except ProviderError as error:
        return unanswered(request, there, error)
    return HttpResponseRedirect(address)


@never_cache
@require_POST
def prove(request: DeskRequest) -> HttpResponse:
    """To the provider, to prove again who one is; what was typed is kept meanwhile.

    Answers with a page that goes on by itself: a form of ours is never sent to another host.
    """
    there = provider_or_404()
    typed = kept.from_text(request.POST.get("kept", ""))
    kept.keep(request, typed)
    try:
        address = flow.begin(
            request, there, purpose=flow.PROOF, back=way_back(request), now=timezone.now()
        )
    except ProviderError as error:
        log.warning("The identity provider: %s", error)
        context = {"problem": f"{there.name} does not answer. Try again in a moment.", "to": ""}
        return render(request, "accounts/to_provider.html", context, status=503)
    answer = render(request, "accounts/to_provider.html", {"to": address, "name": there.name})
    answer["Refresh"] = f"0; url={address}"
    return answer


@login_not_required
@never_cache
@sensitive_variables()
@require_GET
def come_back(request: HttpRequest) -> HttpResponse:
    """From the provider, with its answer."""
    there, now = provider_or_404(), timezone.now()
    try:
        found = flow.returned(request, there, request.GET, now=now)
    except ProviderError as error:
        return unanswered(request, there, error)
    except SignInRefusedError as refused:
        return stay_out(request, refused)
    if found.purpose == flow.PROOF:
        return prove_by(request, found)
    return come_in(request, found)


def come_in(request: HttpRequest, found: flow.Returned) -> HttpResponse:
    """Let in whom the identity is bound to."""
    identity, now = found.identity, timezone.now()
    operator = bindings.operator_of(identity.issuer, identity.subject)
    if operator is None:
        detail = (
            "Nobody works here under this identity. An administrator can bind it to a person; the"
            f" provider calls it {identity.subject}."
        )
        return stay_out(request, SignInRefusedError("identity_is_bound", detail))
    try:
        operators.sign_in_by_identity(request, operator, identity, now=now)
    except SignInRefusedError as refused:
        return stay_out(request, refused)
    except operators.SecondFactorAskedError:
        request.session[BACK] = found.back
        return redirect("accounts:sign-in-second")
    return go_in(request, operator, back=found.back, typed=None)


def prove_by(request: HttpRequest, found: flow.Returned) -> HttpResponse:
    """Take it as a new proof, where it is the identity of whoever is signed in."""
    if not request.user.is_authenticated:
        return redirect("accounts:sign-in")
    try:
        sessions.prove_by_identity(cast(DeskRequest, request), found.identity, now=timezone.now())
    except SignInRefusedError as refused:
        if not request.user.is_authenticated:
            return stay_out(request, refused)
        context = {"problem": refused.detail, "to": ""}
        return render(request, "accounts/to_provider.html", context, status=403)
    if kept.is_kept(request) is not None:
        return redirect("accounts:kept")
    return HttpResponseRedirect(found.back)


@csrf_exempt  # no browser sends it, and it is believed by its signature alone
@login_not_required
@never_cache
@require_POST
def they_left(request: HttpRequest) -> HttpResponse:
    """The provider itself says that somebody has signed out there: 200, or 400 with why not."""
    there, now = provider_or_404(), timezone.now()
    is_form = request.content_type == "application/x-www-form-urlencoded"
    try:
        said = request.POST.get("logout_token", "") if is_form else ""
        sessions.end_by_provider(there, leaving.leaving_in(there, said, now=now))
    except (ProviderError, RefusedError) as error:
        log.warning("The identity provider, on leaving: %s", error)
        is_known = isinstance(error, TokenRefusedError | RefusedError)
        why = str(error) if is_known else "The keys to check it with cannot be read."
        refused = {"error": "invalid_request", "error_description": why}
        return JsonResponse(refused, status=400)
    return HttpResponse(status=200)


def stay_out(request: HttpRequest, refused: SignInRefusedError) -> HttpResponse:
    """The door again, with why; the try counts for the address."""
    try:
        operators.count_stranger(request, now=timezone.now())
    except SignInRefusedError as locked:
        refused = locked
    return door(request, SignInForm(), notice=refused.detail, status=403)


def unanswered(request: HttpRequest, there: Provider, error: ProviderError) -> HttpResponse:
    """The door again; what is wrong with the provider is for the log.

    A token that does not fit counts as a wrong try; a provider that is down does not.
    """
    log.warning("The identity provider: %s", error)
    detail = f"{there.name} did not say who you are. Try again, or sign in with your password."
    refused = SignInRefusedError("identity_is_proved", detail)
    if isinstance(error, TokenRefusedError):
        return stay_out(request, refused)
    return door(request, SignInForm(), notice=detail, status=503)
