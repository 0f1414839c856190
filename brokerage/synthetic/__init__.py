"""Invented firms and business days in exactly the inbox's format: demo firm, tests, load runs.

Everything is made from one seeded generator; nothing in it is real.
"""

from brokerage.synthetic.days import FolderNotEmptyError, write_firm
from brokerage.synthetic.profile import CALM, DEMO, ROUGH, Faults, Profile, ProfileError

__all__ = [
    "CALM",
    "DEMO",
    "ROUGH",
    "Faults",
    "FolderNotEmptyError",
    "Profile",
    "ProfileError",
    "write_firm",
]
