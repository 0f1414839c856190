"""One client: accounts, sub-accounts and buckets, rolled up over what the person may see."""

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.models import Client, MarginAccount
from accounts.roles import DeskRequest, require
from ledger.models import Asset
from margin.rollup import client_tree
from margin.screens.visible import NO_PAGE, entity_here, of_accounts
from margin.standing_results import standing_runs


@require_GET
@require("read")
def client_page(request: DeskRequest, code: str) -> HttpResponse:
    """The tree of a client; accounts of other desks are neither shown nor counted."""
    entity = entity_here(request)
    client = Client.objects.named().filter(legal_entity=entity, code=code).first()
    if client is None:
        raise Http404(NO_PAGE)
    mine = of_accounts(request.roles, [entity.pk], path="")
    accounts = list(MarginAccount.objects.filter(mine, client=client))
    if not accounts:
        raise Http404(NO_PAGE)
    runs = standing_runs()
    tree = client_tree(client, accounts, results=runs.results())
    scales = dict(Asset.objects.values_list("code", "scale"))
    lines = [
        (level, node, [(asset, amount, scales[asset]) for asset, amount in node.sums.held.items()])
        for level, node in tree.lines()
    ]
    context = {
        "client": client,
        "run": runs.newest,
        "lines": lines,
        "is_limited": request.roles.desks("read", entity.pk) is not None,
    }
    return render(request, "margin/client.html", context)
