"""The session behind every request: live, or ended."""

from collections.abc import Callable
from datetime import timedelta
from typing import cast
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from accounts import operators
from accounts.audit import Actor
from accounts.clock import read_in
from accounts.models import LegalEntity, Operator, RoleGrant
from accounts.operators import TWICE
from accounts.roles import DeskRequest, Held, Roles

SEEN_AT_MOST_EVERY = timedelta(minutes=1)
# A page that refreshes itself sends this header; it does not keep a left desk signed in.
LIVE_HEADER = "X-Live"
LEGAL_ENTITY = "legal_entity"
ENDED = "session_ended"


class LiveSession:
    """Ends Django's session when the operator's is over, and says who asks and as what.

    Sets `operator`, `actor`, `roles`, `legal_entity` (where the person works now),
    `legal_entities` (where they hold a role) on the request.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        desk = cast(DeskRequest, request)
        desk.roles, desk.legal_entity, desk.legal_entities = Roles(), None, ()
        if request.user.is_authenticated:
            self.admit(desk)
        # Admitting ends what has run out, and then nobody's clock is read but the desk's.
        with read_in(getattr(request.user, "time_zone", "")):
            response = self.get_response(request)
        return ask_to_sign_in(request, response)

    def admit(self, request: DeskRequest) -> None:
        """Let the person go on, or end a session that has run out."""
        key = request.session.session_key
        now = timezone.now()
        session = operators.live_session(key, now=now)
        if session is None or key is None:
            operators.sign_out(request)
            request.session[ENDED] = True
            return
        if session.last_seen_at < now - SEEN_AT_MOST_EVERY and LIVE_HEADER not in request.headers:
            operators.touch_session(key)
        assert isinstance(request.user, Operator)
        request.operator = request.user
        request.session_id, request.proved_at = session.pk, session.proved_at
        request.proof_minutes = getattr(session, "proof_minutes")  # noqa: B009 - annotated
        is_forced, is_enrolled = getattr(session, "is_forced"), getattr(session, "is_enrolled")  # noqa: B009
        # The provider's second factor counts for the session in which it was shown.
        is_shown = TWICE in session.factors.split(",")
        request.lacks_factor = is_forced and not is_enrolled and not is_shown
        channel = "api" if request.path.startswith("/api/") else "screen"
        request.actor = Actor.person(key, channel=channel)
        place(request)


def place(request: DeskRequest) -> None:
    """The person's roles, and the legal entity they work at: as chosen, else the first."""
    grants = list(
        RoleGrant.objects.held()
        .filter(operator=request.operator)
        .select_related("legal_entity")
        .order_by("legal_entity__code", "role", "desk")
    )
    request.roles = Roles(tuple(Held(g.role, g.legal_entity_id, g.desk) for g in grants))
    entities: dict[int, LegalEntity] = {g.legal_entity_id: g.legal_entity for g in grants}
    chosen = request.session.get(LEGAL_ENTITY, 0)
    request.legal_entity = entities.get(chosen) or next(iter(entities.values()), None)
    request.legal_entities = tuple(entities.values())


def ask_to_sign_in(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """A fragment cannot show the sign-in page, so the whole page goes there."""
    to_sign_in = response.get("Location", "").startswith(settings.LOGIN_URL)
    if request.headers.get("HX-Request") != "true" or not to_sign_in:
        return response
    page = urlsplit(request.headers.get("HX-Current-URL", "/"))
    back = urlencode({"next": page.path + (f"?{page.query}" if page.query else "")})
    answer = HttpResponse(status=204)
    answer["HX-Redirect"] = f"{settings.LOGIN_URL}?{back}"
    return answer
