"""Addresses of breaks, pools and locations, entries and transfers."""

from django.urls import URLPattern, path

from ledger.screens import (
    break_page,
    breaks,
    entries,
    interest,
    location_page,
    locations,
    transfers,
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
    path("ledger/locations/", locations.location_list, name="locations"),
    path("ledger/locations/<path:code>/", location_page.location_page, name="location"),
    path("ledger/entries/<int:entry_id>/", entries.entry_page, name="entry"),
    path("ledger/entries/<int:entry_id>/reverse/", entries.reverse, name="entry-reverse"),
    path("ledger/transfers/new/", transfers.transfer_new, name="transfer-new"),
    path("ledger/rates/", interest.rates, name="rates"),
    path("ledger/rates/new/", interest.rates_new, name="rates-new"),
    path("ledger/rates/<int:curve_id>/", interest.rate_curve, name="rate-curve"),
    path("ledger/interest/<int:account_id>/", interest.interest, name="interest"),
]
