"""Statements of banks, custodians, wallets and venues: what the outside world says we hold."""
