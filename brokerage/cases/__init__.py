"""Investigations: a case, everything that happened in its scope and period, notes and holds."""
