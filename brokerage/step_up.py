"""Acts that move money or change a parameter ask again who one is, when the last proof is old.

Each address that writes says here whether it needs a recent proof; one that says nothing needs it,
and fails the build. How old a proof may be is data (`accounts_signinrule`).
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import redirect, render
from django.urls import ResolverMatch
from django.utils import timezone

from accounts import kept, sessions
from accounts.middleware import ENDED
from accounts.operators import SignInRefusedError
from accounts.provider.configured import provider
from accounts.roles import DeskRequest
from accounts.screens.door import SignInForm, door

SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
STEP_UP = "step-up"
PROOF = "proof"
PROOF_LENGTH_MAX = 1024

# Why an address needs no recent proof. In these words a reader sees that no money moves and no
# parameter changes.
READS = "none, because it computes and keeps nothing"
RECORDS = "none, because it records what a person did or saw; no money moves, no parameter changes"
OWN_SIGN_IN = "none, because it is how one comes in, or goes out"
LESS = "none, because it only takes something away from oneself"
WORKS = "none, because it starts or stops work that computes from what is in the book"
DECLARED: Mapping[str, str] = {
    "accounts:sign-in": OWN_SIGN_IN,
    "accounts:sign-in-second": OWN_SIGN_IN,
    "accounts:sign-in-provider-prove": OWN_SIGN_IN,
    "accounts:sign-in-provider-left": "none, because the provider says it by its signature",
    "accounts:identity-new": STEP_UP,
    "accounts:emergency-own": RECORDS,
    "accounts:sign-out": OWN_SIGN_IN,
    "accounts:kept": OWN_SIGN_IN,
    "accounts:theme": "none, because it is how the desk looks to oneself",
    "accounts:clock": "none, because it is how the desk looks to oneself",
    "accounts:view-save": "none, because it is how lists look; no money moves",
    "accounts:view-remove": "none, because it is how lists look; no money moves",
    "accounts:legal-entity": "none, because it is where one looks",
    "accounts:me-sessions-end": LESS,
    "accounts:factor-confirm": "none, because the code is the proof, and beginning it needed one",
    "accounts:factor-begin": STEP_UP,
    "accounts:passkey-begin": STEP_UP,
    "accounts:passkey-add": STEP_UP,
    "accounts:factor-remove": STEP_UP,
    "accounts:recovery-new": STEP_UP,
    "accounts:approval-decide": STEP_UP,
    "accounts:approval-apply": STEP_UP,
    "accounts:limit-new": STEP_UP,
    "accounts:client-retention": STEP_UP,
    "accounts:sign-in-rule": STEP_UP,
    "accounts:conflict-new": STEP_UP,
    "accounts:factors-reset": STEP_UP,
    "accounts:person-sessions": "none, because ending a session can wait for nothing",
    "accounts:emergency-take": STEP_UP,
    "accounts:emergency-end": LESS,
    "accounts:emergency-review": RECORDS,
    "accounts:people-grant": STEP_UP,
    "accounts:people-revoke": STEP_UP,
    "ledger:breaks-take": RECORDS,
    "ledger:break-take": RECORDS,
    "ledger:break-explain": RECORDS,
    "ledger:break-close": STEP_UP,
    "ledger:break-book": STEP_UP,
    "ledger:break-correct": STEP_UP,
    "ledger:segregation-state": STEP_UP,
    "ledger:target-new": STEP_UP,
    "ledger:rule-new": STEP_UP,
    "ledger:receipt-allocate": STEP_UP,
    "ledger:receipt-return": STEP_UP,
    "ledger:location-new": STEP_UP,
    "ledger:location-change": STEP_UP,
    "ledger:location-close": STEP_UP,
    "ledger:letter-new": STEP_UP,
    "ledger:period-close": STEP_UP,
    "ledger:period-reopen": STEP_UP,
    "ledger:entry-reverse": STEP_UP,
    "ledger:transfer-new": STEP_UP,
    "ledger:rates-new": STEP_UP,
    "ledger:bucket-rule": STEP_UP,
    "ledger:individual-hold": STEP_UP,
    "ledger:individual-reconcile": RECORDS,
    "ledger:individual-sign": STEP_UP,
    "ledger:debt-new": STEP_UP,
    "ledger:debt-end": STEP_UP,
    "margin:calls-acknowledge": RECORDS,
    "margin:calls-carry": STEP_UP,
    "margin:call-acknowledge": RECORDS,
    "margin:task-take": RECORDS,
    "margin:task-close": RECORDS,
    "margin:mode-switch": STEP_UP,
    "margin:group-new": STEP_UP,
    "margin:group-members": STEP_UP,
    "margin:override-new": STEP_UP,
    "margin:market-rule-new": STEP_UP,
    "margin:mark-correct": STEP_UP,
    "margin:call-decision": STEP_UP,
    "margin:version-new": STEP_UP,
    "margin:signature-new": STEP_UP,
    "margin:agreement-end": STEP_UP,
    "margin:parameter-new": STEP_UP,
    "margin:proposal-ask": STEP_UP,
    "margin:policy-new": STEP_UP,
    "margin:eligibility-rule": STEP_UP,
    "margin:eligibility-client": STEP_UP,
    "margin:external-new": RECORDS,
    "margin:option-new": STEP_UP,
    "margin:contract-new": STEP_UP,
    "margin:parameters-new": STEP_UP,
    "margin:decision-new": STEP_UP,
    "margin:move": STEP_UP,
    "margin:blocks": STEP_UP,
    "margin:block-lift": STEP_UP,
    "brokerage:report-write": WORKS,
    "brokerage:audit-file": WORKS,
    "brokerage:run-restate": WORKS,
    "brokerage:job-cancel": WORKS,
    "brokerage:job-retry": WORKS,
    "brokerage:case-hold": STEP_UP,
    "brokerage:case-lift": STEP_UP,
    "brokerage:case-note": RECORDS,
    "brokerage:case-take-out": WORKS,
    "brokerage:cases": RECORDS,
    "brokerage:client-statements": WORKS,
    "brokerage:statements": WORKS,
    "margin:call-agree": STEP_UP,
    "margin:call-carry": STEP_UP,
    "margin:call-dispute": RECORDS,
    "margin:call-evidence": RECORDS,
    "margin:call-initial": STEP_UP,
    "margin:call-promise": RECORDS,
    "margin:call-relief": STEP_UP,
    "margin:call-terms": STEP_UP,
    "margin:contact-new": STEP_UP,
    "margin:delivery-act": RECORDS,
    "brokerage:trade-new": STEP_UP,
    "margin:switch-new": STEP_UP,
    "margin:instruction-end": STEP_UP,
    "margin:instruction-new": STEP_UP,
    "margin:instruction-rule": STEP_UP,
    "margin:notice-text-new": STEP_UP,
    "margin:payment-file-abandon": STEP_UP,
    "margin:payment-file-new": STEP_UP,
    "margin:payment-file-sent": STEP_UP,
    "margin:payment-report-new": STEP_UP,
    "margin:withdrawal-cancel": STEP_UP,
    "margin:withdrawal-new": STEP_UP,
    "margin:withdrawal-outcome": STEP_UP,
    # The API
    "proof-list": "none, because it is the proof",
    "approval-decide": STEP_UP,
    "period-list": STEP_UP,
    "margin-call-acknowledge": RECORDS,
    "price-file-list": STEP_UP,
    "individual-client-reconcile": RECORDS,
    "obligation-list": STEP_UP,
    "bucket-move-list": STEP_UP,
    "bucket-move-preview": READS,
    "withdrawal-list": STEP_UP,
    "withdrawal-free": READS,
    "limit-list": STEP_UP,
    "receipt-allocate": STEP_UP,
    "receipt-give-back": STEP_UP,
    "letter-list": STEP_UP,
    "letter-change": STEP_UP,
    "letter-close": STEP_UP,
    "letter-letter": STEP_UP,
    "residual-interest-target": STEP_UP,
    "agreement-list": STEP_UP,
    "agreement-haircut": STEP_UP,
    "what-if-list": READS,
    "margin-mode-list": STEP_UP,
    "switch-list": STEP_UP,
    "trade-list": STEP_UP,
    "margin-group-list": STEP_UP,
    "margin-group-members": STEP_UP,
    "margin-group-preview": READS,
    "margin-mode-preview": READS,
    "agreement-calls": STEP_UP,
    "option-list": STEP_UP,
    "client-statement-list": WORKS,
    "delivery-act": RECORDS,
    "margin-call-agree": STEP_UP,
    "margin-call-carry": STEP_UP,
    "margin-call-dispute": RECORDS,
    "margin-call-list": STEP_UP,
    "margin-call-promise": RECORDS,
    "margin-call-relief": STEP_UP,
    "notice-contact-detail": STEP_UP,
    "notice-text-list": STEP_UP,
    "payment-cancel": STEP_UP,
    "payment-file-abandon": STEP_UP,
    "payment-file-list": STEP_UP,
    "payment-file-report": STEP_UP,
    "payment-file-sent": STEP_UP,
    "payment-instruction-end": STEP_UP,
    "payment-instruction-list": STEP_UP,
    "payment-list": STEP_UP,
    "payment-outcome": STEP_UP,
    "payment-preview": READS,
}
# Where somebody may go who has yet to set up the second factor that their roles ask for.
WITHOUT_FACTOR = frozenset({
    "accounts:me", "accounts:factor-begin", "accounts:factor-confirm", "accounts:recovery-new",
    "accounts:me-sessions-end", "accounts:sign-out", "accounts:sign-in", "accounts:theme",
    "accounts:clock", "accounts:sign-in-provider", "accounts:sign-in-provider-return",
    "accounts:sign-in-provider-prove", "accounts:sign-in-provider-left",
    "accounts:kept", "accounts:passkey-begin", "accounts:passkey-add", "proof-list", "health",
})  # fmt: skip


def needs_proof(match: ResolverMatch | None) -> bool:
    """Whether an address needs a recent proof when it writes."""
    return match is None or DECLARED.get(match.view_name, STEP_UP) == STEP_UP


class StepUp:
    """Lets an act that needs it pass after a recent proof, and asks for one otherwise.

    What was typed is kept: after the proof the same form goes on to where it was sent. A form
    whose session had ended is kept too, through the sign-in.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(
        self, request: DeskRequest, view: object, args: object, kwargs: object
    ) -> HttpResponse | None:
        """Ask, before the view is called."""
        match = request.resolver_match
        name = "" if match is None else match.view_name
        if not request.user.is_authenticated:
            return keep_typed(request, name)
        if request.lacks_factor and name not in WITHOUT_FACTOR:
            return ask_for_factor(request)
        if request.method in SAFE:
            return None
        typed = kept.is_kept(request)
        if typed is not None and typed.address == request.get_full_path():
            kept.let_go(request)
        if not needs_proof(match) or sessions.is_proof_recent(request, now=timezone.now()):
            return None
        return ask_for_proof(request)


