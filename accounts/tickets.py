"""Answers that count once: challenges and states, whatever two requests see of one session."""

from datetime import datetime, timedelta
from hashlib import sha256

from django.db import connection

from accounts.models import SpentTicket

KEPT_FOR = timedelta(days=1)


def spend_ticket(ticket: str, *, now: datetime) -> bool:
    """Use a ticket up; False where somebody has used it before.

    Two at the same moment wait for each other at the row.
    """
    SpentTicket.objects.filter(spent_at__lt=now - KEPT_FOR).delete()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO accounts_spentticket (digest, spent_at) VALUES (%s, %s)"
            " ON CONFLICT DO NOTHING",
            [sha256(ticket.encode()).digest(), now],
        )
        return bool(cursor.rowcount == 1)
