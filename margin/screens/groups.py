"""Groups that are margined as one: all of them, one with its members, and who joins and leaves."""

from typing import Any

from django import forms
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from accounts.approvals import pending_on
from accounts.group_changes import (
    MAKE,
    MEMBERS,
    Membership,
    NewGroup,
    request_group,
    request_members,
)
from accounts.groups import accounts_of
from accounts.models import AccountGroup, Agreement, Client, LegalEntity, MarginAccount, OwnerClass
from accounts.roles import DECIDE, REQUEST, DeskRequest, may, one_of, require, who_may
from accounts.screens.asking import AskForm, Question, ask, day_field, text_field
from margin.group_standing import (
    GroupPreview,
    GroupStanding,
    preview_members,
    standing_of_group,
)
from margin.models import MarginCall
from margin.pools import newest_day
from margin.screens.terms import desk_today
from margin.screens.visible import NO_PAGE, entity_here, of_accounts
from margin.what_if_ground import WhatIfRefusedError

GROUPS_SHOWN_MAX = 200


class NewGroupForm(AskForm):
    """A group, without members."""

    code = text_field("Code", required=True, length=40)
    owner_class = forms.ChoiceField(
        label="Owner class", choices=[(each.value, each.label) for each in OwnerClass],
        initial=OwnerClass.CLIENT,
    )  # fmt: skip
    client = forms.ModelChoiceField(
        Client.objects.none(), to_field_name="code", required=False, label="Client",
        help_text="Whose accounts it links, and who is called.",
    )  # fmt: skip
    agreement = forms.ModelChoiceField(
        Agreement.objects.none(), to_field_name="code", label="Agreement", empty_label=None,
        help_text="How the group is margined.",
    )  # fmt: skip
    effective_from = day_field("From")
    guarantee_reference = text_field(
        "Guarantee", hint="Reference of the cross guarantee; without one all members are the"
        " accounts of one client.",
    )  # fmt: skip
    guarantee_dated_on = day_field("Guarantee dated", required=False)
    guarantee_sha256 = text_field("Sha256 of the guarantee", length=64)
    desk = text_field("Desk", length=40)
    field_order = (
        "code", "owner_class", "client", "agreement", "effective_from", "guarantee_reference",
        "guarantee_dated_on", "guarantee_sha256", "desk", "reason",
    )  # fmt: skip

    def __init__(self, data: Any, *, entity: LegalEntity, **more: Any) -> None:  # noqa: ANN401
        super().__init__(data, **more)
        for name, model in (("client", Client), ("agreement", Agreement)):
            field = self.fields[name]
            assert isinstance(field, forms.ModelChoiceField)
            field.queryset = model.objects.filter(legal_entity=entity).order_by("code")


