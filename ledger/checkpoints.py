"""Checkpoints: all balances of a moment, packed, so that a past one is read without the history.

They follow from the postings; a book without any reads the same, account by account.
"""

from django.db import connection

from accounts.audit import Actor, acting

CHECKPOINT_KEEPER = Actor.job("checkpoint")


def keep_checkpoints(*, actor: Actor = CHECKPOINT_KEEPER) -> int:
    """Take the checkpoints that are due, each in a transaction of its own; how many there were.

    A history that has none yet gets them one after another, the oldest first.
    """
    taken = 0
    while _is_due() and _take_one(actor):
        taken += 1
    return taken


def _is_due() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT ledger.checkpoint_is_due()")
        return bool(cursor.fetchone()[0])


def _take_one(actor: Actor) -> bool:
    """Whether one was taken; not so while transactions are open that began before it is due."""
    with acting(actor, reason="Keep the balances of a moment"), connection.cursor() as cursor:
        cursor.execute("SELECT ledger.keep_checkpoint()")
        return cursor.fetchone()[0] is not None
