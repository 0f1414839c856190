"""Payment files: written, downloaded, sent or abandoned, and what the bank reports of them."""

from collections import Counter

from django import forms
from django.contrib import messages
from django.db.models import Count, QuerySet, Sum
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.audit import RefusedError
from accounts.columns import Column
from accounts.filters import Choice, Day, Text
from accounts.listing import Listing, wants_rows
from accounts.news import announce
from accounts.personal import ErasedPersonError
from accounts.roles import REQUEST, DeskRequest, check, may, require
from accounts.screens.asking import AskForm, Question, ask, day_field
from ledger.models import Payment, PaymentFile, PaymentStatus
from ledger.pain import CannotOrderError
from ledger.payment_files import ABANDON, payments_in, record_sent, request_abandon, write_files
from ledger.payments import State, moment
from margin.payments.reports import BYTES_MOST, ReportTooLargeError, read_report
from margin.screens.visible import NO_PAGE, entity_here

FILE = "payment.file"
MEDIA = {PaymentFile.Format.PAIN_001: "application/xml", PaymentFile.Format.CSV: "text/csv"}
COLUMNS = (
    Column("file", "File", value="message_id", sort=("message_id",)),
    Column("location", "Paid from", value="location.code", sort=("location__code", "pk")),
    Column("pay_on", "On", value="pay_on", sort=("pay_on", "pk")),
    Column("format", "Format", sort=("format", "pk")),
    Column("count", "Payments", value="payment_count", sort=("payment_count", "pk"), numeric=True),
    Column("sum", "Sum", value="control_sum", sort=("control_sum", "pk"), numeric=True),
    Column("state", "State", sort=("state", "pk")),
    Column("written", "Written", value="written_at", sort=("written_at", "pk")),
    Column("sha256", "sha256", is_shown=False),
)


def files_here(request: DeskRequest) -> "QuerySet[PaymentFile]":
    """The files of where one works. They hold payments of all desks, so no desk sees them alone."""
    entity = entity_here(request)
    if request.roles.desks("read", entity.pk) is not None:
        return PaymentFile.objects.none()
    return PaymentFile.objects.filter(location__pool__legal_entity=entity).select_related(
        "location__pool__legal_entity"
    )


def file_or_404(request: DeskRequest, file_id: int) -> PaymentFile:
    found = files_here(request).filter(pk=file_id).first()
    if found is None:
        raise Http404(NO_PAGE)
    return found


@require_GET
@require("read")
def file_list(request: DeskRequest) -> HttpResponse:
    """Files, the newest first, and what waits for one."""
    listing = Listing(
        request,
        files_here(request).defer("content"),
        name="payment-files",
        columns=COLUMNS,
        filters=[
            Choice("state", "State", "state", list(PaymentFile.State.choices)),
            Text("q", "File", ("message_id",)),
            Text("location", "Paid from", ("location__code",)),
            Day("on", "On", "pay_on"),
        ],
        default_sort="-written",
        tabs="state",
    )
    if listing.format:
        return listing.export()
    entity = entity_here(request)
    waiting = (
        Payment.objects.filter(legal_entity=entity, state=State.APPROVED)
        .values("location__code", "pay_on", "asset__code", "asset__scale")
        .annotate(number=Count("pk"), total=Sum("amount"))
        .order_by("pay_on", "location__code")
    )
    context = {
        "listing": listing,
        "waiting": list(waiting) if request.roles.desks("read", entity.pk) is None else [],
        "can_write": may(request, FILE, entity),
    }
    template = "margin/_payment_files.html" if wants_rows(request) else "margin/payment_files.html"
    return render(request, template, context)


class WriteForm(AskForm):
    """Which files."""

    format = forms.ChoiceField(label="For banks", choices=PaymentFile.Format.choices)
    until = day_field("Payments up to", hint="One file for each debtor account and day.")
    field_order = ("format", "until", "reason")


@require_http_methods(["GET", "POST"])
@require("read")
def file_new(request: DeskRequest) -> HttpResponse:
    """Write files of what is approved and due."""
    entity = entity_here(request)
    check(request, FILE, entity)
    sent = request.POST if request.method == "POST" else None
    form = WriteForm(sent, initial={"until": moment().date()})
    if sent is None:
        return render(request, "margin/payment_file_new.html", {"form": form})
    if not form.is_valid():
        return render(request, "margin/payment_file_new.html", {"form": form}, status=422)
    try:
        files = write_files(
            legal_entity_id=entity.pk, until=form.cleaned_data["until"],
            format=form.cleaned_data["format"], reason=form.cleaned_data["reason"],
            actor=request.actor, request_id=request.request_id,
        )  # fmt: skip
    except (CannotOrderError, ErasedPersonError) as refused:
        form.add_error(None, f"Not written: {refused}")
        return render(request, "margin/payment_file_new.html", {"form": form}, status=422)
    except RefusedError as refused:
        form.add_error(None, f"Not written ({refused.rule}): {refused.detail}.")
        return render(request, "margin/payment_file_new.html", {"form": form}, status=409)
    if files:
        messages.success(request, f"{len(files)} written. They are not sent yet.")
        announce("book")
    else:
        messages.info(request, "Nothing waits for a file up to that day.")
    return redirect("margin:payment-files")


class ReportForm(AskForm):
    """A status report that came from the bank."""

    file = forms.FileField(
        label="pain.002 file", max_length=200,
        help_text="Kept byte for byte. Read again, it changes nothing.",
    )  # fmt: skip
    field_order = ("file", "reason")


