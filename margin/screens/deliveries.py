"""Deliveries of notices: the list, one of them with exactly what was sent, and what people do."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple
from uuid import UUID

from django.contrib import messages
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from accounts.audit import RefusedError
from accounts.clock import zone_label
from accounts.columns import Column
from accounts.filters import Choice, Day, Text
from accounts.listing import Listing, wants_rows
from accounts.live import live_answer
from accounts.roles import DeskRequest, check, may, require
from margin.models import (
    CallEvent,
    Channel,
    Delivery,
    DeliveryEvent,
    MarginCall,
    NoticeKind,
)
from margin.notices.acts import (
    RIGHT,
    WORDS_LENGTH_MAX,
    mark_bounced,
    mark_not_posted,
    mark_posted,
    mark_printed,
    send_again,
)
from margin.notices.contents import (
    bytes_of,
    is_as_hashed,
    is_erased,
    recipient_of,
    text_of,
)
from margin.notices.texts import NoticeText
from margin.screens.visible import (
    CALL_ACCOUNT,
    MARGIN_MOVED,
    NO_PAGE,
    entity_here,
    of_accounts,
)

State = Delivery.State
OF_CALL = f"call__{CALL_ACCOUNT}"
WORDS_LENGTH_MIN = 3
FILE_TYPES = {
    Channel.EMAIL: ("message/rfc822", "eml"),
    Channel.WEBHOOK: ("application/json", "json"),
    Channel.LETTER: ("text/plain; charset=utf-8", "txt"),
    Channel.OUTBOX: ("text/plain; charset=utf-8", "txt"),
}


class Act(NamedTuple):
    """Something that a person may say of a delivery.

    Attributes:
        from_states: in which it is offered; the database decides whether it may be.
        channels: to which it applies.
        asks: what is asked for in words; "" where nothing is.
    """

    title: str
    purpose: str
    from_states: tuple[str, ...]
    channels: tuple[str, ...]
    asks: str
    do: Callable[..., Delivery]


def _printed(delivery_id: UUID, *, words: str, actor: Any, request_id: str) -> Delivery:  # noqa: ANN401
    return mark_printed(delivery_id, actor=actor, request_id=request_id)


SENT = (Channel.EMAIL, Channel.WEBHOOK, Channel.LETTER)
ACTS: dict[str, Act] = {
    "printed": Act(
        "Mark printed", "The letter is printed and goes to the post.",
        (State.WAITING, State.PRINTED), (Channel.LETTER,), "", _printed,
    ),
    "posted": Act(
        "Mark posted", "The letter is posted; from now on the call counts as delivered.",
        (State.PRINTED,), (Channel.LETTER,), "How it was posted, such as its number", mark_posted,
    ),
    "not-posted": Act(
        "Cannot be posted", "Somebody is asked to reach the client in another way.",
        (State.WAITING, State.PRINTED), (Channel.LETTER,), "Why not", mark_not_posted,
    ),
    "bounced": Act(
        "It came back", "The notice did not arrive; somebody is asked to reach the client.",
        (State.DELIVERED,), SENT, "What came back", mark_bounced,
    ),
    "again": Act(
        "Send again", "The same bytes go again, or anew where the client has moved.",
        (State.UNDELIVERED, State.BOUNCED), SENT, "Why", send_again,
    ),
}  # fmt: skip


class Sent(NamedTuple):
    """What a call's page shows of its notices.

    Attributes:
        deliveries: oldest first.
        text: of the newest notice; of a call from before deliveries were kept, as its life says.
    """

    deliveries: list[Delivery]
    text: str


def sent_to(call: MarginCall) -> Sent:
    """Every delivery of a call, or the text that its life kept."""
    found = list(_read().filter(call=call).order_by("made_at", "event_id", "channel"))
    if found:
        return Sent(found, shown_text(found[-1]).body)
    told = CallEvent.objects.filter(call=call, event__in=["delivered", "notified"]).order_by("pk")
    texts = [text.partition("\n\n")[2] for text in told.values_list("text", flat=True)]
    return Sent([], "\n\n".join(filter(None, texts)))


def _read() -> "QuerySet[Delivery]":
    newest = DeliveryEvent.objects.filter(delivery=OuterRef("pk")).order_by("-number")
    return Delivery.objects.select_related(
        "call__scope__bucket__account__client", "template", "person_key"
    ).annotate(answer=Subquery(newest.values("text")[:1]))


def columns() -> list[Column]:
    """The columns, times under the label of the desk's zone."""
    zone = zone_label(timezone.now())
    return [
        Column("call", "Call", value="call.number", sort=("call__number",)),
        Column("account", "Account", value="call.scope.bucket.account.code",
               sort=(f"{OF_CALL}__code",)),
        Column("kind", "Notice", sort=("kind",)),
        Column("channel", "Way", sort=("channel",)),
        Column("state", "State", sort=("state",)),
        Column("attempts", "Attempts", sort=("attempts",), numeric=True),
        Column("answer", "Newest answer"),
        Column("made", f"Made, {zone}", value="made_at", sort=("made_at",)),
        Column("next", f"Next, {zone}", value="next_at", sort=("next_at",), is_shown=False),
        Column("sha256", "sha256", is_shown=False),
        Column("template", "Text", value=lambda each: text_words(each), is_shown=False),
        Column("id", "Delivery", is_shown=False),
    ]  # fmt: skip


