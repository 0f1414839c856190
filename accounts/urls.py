"""Addresses of sign-in, approvals, the audit trail and people."""

from django.urls import URLPattern, path, re_path

from accounts.screens import door, duties, inbox, limits, me, people, record, retention, views

app_name = "accounts"

urlpatterns: list[URLPattern] = [
    path("sign-in/", door.sign_in, name="sign-in"),
    path("sign-in/second/", door.second, name="sign-in-second"),
    path("sign-in/kept/", door.kept_input, name="kept"),
    path("me/", me.me, name="me"),
    path("me/factors/begin/", me.factor_begin, name="factor-begin"),
    path("me/factors/<uuid:factor_id>/confirm/", me.factor_confirm, name="factor-confirm"),
    path("me/factors/<uuid:factor_id>/remove/", me.factor_remove, name="factor-remove"),
    path("me/passkeys/begin/", me.passkey_begin, name="passkey-begin"),
    path("me/passkeys/add/", me.passkey_add, name="passkey-add"),
    path("me/recovery/", me.recovery_new, name="recovery-new"),
    path("me/sessions/end/", me.sessions_end, name="me-sessions-end"),
    path("sign-out/", door.sign_out, name="sign-out"),
    path("theme/", door.choose_theme, name="theme"),
    path("clock/", door.choose_clock, name="clock"),
    path("views/keep/", views.view_save, name="view-save"),
    path("views/<int:view_id>/remove/", views.view_remove, name="view-remove"),
    path("legal-entity/", door.choose_legal_entity, name="legal-entity"),
    path("approvals/", inbox.inbox, name="approvals"),
    path("approvals/limits/", limits.limit_list, name="limits"),
    path("approvals/limits/change/", limits.limit_new, name="limit-new"),
    path("approvals/<uuid:approval_id>/", inbox.approval, name="approval"),
    path("approvals/<uuid:approval_id>/decide/", inbox.decide, name="approval-decide"),
    path("approvals/<uuid:approval_id>/apply/", inbox.apply, name="approval-apply"),
    path("audit/", record.audit, name="audit"),
    re_path(r"^audit/export\.(?P<form>csv|json)$", record.audit_export, name="audit-export"),
    path("retention/", retention.retention_page, name="retention"),
    path("retention/<path:code>/", retention.client_retention, name="client-retention"),
    path("people/", people.people_page, name="people"),
    path("people/rights/", duties.rights_page, name="rights"),
    re_path(r"^people/rights\.(?P<form>csv|json)$", duties.rights_export, name="rights-export"),
    path("people/sign-in/", duties.sign_in_rule, name="sign-in-rule"),
    path("people/conflicts/", duties.conflict_new, name="conflict-new"),
    path("people/of/<str:username>/sessions/", duties.person_sessions, name="person-sessions"),
    path("people/of/<str:username>/factors/", duties.factors_reset, name="factors-reset"),
    path("emergency/", duties.emergency_page, name="emergency"),
    path("emergency/take/", duties.emergency_take, name="emergency-take"),
    path("emergency/<int:grant_id>/end/", duties.emergency_end, name="emergency-end"),
    path("emergency/<int:grant_id>/review/", duties.emergency_review, name="emergency-review"),
    path("people/grant/", people.request_grant, name="people-grant"),
    path("people/revoke/<int:grant_id>/", people.request_revocation, name="people-revoke"),
]