@require_http_methods(["GET", "POST"])
@require("read")
def report_new(request: DeskRequest) -> HttpResponse:
    """Read a status report of the bank: accepted is noted, rejected gives the money back."""
    entity = entity_here(request)
    check(request, FILE, entity)
    page = "margin/payment_report_new.html"
    if request.method != "POST":
        return render(request, page, {"form": ReportForm()})
    form = ReportForm(request.POST, request.FILES)
    if not form.is_valid():
        return render(request, page, {"form": form}, status=422)
    sent = form.cleaned_data["file"]
    try:
        report, is_new = read_report(
            sent.read(BYTES_MOST + 1), name=str(sent.name), legal_entity=entity,
            actor=request.actor, reason=form.cleaned_data["reason"],
            request_id=request.request_id,
        )  # fmt: skip
    except ReportTooLargeError as refused:
        form.add_error("file", str(refused))
        return render(request, page, {"form": form}, status=422)
    except RefusedError as refused:
        form.add_error(None, f"Not read ({refused.rule}): {refused.detail}.")
        return render(request, page, {"form": form}, status=409)
    if not is_new:
        messages.info(request, "This report was read before; nothing changed.")
    elif report.rejection:
        messages.error(request, f"Kept, and not used: {report.rejection}")
    else:
        announce("book")
        counted = Counter(report.statuses.values_list("outcome", flat=True))
        words = ", ".join(
            f"{outcome.label.lower()}: {counted[outcome.value]}"
            for outcome in PaymentStatus.Outcome
            if counted[outcome.value]
        )
        messages.success(request, f"Read. {words or 'nothing is said of any payment'}.")
    if report.payment_file_id is None:
        return redirect("margin:payment-files")
    return redirect("margin:payment-file", report.payment_file_id)


@require_GET
@require("read")
def file_page(request: DeskRequest, file_id: int) -> HttpResponse:
    """One file, the payments it carries or carried, and what can be done with it."""
    file = file_or_404(request, file_id)
    entity = file.location.pool.legal_entity
    is_open = file.state == PaymentFile.State.WRITTEN
    carried = file.carried.select_related("payment__asset", "payment__bucket__account")
    said = PaymentStatus.objects.filter(report__payment_file=file).select_related(
        "report__file", "payment"
    )
    context = {
        "file": file,
        "carried": carried.order_by("ordinal"),
        "said": said.order_by("-report", "ordinal"),
        "reports": file.reports.exclude(rejection="").select_related("file").order_by("-pk"),
        "can_send": is_open and may(request, FILE, entity),
        "can_download": file.state != PaymentFile.State.ABANDONED and may(request, FILE, entity),
        "can_abandon": is_open and may(request, f"{REQUEST}{ABANDON}", entity),
    }
    return render(request, "margin/payment_file.html", context)


@require_GET
@require("read")
def file_download(request: DeskRequest, file_id: int) -> HttpResponse:
    """The file's bytes, as they were written; of an abandoned file nothing."""
    file = file_or_404(request, file_id)
    check(request, FILE, file.location.pool.legal_entity)
    if file.state == PaymentFile.State.ABANDONED:
        return HttpResponse(
            f"File {file.message_id} was abandoned; it is not sent.", status=409,
            content_type="text/plain; charset=utf-8",
        )  # fmt: skip
    answer = HttpResponse(
        bytes(file.content), content_type=f"{MEDIA[PaymentFile.Format(file.format)]}; charset=utf-8"
    )
    answer["Content-Disposition"] = f'attachment; filename="{file.name}"'
    return answer


@require_POST
@require("read")
def file_sent(request: DeskRequest, file_id: int) -> HttpResponse:
    """Record once that the bank has the file."""
    file = file_or_404(request, file_id)
    check(request, FILE, file.location.pool.legal_entity)
    try:
        is_new = record_sent(
            file, actor=request.actor, reason=f"File {file.message_id} was sent to the bank",
            request_id=request.request_id,
        )  # fmt: skip
    except RefusedError as refused:
        messages.error(request, f"Not recorded ({refused.rule}): {refused.detail}.")
        return redirect("margin:payment-file", file.pk)
    if is_new:
        messages.success(request, "Recorded as sent.")
        announce("book")
    else:
        messages.info(request, "This was recorded as sent before; nothing changed.")
    return redirect("margin:payment-file", file.pk)


@require_http_methods(["GET", "POST"])
@require("read")
def file_abandon(request: DeskRequest, file_id: int) -> HttpResponse:
    """Ask a second person to agree that the file never went to the bank."""
    file = file_or_404(request, file_id)
    total = sum(1 for _ in payments_in(file))
    question = Question(
        action=ABANDON, title=f"Abandon file {file.message_id}",
        purpose="Only a file that no bank has. Its payments go into a next one.",
        back=reverse("margin:payment-file", args=[file.pk]), back_label=file.message_id,
        facts=(("Paid from", file.location.code), ("On", file.pay_on.isoformat()),
               ("Payments", str(total)), ("State", file.get_state_display())),
    )  # fmt: skip
    form = AskForm(request.POST if request.method == "POST" else None)
    return ask(
        request, form, question, entity=file.location.pool.legal_entity,
        do=lambda typed: request_abandon(
            file, reason=typed["reason"], actor=request.actor, request_id=request.request_id
        ),
    )  # fmt: skip
