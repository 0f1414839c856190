"""Coming in, going out, and how the desk looks to one person."""

from urllib.parse import urlencode

from django import forms
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from accounts import factors, kept, operators, passkeys
from accounts.audit import acting
from accounts.clock import ZONES, city
from accounts.kept import Kept
from accounts.middleware import ENDED, LEGAL_ENTITY
from accounts.models import Operator, OperatorSession
from accounts.provider.configured import provider
from accounts.provider.discovery import known_metadata
from accounts.roles import DeskRequest, roles_of

ENDED_TEXT = "Your session has ended. Sign in to go on."
KEPT_TEXT = (
    "Your session had ended, so nothing was sent. What you typed is kept: sign in, then look at "
    "it and send it."
)
THEMES = dict(Operator._meta.get_field("theme").choices or [])
BACK = "way_back"
# Somebody has gone out here who is still known to the identity provider.
LEFT = "left_provider"


class SignInForm(forms.Form):
    """A name and a password; whether they fit is not the form's to say."""

    username = forms.CharField(max_length=operators.USERNAME_LENGTH_MAX)
    password = forms.CharField(max_length=operators.PASSWORD_LENGTH_MAX, strip=False)


class CodeForm(forms.Form):
    """A code of a generator, a recovery code, or what a passkey says."""

    code = forms.CharField(max_length=40, required=False)
    credential = forms.CharField(max_length=passkeys.CREDENTIAL_LENGTH_MAX, required=False)


@login_not_required
@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    """The door."""
    back = way_back(request)
    if request.method == "GET":
        if request.user.is_authenticated:
            return HttpResponseRedirect(back)
        notice = ENDED_TEXT if request.session.pop(ENDED, False) else ""
        return door(request, SignInForm(), back=back, notice=notice)
    form = SignInForm(request.POST)
    typed = kept.from_text(request.POST.get("kept", ""))
    if form.is_valid():
        try:
            operator = operators.sign_in(request, **form.cleaned_data)
        except operators.SignInRefusedError as refused:
            form.add_error(None, refused.detail)
        except operators.SecondFactorAskedError:
            kept.keep(request, typed)
            request.session[BACK] = back
            return redirect("accounts:sign-in-second")
        else:
            return go_in(request, operator, back=back, typed=typed)
    status = 403 if form.non_field_errors() else 400
    return door(request, form, back=back, typed=typed, status=status)


def door(
    request: HttpRequest,
    form: SignInForm,
    *,
    back: str = "/",
    notice: str = "",
    typed: Kept | None = None,
    status: int = 200,
) -> HttpResponse:
    """The sign-in page; it carries what was typed when the session had ended."""
    context = {
        "form": form,
        "next": back,
        "notice": notice or (KEPT_TEXT if typed is not None else ""),
        "kept": kept.as_text(typed),
        "address": reverse("accounts:sign-in"),
        "is_new": is_new(),
        "provider": provider(),
        "to_provider": f"{reverse('accounts:sign-in-provider')}?{urlencode({'next': back})}",
        "end_at_provider": end_at_provider() if LEFT in request.session else "",
    }
    return render(request, "accounts/sign_in.html", context, status=status)


def end_at_provider() -> str:
    """Where one signs out at the identity provider too; "" where it has no such page."""
    there = provider()
    known = None if there is None else known_metadata(there)
    if there is None or known is None or not known.end_session:
        return ""
    joined = "&" if "?" in known.end_session else "?"
    return f"{known.end_session}{joined}{urlencode({'client_id': there.client_id})}"


@login_not_required
@never_cache
@sensitive_post_parameters("code")
@require_http_methods(["GET", "POST"])
def second(request: HttpRequest) -> HttpResponse:
    """The second step of the door, for whoever has a second factor."""
    if operators.half_way(request, now=timezone.now()) is None:
        return redirect("accounts:sign-in")
    form = CodeForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        back, typed = request.session.get(BACK, "/"), kept.is_kept(request)
        try:
            operator = shown_besides(request, **form.cleaned_data)
        except operators.SignInRefusedError as refused:
            form.add_error(None, refused.detail)
        else:
            return go_in(request, operator, back=back, typed=typed)
    who = operators.half_way(request, now=timezone.now())
    options = None if who is None else passkeys.begin_showing(request, who)
    status = 200 if request.method == "GET" else 403 if form.non_field_errors() else 400
    context = {"form": form, "options": options}
    return render(request, "accounts/sign_in_second.html", context, status=status)


