"""The statements that the book must refuse, tried against a scratch copy of the database."""

from brokerage.attacks.report import AttackReport
from brokerage.attacks.trying import attack

__all__ = ["AttackReport", "attack"]