def text_words(delivery: Delivery) -> str:
    """Which version of which text it was made from."""
    whose = "standard" if delivery.template.legal_entity_id is None else "own"
    return f"{whose} {delivery.template.language} v{delivery.template.version}"


@require_GET
@require("read")
def delivery_list(request: DeskRequest) -> HttpResponse:
    """Deliveries, the newest first, as a page, its live region or a file."""
    mine = of_accounts(request.roles, [entity_here(request).pk], path=OF_CALL)
    listing = Listing(
        request, _read().filter(mine), name="deliveries", columns=columns(),
        filters=[
            Choice("state", "State", "state", State.choices),
            Choice("channel", "Way", "channel", Channel.choices),
            Choice("kind", "Notice", "kind", NoticeKind.choices),
            Text("q", "Call or account", ("call__number", f"{OF_CALL}__code")),
            Day("from", "Made since", "made_at__date", lookup="gte"),
            Day("until", "Made until", "made_at__date", lookup="lte"),
        ],
        default_sort="-made", tabs="state",
    )  # fmt: skip
    if listing.format:
        return listing.export()
    return live_answer(
        request,
        {"listing": listing, "rows": listing.page},
        page="margin/deliveries.html",
        region="margin/_deliveries.html",
        triggers=MARGIN_MOVED,
        name="deliveries",
    )


def delivery_or_404(request: DeskRequest, delivery_id: UUID) -> Delivery:
    """One delivery, unless it is not theirs to see."""
    mine = of_accounts(request.roles, request.roles.entities("read"), path=OF_CALL)
    found = _read().filter(mine, pk=delivery_id)
    delivery = found.select_related(
        "call__scope__bucket__account__legal_entity", "template", "person_key", "contact"
    ).first()
    if delivery is None:
        raise Http404(NO_PAGE)
    return delivery


@require_GET
@require("read")
def delivery_page(request: DeskRequest, delivery_id: UUID) -> HttpResponse:
    """Exactly what was sent, to whom, and every step."""
    delivery = delivery_or_404(request, delivery_id)
    entity = account_of(delivery).legal_entity
    context = {
        "delivery": delivery,
        "account": account_of(delivery),
        "recipient": recipient_of(delivery),
        "is_erased": is_erased(delivery),
        "is_proven": is_as_hashed(delivery),
        "text_words": text_words(delivery),
        "shown": shown_text(delivery),
        "content": bytes_of(delivery).decode("utf-8", "replace"),
        "events": list(delivery.events.order_by("number")),
        "ways": ways_on(request, delivery) if may(request, RIGHT, entity) else [],
    }
    return render(request, "margin/delivery.html", context)


