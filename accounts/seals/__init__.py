"""Seals over history: who made what is below the horizon cannot change it unseen."""

from accounts.seals.heads import SealRefusedError
from accounts.seals.sealer import seal_history

__all__ = ["SealRefusedError", "seal_history"]
