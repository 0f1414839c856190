"""Screens of the ledger: breaks, pools and locations, entries, transfers between pools."""
