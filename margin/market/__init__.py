"""Prices and the marks made of them: rules, states, sources, corrections, overrides."""
