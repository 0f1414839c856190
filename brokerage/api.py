"""The root of the API: every app's resources under one router, and the schema."""

from django.urls import URLPattern, URLResolver, include, path
from drf_spectacular.views import SpectacularAPIView
from rest_framework.routers import DefaultRouter

from accounts import api as accounts_api
from accounts import api_limits, api_proof, api_retention
from brokerage import api_days, api_jobs, api_prices, api_statements, api_trades
from ledger import api as ledger_api
from ledger import api_buckets as ledger_api_buckets
from ledger import api_conduct, api_interest, api_statement, api_times
from margin import api as margin_api
from margin import api_buckets as margin_api_buckets
from margin import (
    api_groups,
    api_mode_switch,
    api_options,
    api_switches,
    api_terms,
    api_what_if,
)
from margin.notices import api as margin_api_notices
from margin.payments import api as margin_api_payments

router = DefaultRouter(trailing_slash=True)
for resources in (
    accounts_api,
    api_retention,
    api_proof,
    ledger_api,
    api_times,
    api_statement,
    api_interest,
    margin_api,
    api_days,
    api_jobs,
    api_prices,
    api_statements,
    api_trades,
    ledger_api_buckets,
    margin_api_buckets,
    margin_api_payments,
    api_limits,
    api_conduct,
    api_terms,
    api_what_if,
    api_mode_switch,
    api_switches,
    api_groups,
    margin_api_notices,
    api_options,
):
    resources.register(router)

urlpatterns: list[URLPattern | URLResolver] = [
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    path("", include(router.urls)),
]
