"""Addresses of calls, accounts, prices and tasks."""

from django.urls import URLPattern, path

from margin.screens import (
    account,
    accounts,
    blocks,
    bulk,
    call,
    calls,
    clients,
    contracts,
    mode_switch,
    models,
    moves,
    overrides,
    prices,
    tasks,
    terms,
    thought,
)

app_name = "margin"

urlpatterns: list[URLPattern] = [
    path("margin/calls/", calls.call_board, name="calls"),
    path("margin/calls/acknowledge/", bulk.acknowledge_calls, name="calls-acknowledge"),
    path("margin/calls/<str:number>/", call.call_page, name="call"),
    path("margin/calls/<str:number>/acknowledge/", call.acknowledge, name="call-acknowledge"),
    path("margin/accounts/", accounts.account_list, name="accounts"),
    path("margin/accounts/<path:code>/", account.account_page, name="account"),
    path("margin/what-if/<path:code>/", thought.what_if_page, name="what-if"),
    path("margin/mode/<path:code>/", mode_switch.switch_page, name="mode-switch"),
    path("margin/prices/", prices.price_list, name="prices"),
    path("margin/overrides/", overrides.override_list, name="overrides"),
    path("margin/overrides/<path:code>/", overrides.override_new, name="override-new"),
    path("margin/prices/<path:code>/", prices.price_page, name="price"),
    path("margin/terms/", terms.terms_page, name="terms"),
    path("margin/terms/version/", terms.version_new, name="version-new"),
    path("margin/terms/sign/", terms.signature_new, name="signature-new"),
    path("margin/terms/end/<int:signed_id>/", terms.end_new, name="agreement-end"),
    path("margin/terms/parameter/<int:asset_id>/", terms.parameter_new, name="parameter-new"),
    path("margin/models/", models.model_list, name="models"),
    path("margin/contracts/", contracts.contract_list, name="contracts"),
    path("margin/contracts/<path:code>/", contracts.contract_new, name="contract-new"),
    path("margin/models/<slug:name>/", models.model_page, name="model"),
    path("margin/models/<slug:name>/parameters/", models.parameters_new, name="parameters-new"),
    path("margin/models/<slug:name>/decide/", models.decision_new, name="decision-new"),
    path("margin/tasks/", tasks.task_list, name="tasks"),
    path("margin/tasks/<int:task_id>/take/", tasks.take, name="task-take"),
    path("margin/tasks/<int:task_id>/close/", tasks.close, name="task-close"),
    path("margin/exceptions/", tasks.exception_list, name="exceptions"),
    path("margin/moves/", moves.move, name="move"),
    path("margin/clients/<path:code>/", clients.client_page, name="client"),
    path("margin/blocks/", blocks.block_list, name="blocks"),
    path("margin/blocks/<int:block_id>/lift/", blocks.block_lift, name="block-lift"),
]
