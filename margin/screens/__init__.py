"""Screens of margin: calls, accounts, prices, tasks."""