class MembersForm(forms.Form):
    """Who joins and who leaves, from a day on."""

    join = forms.ModelMultipleChoiceField(
        MarginAccount.objects.none(), to_field_name="code", required=False, label="Join"
    )
    leave = forms.ModelMultipleChoiceField(
        MarginAccount.objects.none(), to_field_name="code", required=False, label="Leave"
    )
    day = day_field("From")

    def __init__(
        self,
        data: Any,  # noqa: ANN401
        *,
        group: AccountGroup,
        request: DeskRequest,
        **more: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(data, **more)
        inside = [account.pk for account in accounts_of(group, day=newest_day())]
        mine = of_accounts(request.roles, [group.legal_entity_id], path="")
        here = MarginAccount.objects.filter(mine, owner_class=group.owner_class).order_by("code")
        outside = here.exclude(pk__in=inside).exclude(mode="cash").filter(margin_group=None)
        if not group.guarantee_reference:
            outside = outside.filter(client=group.client)
        for name, found in (("join", outside), ("leave", here.filter(pk__in=inside))):
            field = self.fields[name]
            assert isinstance(field, forms.ModelMultipleChoiceField)
            field.queryset = found


class AskMembersForm(MembersForm, AskForm):
    """The same, asked for."""

    field_order = ("join", "leave", "day", "reason")


def group_or_404(request: DeskRequest, code: str) -> AccountGroup:
    """One group, of whoever may see all of its members; of two firms' the one worked at."""
    here = entity_here(request).pk
    found = [group for group in groups_seen(request, request.roles.entities("read"))
             if group.code == code]  # fmt: skip
    if not found:
        raise Http404(NO_PAGE)
    return sorted(found, key=lambda group: group.legal_entity_id != here)[0]


def groups_seen(request: DeskRequest, entities: Any) -> list[AccountGroup]:  # noqa: ANN401
    """Groups of some entities whose account a person may see, which takes all of its members."""
    mine = of_accounts(request.roles, entities, path="account")
    return list(
        AccountGroup.objects.filter(mine, account__isnull=False)
        .select_related("account", "client__person_key", "legal_entity")
        .order_by("code")
    )


@require_GET
@require("read")
def group_list(request: DeskRequest) -> HttpResponse:
    """Every group with what it has, what it needs, and what its members would need apart."""
    entity = entity_here(request)
    rows: list[tuple[AccountGroup, GroupStanding | None, WhatIfRefusedError | None]] = []
    for group in groups_seen(request, [entity.pk])[:GROUPS_SHOWN_MAX]:
        try:
            rows.append((group, standing_of_group(group, has_free=False), None))
        except WhatIfRefusedError as refused:
            rows.append((group, None, refused))
    context = {
        "rows": rows,
        "can_make": may(request, f"{REQUEST}{MAKE}", entity.pk),
        "limit": GROUPS_SHOWN_MAX,
    }
    return render(request, "margin/groups.html", context)


@require_GET
@require("read")
def group_page(request: DeskRequest, code: str) -> HttpResponse:
    """A group: members, equity, requirement, and what may leave each of them."""
    group = group_or_404(request, code)
    context: dict[str, Any] = {
        "group": group,
        "can_change": may(request, f"{REQUEST}{MEMBERS}", group.legal_entity_id),
        "pending": pending_on(f"accounts_accountgroup:{group.pk}", roles=request.roles),
        "calls": MarginCall.objects.open().filter(scope__bucket__account=group.account_id),
        "memberships": group.members.select_related("account").order_by(
            "joined_on", "account__code"
        ),
    }
    try:
        context["stands"] = standing_of_group(group)
    except WhatIfRefusedError as refused:
        context["refused"] = refused
    return render(request, "margin/group.html", context)


@require_http_methods(["GET", "POST"])
@require("read")
def new_group(request: DeskRequest) -> HttpResponse:
    """Ask a second person for a group."""
    entity = entity_here(request)
    form = NewGroupForm(
        request.POST if request.method == "POST" else None,
        entity=entity, initial={"effective_from": desk_today()},
    )  # fmt: skip
    question = Question(
        action=MAKE, title="Open a margin group", back=reverse("margin:groups"),
        back_label="Margin groups",
        purpose="Accounts that join it have one requirement together. It begins without members.",
    )  # fmt: skip
    return ask(
        request, form, question, entity=entity,
        do=lambda typed: request_group(
            new_of(entity, typed), reason=typed["reason"], actor=request.actor,
            request_id=request.request_id,
        ),
    )  # fmt: skip


def new_of(entity: LegalEntity, typed: Any) -> NewGroup:  # noqa: ANN401
    """The group that a valid form says."""
    return NewGroup(
        legal_entity=entity, code=typed["code"].strip(), owner_class=typed["owner_class"],
        client=typed["client"], agreement=typed["agreement"],
        effective_from=typed["effective_from"],
        guarantee_reference=typed["guarantee_reference"].strip(),
        guarantee_dated_on=typed["guarantee_dated_on"],
        guarantee_sha256=typed["guarantee_sha256"].strip().lower(), desk=typed["desk"].strip(),
    )  # fmt: skip


@require_http_methods(["GET", "POST"])
@require("read")
def members_page(request: DeskRequest, code: str) -> HttpResponse:
    """Look at who would join and leave, and what becomes of margin; a POST asks for it."""
    group = group_or_404(request, code)
    if request.method == "POST":
        return ask_for_members(request, group)
    looked = "day" in request.GET
    form = MembersForm(
        request.GET if looked else None, group=group, request=request,
        initial={"day": newest_day()},
    )  # fmt: skip
    context: dict[str, Any] = {
        "group": group, "form": form,
        "can_ask": may(request, f"{REQUEST}{MEMBERS}", group.legal_entity_id),
        "deciders": one_of(
            who_may(f"{DECIDE}{MEMBERS}", group.legal_entity_id, besides=request.operator.pk)
        ),
        "pending": pending_on(f"accounts_accountgroup:{group.pk}", roles=request.roles),
    }  # fmt: skip
    if not looked:
        return render(request, "margin/group_members.html", context)
    if not form.is_valid():
        return render(request, "margin/group_members.html", context, status=422)
    try:
        said = preview_members(change_of(group, form.cleaned_data))
    except WhatIfRefusedError as refused:
        context["refused"] = refused
        return render(request, "margin/group_members.html", context, status=409)
    context |= {"said": said, "sides": sides_of(said)}
    context["asked"] = AskMembersForm(
        None, group=group, request=request, auto_id="ask_%s",
        initial={name: request.GET.getlist(name) for name in ("join", "leave")}
        | {"day": form.cleaned_data["day"]},
    )  # fmt: skip
    return render(request, "margin/group_members.html", context)


def change_of(group: AccountGroup, typed: Any) -> Membership:  # noqa: ANN401
    """The change that a valid form says."""
    return Membership(group, typed["day"], tuple(typed["join"]), tuple(typed["leave"]))


def ask_for_members(request: DeskRequest, group: AccountGroup) -> HttpResponse:
    """Ask a second person; refused where a scope would not keep its initial margin."""
    question = Question(
        action=MEMBERS, title=f"Members of {group.code}",
        back=reverse("margin:group", args=[group.code]), back_label=group.code,
        purpose="From that day who joins is margined with the group, and who leaves by itself.",
    )  # fmt: skip
    return ask(
        request, AskMembersForm(request.POST, group=group, request=request), question,
        entity=group.legal_entity,
        do=lambda typed: request_members(
            change_of(group, typed), reason=typed["reason"], actor=request.actor,
            request_id=request.request_id,
        ),
    )  # fmt: skip


def sides_of(said: GroupPreview) -> list[tuple[str, Any, Any]]:
    """Every scope by name, as it is and as it would be."""
    names = dict.fromkeys([*said.now, *said.after])
    return [(name, said.now.get(name), said.after.get(name)) for name in names]
