"""Addresses of the screens that span the apps."""

from django.urls import URLPattern, path, re_path

from brokerage.screens import (
    audit_file,
    cases,
    day,
    incident,
    jobs,
    reports,
    restatement,
    restating,
    search,
    slow,
    statements,
    trades,
)

app_name = "brokerage"

urlpatterns: list[URLPattern] = [
    path("", day.day_board, name="day"),
    re_path(r"^day/(?P<day>\d{4}-\d{2}-\d{2})/$", day.day_board, name="day"),
    path("reports/", reports.report_list, name="reports"),
    path("reports/write/", reports.report_write, name="report-write"),
    path("reports/<int:report_id>/manifest/", reports.manifest, name="report-manifest"),
    path("reports/audit-file/", audit_file.audit_file_write, name="audit-file"),
    path("statements/", statements.statement_list, name="statements"),
    path("statements/files/<int:report_id>/", statements.statement_file, name="statement-file"),
    path("statements/clients/<path:code>/", statements.client_statements, name="client-statements"),
    path("cases/", cases.case_list, name="cases"),
    path("cases/<int:case_id>/", cases.case_page, name="case"),
    path("cases/<int:case_id>/note/", cases.case_note, name="case-note"),
    path("cases/<int:case_id>/hold/", cases.case_hold, name="case-hold"),
    path("cases/<int:case_id>/lift/<uuid:hold_id>/", cases.case_lift, name="case-lift"),
    path("cases/<int:case_id>/take-out/", cases.case_take_out, name="case-take-out"),
    path("incident/", incident.incident_page, name="incident"),
    re_path(
        r"^incident/timeline\.(?P<form>csv|json)$", incident.incident_export, name="incident-export"
    ),
    path("trades/new/", trades.trade_new, name="trade-new"),
    path("restatement/", restatement.restatement_page, name="restatement"),
    path("margin/runs/<str:number>/restate/", restating.restate_run, name="run-restate"),
    path("search/", search.search, name="search"),
    path("slow/", slow.slow_page, name="slow"),
    path("jobs/", jobs.job_list, name="jobs"),
    path("jobs/<int:job_id>/", jobs.job_page, name="job"),
    path("jobs/<int:job_id>/cancel/", jobs.cancel, name="job-cancel"),
    path("jobs/<int:job_id>/retry/", jobs.retry, name="job-retry"),
]
