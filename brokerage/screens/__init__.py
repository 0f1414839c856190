"""Screens that span the apps: the day board, jobs, reports."""