def is_api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")


def keep_typed(request: DeskRequest, name: str) -> HttpResponse | None:
    """A form that was sent after the session had ended goes through the sign-in."""
    is_form = request.method == "POST" and not is_api(request) and not name.startswith("accounts:s")
    was_in = request.session.get(ENDED) or settings.SESSION_COOKIE_NAME in request.COOKIES
    if not is_form or not was_in:
        return None
    typed = kept.kept_from(request)
    if typed is None or request.headers.get("HX-Request") == "true":
        return None
    return door(request, SignInForm(), typed=typed, status=HTTPStatus.UNAUTHORIZED)


def ask_for_factor(request: DeskRequest) -> HttpResponse:
    """Nothing else, until a second factor is set up."""
    if is_api(request):
        return refused_json(
            "second_factor_is_asked", "Your roles need a second factor. Set one up on screen first."
        )
    return redirect("accounts:me")


def ask_for_proof(request: DeskRequest) -> HttpResponse | None:
    """The small form that asks again; None once what it was given is right."""
    wanted = sessions.proof_wanted(request.operator)
    if is_api(request):
        return refused_json(
            sessions.PROOF_IS_RECENT,
            f"Your last proof is older than {request.proof_minutes} minutes. "
            f"Send your {wanted} to /api/proof/, then ask again.",
        )
    problem = ""
    said = request.POST.get(PROOF, "")
    if said:
        try:
            sessions.prove(request, said=said[:PROOF_LENGTH_MAX])
        except SignInRefusedError as refused:
            problem = refused.detail
        else:
            has_lost_a_file = request.POST.get("proof_only") == "1"
            return HttpResponseRedirect(request.get_full_path()) if has_lost_a_file else None
        if not request.user.is_authenticated:
            return door(request, SignInForm(), notice=problem, status=HTTPStatus.FORBIDDEN)
    return proof_page(request, wanted=wanted, problem=problem)


def proof_page(request: DeskRequest, *, wanted: str, problem: str) -> HttpResponse:
    """Asks for a proof and carries what was typed; a file cannot be carried."""
    context = {
        "wanted": wanted,
        "problem": problem,
        "address": request.get_full_path(),
        "fields": kept.fields_of(request.POST),
        "has_file": bool(request.FILES),
        "minutes": request.proof_minutes,
        "provider": provider() if sessions.may_prove_at_provider(request.operator) else None,
        "has_password": request.operator.has_usable_password(),
        "kept": "" if request.FILES else kept.as_text(kept.kept_from(request)),
    }
    return render(request, "accounts/prove.html", context, status=HTTPStatus.FORBIDDEN)


def refused_json(rule: str, detail: str) -> JsonResponse:
    """A refusal with its name, as the API says them."""
    return JsonResponse({"rule": rule, "detail": detail}, status=HTTPStatus.FORBIDDEN)