def account_of(delivery: Delivery) -> Any:  # noqa: ANN401 - a MarginAccount
    """The account whose call it tells of."""
    bucket = delivery.call.scope.bucket
    assert bucket is not None, "calls are made on buckets"
    return bucket.account


def shown_text(delivery: Delivery) -> NoticeText:
    """The notice as its reader saw it."""
    return text_of(delivery.channel, bytes_of(delivery))


def ways_on(request: DeskRequest, delivery: Delivery) -> list[tuple[str, str]]:
    """Address and title of each act that the delivery's state offers."""
    return [
        (reverse("margin:delivery-act", args=[delivery.pk, code]), act.title)
        for code, act in ACTS.items()
        if delivery.state in act.from_states and delivery.channel in act.channels
    ]


@require_GET
@require("read")
def delivery_file(request: DeskRequest, delivery_id: UUID) -> HttpResponse:
    """The exact bytes, to take away."""
    delivery = delivery_or_404(request, delivery_id)
    media, ending = FILE_TYPES[Channel(delivery.channel)]
    name = re.sub(r"[^A-Za-z0-9-]", "-", f"{delivery.call.number}-{delivery.kind}")
    return HttpResponse(
        bytes_of(delivery), content_type=media,
        headers={"Content-Disposition": f'attachment; filename="{name}.{ending}"'},
    )  # fmt: skip


@require_GET
@require("read")
def delivery_letter(request: DeskRequest, delivery_id: UUID) -> HttpResponse:
    """What was sent as a letter, to print."""
    delivery = delivery_or_404(request, delivery_id)
    context = {
        "delivery": delivery,
        "firm_name": account_of(delivery).legal_entity.name,
        # A letter is printed whole, with the address above it.
        "shown": NoticeText("", bytes_of(delivery).decode())
        if delivery.channel == Channel.LETTER
        else shown_text(delivery),
    }
    return render(request, "margin/letter.html", context)


@require_http_methods(["GET", "POST"])
@require("read")
def delivery_act(request: DeskRequest, delivery_id: UUID, act: str) -> HttpResponse:
    """Ask for the words, then do it; the delivery changes once."""
    delivery = delivery_or_404(request, delivery_id)
    check(request, RIGHT, account_of(delivery).legal_entity)
    chosen = ACTS.get(act)
    if chosen is None:
        raise Http404(NO_PAGE)
    if request.method == "GET":
        return act_form(request, delivery, act)
    words = request.POST.get("words", "").strip()
    if chosen.asks and not WORDS_LENGTH_MIN <= len(words) <= WORDS_LENGTH_MAX:
        problem = f"Say it in {WORDS_LENGTH_MIN} to {WORDS_LENGTH_MAX} characters."
        return act_form(request, delivery, act, words=words, problem=problem, status=422)
    try:
        after = chosen.do(
            delivery.pk, words=words, actor=request.actor, request_id=request.request_id
        )
    except RefusedError as refused:
        problem = f"Not done: {refused.detail}."
        return act_form(request, delivery, act, words=words, problem=problem, status=409)
    messages.success(request, f"Done: {after.get_state_display().lower()}.")
    return redirect("margin:delivery", after.pk)


def act_form(
    request: DeskRequest,
    delivery: Delivery,
    act: str,
    *,
    words: str = "",
    problem: str = "",
    status: int = 200,
) -> HttpResponse:
    """The question, as a dialog for htmx and as a page without it."""
    chosen = ACTS[act]
    context = {
        "delivery": delivery,
        "act": chosen,
        "words": words,
        "problem": problem,
        "words_max": WORDS_LENGTH_MAX,
        "address": reverse("margin:delivery-act", args=[delivery.pk, act]),
        "back": reverse("margin:delivery", args=[delivery.pk]),
        "title": f"{chosen.title}?",
        "action": chosen.title,
    }
    is_dialog = wants_rows(request) and request.method == "GET"
    template = "margin/_delivery_act.html" if is_dialog else "margin/delivery_act.html"
    return render(request, template, context, status=status)
