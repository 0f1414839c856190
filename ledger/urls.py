"""Addresses of breaks, pools and locations, entries, transfers, receipts and conduct."""

from django.urls import URLPattern, path, re_path

from ledger.screens import (
    break_page,
    breaks,
    entries,
    entry_list,
    interest,
    location_page,
    locations,
    periods,
    place_acts,
    receipts,
    residual,
    transfers,
    trial_balance,
)

app_name = "ledger"

urlpatterns: list[URLPattern] = [
    path("ledger/breaks/", breaks.break_list, name="breaks"),
    path("ledger/breaks/take/", break_page.take_several, name="breaks-take"),
    path("ledger/breaks/<int:break_id>/", break_page.break_page, name="break"),
    path("ledger/breaks/<int:break_id>/take/", break_page.take, name="break-take"),
    path("ledger/breaks/<int:break_id>/explain/", break_page.explain, name="break-explain"),
    path("ledger/breaks/<int:break_id>/close/", break_page.close, name="break-close"),
    path("ledger/breaks/<int:break_id>/book/", break_page.book, name="break-book"),
    path("ledger/breaks/<int:break_id>/correct/", break_page.correct, name="break-correct"),
    path("ledger/conduct/", residual.conduct_page, name="conduct"),
    path("ledger/conduct/state/", residual.state_day, name="segregation-state"),
    path("ledger/conduct/target/", residual.target_new, name="target-new"),
    path("ledger/conduct/rule/", residual.rule_new, name="rule-new"),
    path("ledger/notices/<uuid:approval_id>/", residual.notice_page, name="notice"),
    path("ledger/receipts/", receipts.receipt_list, name="receipts"),
    path("ledger/receipts/<int:entry_id>/", receipts.receipt_page, name="receipt"),
    path(
        "ledger/receipts/<int:entry_id>/allocate/",
        receipts.receipt_allocate,
        name="receipt-allocate",
    ),
    path("ledger/receipts/<int:entry_id>/return/", receipts.receipt_return, name="receipt-return"),
    path("ledger/places/open/", place_acts.location_new, name="location-new"),
    path(
        "ledger/places/<int:location_id>/change/",
        place_acts.location_change,
        name="location-change",
    ),
    path(
        "ledger/places/<int:location_id>/close/", place_acts.location_close, name="location-close"
    ),
    path("ledger/places/<int:location_id>/letter/", place_acts.letter_new, name="letter-new"),
    re_path(
        r"^ledger/letters/(?P<sha256>[0-9a-f]{64})/$",
        place_acts.letter_document,
        name="letter-document",
    ),
    path("ledger/locations/", locations.location_list, name="locations"),
    path("ledger/locations/<path:code>/", location_page.location_page, name="location"),
    path("ledger/entries/", entry_list.entry_list, name="entries"),
    path("ledger/entries/late/", entry_list.back_dated_list, name="back-dated"),
    path("ledger/trial-balance/", trial_balance.trial_balance, name="trial-balance"),
    path("ledger/periods/", periods.period_list, name="periods"),
    path("ledger/periods/close/", periods.close, name="period-close"),
    path("ledger/periods/reopen/", periods.ask_reopening, name="period-reopen"),
    path("ledger/entries/<int:entry_id>/", entries.entry_page, name="entry"),
    path("ledger/entries/<int:entry_id>/reverse/", entries.reverse, name="entry-reverse"),
    path("ledger/transfers/new/", transfers.transfer_new, name="transfer-new"),
    path("ledger/rates/", interest.rates, name="rates"),
    path("ledger/rates/new/", interest.rates_new, name="rates-new"),
    path("ledger/rates/<int:curve_id>/", interest.rate_curve, name="rate-curve"),
    path("ledger/interest/<int:account_id>/", interest.interest, name="interest"),
]
