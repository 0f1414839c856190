"""Takes the chain of seals up again on another copy of the book: restored, or on another server.

The chain goes on across epochs: blocks keep counting, the next one follows from the newest that
the copy holds, and transaction ids go on upward. What an epoch adds is that the break is said,
by whom and why, signed, published, and with it which published blocks the copy does not hold.
Without it the sealer refuses to go on, since the file of heads would tell of another history.
"""

# Names in these queries come from the catalog.
# ruff: noqa: S608

from dataclasses import replace

from django.db import connection
from django.db.backends.utils import CursorWrapper

from accounts.audit import Actor, acting
from accounts.models import SealBlock, SealEpoch
from accounts.seals.heads import GENESIS, SealRefusedError, signing_key
from accounts.seals.publication import publish_missing
from accounts.seals.published import GivenUp, Published, PublishedEpoch, read_published
from accounts.seals.sealer import ADVISORY_LOCK
from accounts.table_classes import table_classes

Cause = SealEpoch.Cause
KEEPER = Actor.command("epoch")
BLOCKS_READ_AT_ONCE = 1_000


def begin_epoch(
    reason: str, *, cause: Cause = Cause.RESTORE, actor: Actor = KEEPER, may_make_key: bool = False
) -> SealEpoch:
    """Take the chain up from the newest block of this copy of the book, and publish that.

    Call it once the copy stands and is verified, while nobody writes to it yet. Blocks that were
    published and that the copy does not hold are given up by name, each epoch's newest by its head.

    Args:
        reason: why, for the trail: which backup was restored, which upgrade was made.
        cause: a restore or an upgrade.
        actor: who does it.
        may_make_key: whether a new key may sign from here on, because the old one is lost.

    Raises:
        SealRefusedError: `transactions_go_forward`: the server would give out transaction ids that
            the book has already; `epoch_continues_this_history`: the file of heads tells of another
            book, not of a later state of this one; `seal_key_is_kept`: the key is not there.
    """
    with connection.cursor() as cursor:
        highest = _refuse_used_ids(cursor)
        with acting(actor, reason=reason):
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ADVISORY_LOCK])
            published = read_published()
            begun = _begun(cursor, cause, published, highest)
            epoch = _store(begun, may_make_key=may_make_key)
    publish_missing()
    return epoch


def highest_transaction(cursor: CursorWrapper) -> int:
    """The greatest transaction id that a row of the book names, or a stored horizon knows of.

    A server that takes over a copy made by other means than its files must go on above it
    (`pg_resetwal`) before anything is written: rows of two transactions under one id could not be
    told apart, and what was known at a time would come to include what came later.
    """
    cursor.execute(
        "SELECT c.relname, a.attname, a.atttypid = 'pg_snapshot'::regtype"
        " FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped"
        " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'"
        " AND a.attnum > 0 AND a.atttypid IN ('xid8'::regtype, 'pg_snapshot'::regtype)"
        " ORDER BY 1, 2"
    )
    # Parts are written with their whole, and have no index over transactions.
    parts = {part.table for part in table_classes().parts}
    highest = 0
    for table, column, is_snapshot in cursor.fetchall():
        if table in parts:
            continue
        # The first transaction that a horizon does not know of may be the next one.
        value = f"max(pg_snapshot_xmax({column}))" if is_snapshot else f"max({column})"
        cursor.execute(f"SELECT {value}::text::bigint FROM public.{table}")
        (found,) = cursor.fetchone()
        highest = max(highest, (found or 0) - is_snapshot)
    return highest


def _refuse_used_ids(cursor: CursorWrapper) -> int:
    """The greatest transaction id in the book, below which the server gives out none."""
    highest = highest_transaction(cursor)
    cursor.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
    (coming,) = cursor.fetchone()
    if coming <= highest:
        raise SealRefusedError(
            "transactions_go_forward",
            f"the book has transaction {highest}, and the server would give out {coming} next: "
            f"set it past {highest} with pg_resetwal before anything is written",
        )
    return highest


def _begun(
    cursor: CursorWrapper, cause: Cause, published: Published, highest: int
) -> PublishedEpoch:
    """The epoch that begins now, not signed yet."""
    newest = SealBlock.objects.order_by("-number").first()
    known = SealEpoch.objects.order_by("-number").values_list("number", flat=True)[0]
    cursor.execute("SELECT clock_timestamp(), current_setting('server_version')")
    began_at, server = cursor.fetchone()
    return PublishedEpoch(
        number=max((known, *published.epochs, *(epoch for epoch, _ in published.heads))) + 1,
        cause=cause,
        began_at=began_at.isoformat(),
        after_number=0 if newest is None else newest.number,
        after_head=GENESIS if newest is None else bytes(newest.head_hash),
        highest_xid=highest,
        given_up=_given_up(published),
        server=server,
        public_key=b"",
    )


def _given_up(published: Published) -> tuple[GivenUp, ...]:
    """Per epoch, the published blocks that this copy of the book does not hold."""
    held: dict[int, int] = {}
    for block in SealBlock.objects.order_by("number").iterator(BLOCKS_READ_AT_ONCE):
        said = published.heads.get((block.epoch, block.number))
        if said is not None and said.head_hash != bytes(block.head_hash):
            raise SealRefusedError(
                "epoch_continues_this_history",
                f"block {block.number} was published with another head than this copy of the book"
                " has",
            )
        held[block.epoch] = block.number
    newest: dict[int, GivenUp] = {}
    for (epoch, number), head in sorted(published.heads.items()):
        after = held.get(epoch, 0)
        if number > after:
            newest[epoch] = GivenUp(epoch, after, number, head.head_hash)
    return tuple(newest.values())


def _store(begun: PublishedEpoch, *, may_make_key: bool) -> SealEpoch:
    is_first = begun.after_number == 0 and not begun.given_up
    key = signing_key(may_make=may_make_key or is_first)
    begun = replace(begun, public_key=key.public_key().public_bytes_raw())
    return SealEpoch.objects.create(
        number=begun.number,
        cause=begun.cause,
        began_at=begun.began_at,
        after_number=begun.after_number,
        after_head=begun.after_head,
        highest_xid=begun.highest_xid,
        given_up=[one.as_json() for one in begun.given_up],
        server=begun.server,
        public_key=begun.public_key,
        signature=key.sign(begun.statement()),
    )
