"""Word that something changed, for the pages that show it; it says what, never how much.

Sent when a job or an act has ended, on its own, so that no posting waits for a listener. A page
that misses a word is not wrong: it shows when it was drawn, and loads itself again when told to.
"""

from django.db import connection

CHANNEL = "desk"
TOPICS = frozenset({"approvals", "book", "breaks", "day", "jobs", "margin", "prices", "record"})


class UnknownTopicError(ValueError):
    """A topic that no page listens to."""


def announce(*topics: str) -> None:
    """Tell open pages that these topics have news; call it when the change is committed.

    Raises:
        UnknownTopicError: no page listens to one of them; nobody is told anything then.
    """
    for topic in topics:
        if topic not in TOPICS:
            raise UnknownTopicError(f"no page listens to {topic!r}")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_notify(%s, topic) FROM unnest(%s::text[]) topic", [CHANNEL, list(topics)]
        )
