"""Coming in, going out, and how the desk looks to one person."""

from django import forms
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from accounts import operators
from accounts.audit import acting
from accounts.clock import ZONES, city
from accounts.middleware import ENDED, LEGAL_ENTITY
from accounts.models import Operator
from accounts.roles import DeskRequest, roles_of

ENDED_TEXT = "Your session has ended. Sign in to go on."
THEMES = dict(Operator._meta.get_field("theme").choices or [])


class SignInForm(forms.Form):
    """A name and a password; whether they fit is not the form's to say."""

    username = forms.CharField(max_length=operators.USERNAME_LENGTH_MAX)
    password = forms.CharField(max_length=operators.PASSWORD_LENGTH_MAX, strip=False)


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
        form = SignInForm()
        notice = ENDED_TEXT if request.session.pop(ENDED, False) else ""
        context = {"form": form, "next": back, "notice": notice, "is_new": is_new()}
        return render(request, "accounts/sign_in.html", context)
    form = SignInForm(request.POST)
    if form.is_valid():
        try:
            operator = operators.sign_in(request, **form.cleaned_data)
        except operators.SignInRefusedError as refused:
            form.add_error(None, refused.detail)
        else:
            return HttpResponseRedirect(first_page(operator) if back == "/" else back)
    status = 403 if form.non_field_errors() else 400
    return render(request, "accounts/sign_in.html", {"form": form, "next": back}, status=status)


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
    is_ours = url_has_allowed_host_and_scheme(
        asked, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return asked if is_ours and asked.startswith("/") else "/"


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """End the session, here and wherever it was used."""
    operators.sign_out(request)
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
