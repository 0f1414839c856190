"""Blocks of what leaves: those in force, looked at by the newest run, lifted when they may be."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from accounts.audit import RefusedError, acting
from accounts.models import AccountGroup, Client
from accounts.roles import DeskRequest, check, may, require
from ledger.blocks import block_outflows, lift
from ledger.models import BlockRule, BlockSweep, OutflowBlock
from margin.screens.visible import NO_PAGE, entity_here, newest_run
from margin.sweeps import sweep

SET, LIFT = "block.set", "block.lift"


class BlockForm(forms.Form):
    """Whom a block covers and why."""

    cause = forms.ChoiceField(label="Cause", choices=BlockRule.Cause.choices)
    group = forms.ModelChoiceField(
        AccountGroup.objects.none(), to_field_name="code", required=False, label="Group",
        empty_label="none",
    )  # fmt: skip
    client = forms.CharField(
        label="Client", required=False, max_length=40,
        help_text="Neither group nor client: everything of this legal entity.",
    )  # fmt: skip
    detail = forms.CharField(
        label="What happened", min_length=10, max_length=2000,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Kept for ever with your name. At least 10 characters.",
    )  # fmt: skip


@require_http_methods(["GET", "POST"])
@require("read")
def block_list(request: DeskRequest) -> HttpResponse:
    """The blocks, those in force first; sending the form sets one."""
    entity = entity_here(request)
    form = BlockForm(request.POST if request.method == "POST" else None)
    field = form.fields["group"]
    assert isinstance(field, forms.ModelChoiceField), "a group is chosen"
    field.queryset = AccountGroup.objects.filter(legal_entity=entity).order_by("code")
    if request.method == "POST":
        check(request, SET, entity)
        if form.is_valid() and set_block(request, form):
            return redirect("margin:blocks")
    blocks = (
        OutflowBlock.objects.filter(legal_entity=entity)
        .select_related("group", "client", "lift")
        .order_by("-pk")
    )
    newest = {
        each.block_id: each
        for each in BlockSweep.objects.filter(block__in=blocks)
        .order_by("block_id", "-pk")
        .distinct("block_id")
    }
    rows = [(block, newest.get(block.pk), not hasattr(block, "lift")) for block in blocks]
    context = {
        "rows": sorted(rows, key=lambda row: not row[2]),
        "form": form,
        "run": newest_run(),
        "now": timezone.now(),
        "can_set": may(request, SET, entity),
        "can_lift": may(request, LIFT, entity),
    }
    status = 422 if request.method == "POST" else 200
    return render(request, "margin/blocks.html", context, status=status)


def set_block(request: DeskRequest, form: BlockForm) -> bool:
    """Set what the form says; False with its reason in the form."""
    entity = entity_here(request)
    typed: dict[str, Any] = form.cleaned_data
    client = None
    if typed["client"]:
        client = Client.objects.filter(legal_entity=entity, code=typed["client"].strip()).first()
        if client is None:
            form.add_error("client", "There is no such client.")
            return False
    try:
        with acting(request.actor, reason=typed["detail"], request_id=request.request_id):
            block_outflows(
                legal_entity=entity, cause=typed["cause"], detail=typed["detail"],
                group=typed["group"], client=client,
            )  # fmt: skip
    except RefusedError as refused:
        form.add_error(None, f"Not blocked: {refused.detail}.")
        return False
    messages.success(request, "Blocked. Nothing leaves these accounts until it is lifted.")
    return True


@require_POST
@require("read")
def block_lift(request: DeskRequest, block_id: int) -> HttpResponse:
    """Look at the accounts with the newest run, then lift the block if it may be."""
    entity = entity_here(request)
    block = OutflowBlock.objects.filter(legal_entity=entity, pk=block_id).first()
    if block is None:
        raise Http404(NO_PAGE)
    check(request, LIFT, entity)
    run = newest_run()
    reason = "Sweep and lift"
    try:
        if run is not None and run.finished_at >= block.begins_at:
            with acting(request.actor, reason=reason, request_id=request.request_id):
                sweep(block, run)
        lift(block, actor=request.actor, reason=reason, request_id=request.request_id)
    except RefusedError as refused:
        messages.error(request, f"Not lifted ({refused.rule}): {refused.detail}.")
    else:
        messages.success(request, "Lifted. What is free may leave again.")
    return redirect("margin:blocks")
