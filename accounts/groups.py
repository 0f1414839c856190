"""Groups that are margined: who belongs to one on a day, as it is now or as a horizon knew it."""

from collections import defaultdict
from datetime import date
from typing import Final, NamedTuple

from django.db import connection
from django.db.models import Q

from accounts.models import AccountGroup, MarginAccount

# A membership counts where the horizon knew it; it ends as the trail says it did then.
MEMBERS: Final = """
    SELECT m.account_id, m.group_id, g.account_id AS stands
    FROM accounts_groupmember m
    JOIN accounts_accountgroup g ON g.id = m.group_id AND g.account_id IS NOT NULL
    LEFT JOIN LATERAL (
        SELECT true AS is_later, (r.before ->> 'left_on')::date AS stood
        FROM accounts_auditrow r
        WHERE %(known)s::text IS NOT NULL AND m.left_on IS NOT NULL
          AND r.table_name = 'accounts_groupmember' AND r.row_key = m.id::text
          AND r.operation = 'update'
          AND NOT pg_visible_in_snapshot(r.xid, %(known)s::text::pg_snapshot)
        ORDER BY r.id LIMIT 1
    ) later ON m.left_on IS NOT NULL
    WHERE m.joined_on <= %(day)s
      AND (%(known)s::text IS NULL
           OR pg_visible_in_snapshot(m.xid, %(known)s::text::pg_snapshot))
      AND (CASE WHEN later.is_later THEN later.stood ELSE m.left_on END > %(day)s) IS NOT FALSE
"""
# Isolated buckets keep a scope of their own; a group has one bucket that is margined.
POOLED: Final = f"""
    SELECT held.id, stands.id
    FROM ({MEMBERS}) member
    JOIN accounts_bucket held ON held.account_id = member.account_id
        AND held.is_margined AND held.role <> 'ISOLATED'
    JOIN accounts_bucket stands ON stands.account_id = member.stands AND stands.is_margined
    ORDER BY held.id
"""  # noqa: S608 - fixed texts


class Member(NamedTuple):
    """An account in a margined group on a day.

    Attributes:
        stands: the account that the group is margined as.
    """

    account_id: int
    group_id: int
    stands: int


def members_on(day: date, *, known: str | None = None) -> list[Member]:
    """Every account in a margined group on a day.

    Args:
        known: the snapshot of a committed horizon, which counts what it knew; now if None.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"{MEMBERS} ORDER BY m.group_id, m.account_id", {"day": day, "known": known})
        return [Member(*row) for row in cursor.fetchall()]


def pooled_buckets(day: date, *, known: str | None = None) -> dict[int, int]:
    """By margined bucket of a member the bucket that its group is margined as, on a day."""
    with connection.cursor() as cursor:
        cursor.execute(POOLED, {"day": day, "known": known})
        return dict(cursor.fetchall())


def clients_on(day: date, *, known: str | None = None) -> dict[int, frozenset[int]]:
    """By account that a group is margined as, whose accounts are in the group on a day.

    Where clients are linked, what is required of the group is required of each of them.
    """
    members = members_on(day, known=known)
    owners = dict(
        MarginAccount.objects.filter(
            pk__in=[each.account_id for each in members], client__isnull=False
        ).values_list("pk", "client")
    )
    found: dict[int, set[int]] = defaultdict(set)
    for each in members:
        if each.account_id in owners:
            found[each.stands].add(owners[each.account_id])
    return {account: frozenset(clients) for account, clients in found.items()}


def any_margined() -> bool:
    """Whether there is a margined group at all; most firms have none, and are asked no more."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM accounts_accountgroup WHERE account_id IS NOT NULL)"
        )
        (is_there,) = cursor.fetchone()
        return bool(is_there)


def group_of(account: MarginAccount, *, day: date) -> AccountGroup | None:
    """The margined group that an account is a member of on a day, or stands for; one query."""
    still = Q(members__left_on__isnull=True) | Q(members__left_on__gt=day)
    member = still & Q(members__account=account, members__joined_on__lte=day)
    margined = AccountGroup.objects.filter(account__isnull=False)
    return margined.filter(Q(account=account) | member).distinct().first()


def accounts_of(group: AccountGroup, *, day: date) -> list[MarginAccount]:
    """The members of a group on a day, by code."""
    ids = [each.account_id for each in members_on(day) if each.group_id == group.pk]
    return list(
        MarginAccount.objects.filter(pk__in=ids)
        .select_related("client__person_key", "legal_entity")
        .order_by("code")
    )


def called_name(account: MarginAccount, *, day: date) -> str:
    """An account as notices name it: one that a group is margined as with all of its members."""
    group = AccountGroup.objects.filter(account=account).first()
    codes = [] if group is None else [each.code for each in accounts_of(group, day=day)]
    return f"{account.code} ({', '.join(codes)})" if codes else account.code
