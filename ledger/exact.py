"""Decimal arithmetic of any size: sums and products keep every digit."""

from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context
from typing import Final

# Files may hold numbers of any length; the default context would round at 28 digits.
EXACT: Final = Context(prec=MAX_PREC, Emin=MIN_EMIN, Emax=MAX_EMAX)
