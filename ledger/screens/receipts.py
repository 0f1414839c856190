"""Money that came without an owner: the list, each receipt, and asking whose it is."""

from datetime import date
from typing import Any

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from accounts.approvals import pending_on
from accounts.listing import wants_rows
from accounts.models import Bucket, LegalEntity, OwnerClass
from accounts.roles import REQUEST, DeskRequest, may, require
from accounts.screens.asking import AskForm, Question, ask, text_field
from ledger.receipts import (
    ALLOCATION,
    RETURN,
    Receipt,
    receipts_of,
    request_allocation,
    request_return,
)
from ledger.screens.locations import desk_today
from ledger.screens.times import Times, in_two_times, not_known, not_there
from ledger.screens.visible import NO_PAGE, entity_here
from ledger.times import ReadingPoint
from ledger.transfers import action_of

LISTS = {"open": "Without an owner", "settled": "Settled"}


class AllocationForm(AskForm):
    """Whose it is: one bucket of one client's account."""

    account = text_field("Account", required=True, length=40, hint="Code of the client's account.")
    bucket = text_field("Bucket", length=60, hint="Empty for FREE.")
    field_order = ("account", "bucket", "reason")

    def __init__(self, data: Any, *, entity: LegalEntity) -> None:  # noqa: ANN401
        super().__init__(data)
        self.entity = entity

    def clean(self) -> dict[str, Any]:
        """Find the bucket that is meant."""
        typed: dict[str, Any] = super().clean() or {}
        if typed.get("account"):
            typed["found"] = (
                Bucket.objects.filter(
                    account__legal_entity=self.entity,
                    account__owner_class=OwnerClass.CLIENT,
                    account__code=typed["account"].strip(),
                    code=(typed.get("bucket") or "").strip() or "FREE",
                )
                .select_related("account__client")
                .first()
            )
            if typed["found"] is None:
                self.add_error("account", "No client has such an account and bucket here.")
        return typed


class ReturnForm(AskForm):
    """That it goes back to where it came from."""

    reference = text_field("Bank reference", length=60, hint="We make one if you leave it empty.")
    field_order = ("reference", "reason")


def day_of(point: ReadingPoint | None) -> date:
    """The day from which ages count: the desk's, or that of the point."""
    if point is None:
        return desk_today()
    return point.as_of or (point.known_at.date() if point.known_at else desk_today())


@require_GET
@require("read")
@in_two_times()
def receipt_list(request: DeskRequest, *, times: Times) -> HttpResponse:
    """Receipts that wait for their owner, oldest first; or those that are settled."""
    chosen = request.GET.get("list", "open")
    if chosen not in LISTS:
        raise Http404(NO_PAGE)
    entity, today = entity_here(request), day_of(times.point)
    found = receipts_of(entity, today=today, is_open=chosen == "open", point=times.point)
    context = {
        "times": times,
        "receipts": found,
        "chosen": chosen,
        "lists": list(LISTS.items()),
        "alarming": sum(each.alarms for each in found),
    }
    template = "ledger/_receipts.html" if wants_rows(request) else "ledger/receipts.html"
    return render(request, template, context)


@require_GET
@require("read")
@in_two_times()
def receipt_page(request: DeskRequest, entry_id: int, *, times: Times) -> HttpResponse:
    """One receipt: what came, how long ago, and who may say whose it is."""
    point = times.point
    if point is None:
        receipt = receipt_or_404(request, entry_id)
    else:
        found = receipts_of(
            entity_here(request), today=day_of(point), entry_id=entry_id, point=point
        )
        if not found:
            receipt_or_404(request, entry_id)
            return not_there(request, times, not_known(f"Receipt {entry_id}", point))
        (receipt,) = found
    entity = receipt.pool.legal_entity
    is_open = receipt.settled_by is None and point is None
    context = {
        "times": times,
        "receipt": receipt,
        "pending": [] if point else pending_on(receipt.record, roles=request.roles),
        "can_allocate": is_open and may(request, f"{REQUEST}{action_of(ALLOCATION)}", entity),
        "can_return": is_open and may(request, f"{REQUEST}{action_of(RETURN)}", entity),
    }
    return render(request, "ledger/receipt.html", context)


@require_http_methods(["GET", "POST"])
@require("read")
def receipt_allocate(request: DeskRequest, entry_id: int) -> HttpResponse:
    """Ask that it become one client's money."""
    receipt = receipt_or_404(request, entry_id)
    entity = receipt.pool.legal_entity
    form = AllocationForm(request.POST if request.method == "POST" else None, entity=entity)

    def do(typed: Any) -> Any:  # noqa: ANN401
        return request_allocation(
            receipt, bucket=typed["found"], reason=typed["reason"],
            effective_at=timezone.now(), actor=request.actor, request_id=request.request_id,
        )  # fmt: skip

    question = question_of(receipt, ALLOCATION, f"Give {receipt.words} to its owner")
    return ask(request, form, question, entity=entity, do=do)


@require_http_methods(["GET", "POST"])
@require("read")
def receipt_return(request: DeskRequest, entry_id: int) -> HttpResponse:
    """Ask that it go back."""
    receipt = receipt_or_404(request, entry_id)
    form = ReturnForm(request.POST if request.method == "POST" else None)

    def do(typed: Any) -> Any:  # noqa: ANN401
        return request_return(
            receipt, reason=typed["reason"], reference=typed["reference"].strip(),
            effective_at=timezone.now(), actor=request.actor, request_id=request.request_id,
        )  # fmt: skip

    question = question_of(receipt, RETURN, f"Return {receipt.words}")
    return ask(request, form, question, entity=receipt.pool.legal_entity, do=do)


def question_of(receipt: Receipt, kind: str, title: str) -> Question:
    """What is asked of one receipt, beside what is known of it."""
    purpose = {
        ALLOCATION: "All of it becomes the money of one client, once a second person agrees.",
        RETURN: "All of it leaves through the location where it came in.",
    }[kind]
    return Question(
        action=action_of(kind),
        title=title,
        purpose=purpose,
        back=reverse("ledger:receipt", args=[receipt.entry_id]),
        back_label=f"Receipt {receipt.reference}",
        facts=(
            ("Came to", receipt.location.code),
            ("Reference", receipt.reference),
            ("What is known", receipt.narrative or "nothing"),
            ("Waits", f"{receipt.age} days; alarms after {receipt.alarms_after}"),
        ),
    )


def receipt_or_404(request: DeskRequest, entry_id: int) -> Receipt:
    """One receipt of the firm the person works at."""
    found = receipts_of(entity_here(request), today=desk_today(), entry_id=entry_id)
    if not found:
        raise Http404(NO_PAGE)
    return found[0]
