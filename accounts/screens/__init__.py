"""Screens of who: sign-in, approvals, the audit trail, people."""