def shown_besides(request: HttpRequest, *, code: str, credential: str) -> Operator:
    """Let somebody in by a passkey, or by a code.

    Raises:
        SignInRefusedError: neither is right.
    """
    if credential:
        challenge = passkeys.taken_challenge(request)
        return operators.finish_sign_in(
            request, what="That passkey",
            show=lambda who: passkeys.show(who, credential, challenge=challenge),
        )  # fmt: skip
    return operators.finish_sign_in(
        request, show=lambda who: factors.spend_code(who, code, now=timezone.now())
    )


def go_in(
    request: HttpRequest, operator: Operator, *, back: str, typed: Kept | None
) -> HttpResponse:
    """To what was typed and not sent, to the page that was asked for, or to the first one."""
    if typed is not None:
        kept.keep(request, typed)
        return redirect("accounts:kept")
    return HttpResponseRedirect(first_page(operator) if back == "/" else back)


@require_http_methods(["GET", "POST"])
def kept_input(request: DeskRequest) -> HttpResponse:
    """What was typed when the session had ended; a POST lets it go."""
    typed = kept.is_kept(request)
    if request.method == "POST" or typed is None:
        kept.let_go(request)
        return HttpResponseRedirect(first_page(request.operator))
    shown = [
        (name.replace("_", " ").replace("-", " "), value) for name, value in typed.fields if value
    ]
    return render(request, "accounts/kept.html", {"typed": typed, "shown": shown})


def is_new() -> bool:
    """Whether nobody works here yet, so that nobody could sign in."""
    return not Operator.objects.exists()


def first_page(operator: Operator) -> str:
    """The day board, or for those who see no client pages what waits for their decision."""
    held = roles_of(operator)
    sees_board = held.entities("read") or not held.held
    return "/" if sees_board else reverse("accounts:approvals")


def way_back(request: HttpRequest) -> str:
    """The page that was asked for; never one of another site."""
    asked = request.POST.get("next") or request.GET.get("next") or ""
    # No host is ours here, not even the one that the request names itself.
    is_ours = url_has_allowed_host_and_scheme(asked, allowed_hosts=None)
    is_plain = asked.startswith("/") and asked.isprintable()
    return asked if is_ours and is_plain else "/"


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """End the session, here and wherever it was used; the provider's own goes on."""
    session_id = getattr(request, "session_id", None)
    found = [] if session_id is None else [OperatorSession.objects.get(pk=session_id)]
    operators.sign_out(request)
    if any(operators.IDENTITY in each.factors.split(",") for each in found):
        request.session[LEFT] = True
    return redirect("accounts:sign-in")


@require_POST
def choose_theme(request: DeskRequest) -> HttpResponse:
    """Remember light, dark, or as the system."""
    theme = request.POST.get("theme", "")
    if theme not in THEMES:
        return HttpResponse("A theme is light, dark or as the system.", status=400)
    if theme != request.operator.theme:
        reason = f"Chose how the desk looks: {THEMES[theme].lower()}"
        with acting(request.actor, reason=reason, request_id=request.request_id):
            Operator.objects.filter(pk=request.operator.pk).update(theme=theme)
    return HttpResponseRedirect(way_back(request))


@require_POST
def choose_clock(request: DeskRequest) -> HttpResponse:
    """Remember in which zone this person reads times; "" is the desk's."""
    zone = request.POST.get("zone", "")
    if zone and zone not in ZONES:
        return HttpResponse("There is no such zone to choose.", status=400)
    if zone != request.operator.time_zone:
        reason = f"Chose to read times in {city(zone) if zone else 'the zone of the desk'}"
        with acting(request.actor, reason=reason, request_id=request.request_id):
            Operator.objects.filter(pk=request.operator.pk).update(time_zone=zone)
    return HttpResponseRedirect(way_back(request))


@require_POST
def choose_legal_entity(request: DeskRequest) -> HttpResponse:
    """Work at another of the legal entities where one holds a role."""
    chosen = request.POST.get("legal_entity", "")
    entities = {str(held.legal_entity_id): held.legal_entity_id for held in request.roles.held}
    if chosen not in entities:
        return HttpResponse("There is no such legal entity.", status=404)
    request.session[LEGAL_ENTITY] = entities[chosen]
    return HttpResponseRedirect(first_page(request.operator))
