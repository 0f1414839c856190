"""Addresses of the screens that span the apps."""

from django.urls import URLPattern, path

from brokerage.screens import jobs, search

app_name = "brokerage"

urlpatterns: list[URLPattern] = [
    path("search/", search.search, name="search"),
    path("jobs/", jobs.job_list, name="jobs"),
    path("jobs/<int:job_id>/", jobs.job_page, name="job"),
    path("jobs/<int:job_id>/cancel/", jobs.cancel, name="job-cancel"),
    path("jobs/<int:job_id>/retry/", jobs.retry, name="job-retry"),
]
