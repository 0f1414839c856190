"""What `verify` looks at in accounts: guards, headers, the trail, four eyes, sessions."""

# Names in these queries come from the apps' table classes and the catalog.
# ruff: noqa: S608

from django.db.backends.utils import CursorWrapper

from accounts.checks import Check, CheckFunction, Query, Wrong
from accounts.erasure import signed_keys
from accounts.guards import changed_guards, event_trigger_is_on, pinned_guards
from accounts.seals.leaves import current_layouts
from accounts.table_classes import missing_triggers, table_classes

FOUR_EYES = Query(
    "approvals_are_of_two_people",
    "accounts_approval",
    """
    SELECT 'accounts_approval', a.id::text, CASE
        WHEN a.checker_id = a.maker_id THEN 'maker and checker are one person'
        WHEN a.payload_sha256 <> accounts.payload_sha256(a.payload)
            THEN 'it was given for another content'
        WHEN a.used_xid IS NOT NULL AND (a.decision <> 'approved' OR a.checker_id IS NULL)
            THEN 'it was used without being given'
        WHEN a.used_at > a.expires_at OR a.decided_at > a.expires_at
            THEN 'it was decided or used after it had expired'
        WHEN a.used_at < a.decided_at THEN 'it was used before it was given' END AS why
    FROM accounts_approval a
    WHERE a.checker_id = a.maker_id OR a.payload_sha256 <> accounts.payload_sha256(a.payload)
       OR a.used_xid IS NOT NULL AND (a.decision <> 'approved' OR a.checker_id IS NULL)
       OR a.used_at > a.expires_at OR a.decided_at > a.expires_at OR a.used_at < a.decided_at
    ORDER BY a.number
    """,
)

# The first roles of a legal entity are given by one act; every later one by an approval, or in an
# emergency by the person alone.
GIVEN_ROLES = Query(
    "roles_are_given_and_taken_by_two_people",
    "accounts_rolegrant",
    """
    SELECT 'accounts_rolegrant', g.id::text, 'no approval was used for it'
    FROM accounts_rolegrant g
    WHERE (g.granted_xid <> (SELECT min(f.granted_xid) FROM accounts_rolegrant f
                             WHERE f.legal_entity_id = g.legal_entity_id)
           AND (g.expires_at IS NULL OR g.operator_id IS DISTINCT FROM (
                    SELECT a.operator_id FROM accounts_act a WHERE a.xid = g.granted_xid))
           AND NOT EXISTS (SELECT FROM accounts_approval a
                           WHERE a.used_xid = g.granted_xid AND a.action_id = 'role.grant'))
       OR (g.revoked_xid IS NOT NULL AND g.expires_at IS NULL
           AND NOT EXISTS (SELECT FROM accounts_approval a
                           WHERE a.used_xid = g.revoked_xid AND a.action_id = 'role.revoke'))
    ORDER BY g.id
    """,
)

SESSIONS = Query(
    "people_acted_through_their_sessions",
    "accounts_act",
    """
    SELECT 'accounts_act', a.xid::text, 'the person did not act through a session of their own'
    FROM accounts_act a LEFT JOIN accounts_operatorsession s ON s.id = a.session_id
    WHERE (a.operator_id IS NULL) <> (a.actor LIKE 'system:%%')
       OR a.operator_id IS DISTINCT FROM s.operator_id
       OR a.recorded_at > coalesce(s.ended_at, s.expires_at) + interval '1 minute'
    ORDER BY a.xid
    """,
)


# What was taken out of sealed rows stands beside the leaf that they were sealed with; both are as
# good as the erasure that they are of.
ERASURES = Query(
    "people_were_erased_as_agreed",
    "accounts_erasure",
    """
    SELECT 'accounts_erasure', e.id::text, 'no approval was used for it, nor was it done again'
    FROM accounts_erasure e
    WHERE NOT EXISTS (
        SELECT FROM accounts_approval a WHERE a.used_xid = e.xid AND a.action_id = 'person.erase'
          AND (a.payload ->> 'client')::bigint = e.client_id)
      AND NOT (e.is_again AND EXISTS (SELECT FROM accounts_act t WHERE t.xid = e.xid
                                      AND t.actor = 'system:command:restore'))
    UNION ALL
    SELECT 'accounts_personkey', k.id::text, 'its key and its erasure do not agree'
    FROM accounts_personkey k LEFT JOIN accounts_erasure e ON e.person_key_id = k.id
    WHERE (k.key IS NULL) <> (e.id IS NOT NULL)
    UNION ALL
    SELECT 'accounts_redaction', d.id::text, 'it is not of the transaction that erased the person'
    FROM accounts_redaction d LEFT JOIN accounts_erasure e ON e.id = d.erasure_id
    WHERE e.xid IS DISTINCT FROM d.xid
    """,
)


def check_erased(cursor: CursorWrapper) -> list[Check]:
    """Every person who was erased is in the list outside, signed, and nobody else."""
    cursor.execute("SELECT person_key_id FROM accounts_erasure ORDER BY id")
    erased = [key for (key,) in cursor.fetchall()]
    listed = signed_keys()
    unlisted = next((key for key in erased if key not in listed), None)
    wrong = None
    if unlisted is not None:
        detail = "the list of destroyed keys outside the database does not say so"
        wrong = Wrong("accounts_erasure", str(unlisted), detail)
    return [Check("erasures_are_listed_outside", len(erased), wrong)]


def check_guards(cursor: CursorWrapper) -> list[Check]:
    """The guards are those that this version of the program was made with."""
    changed = changed_guards(cursor) or missing_triggers(cursor, table_classes())
    rows = sum(len(guards) for guards in pinned_guards().values())
    is_on = event_trigger_is_on(cursor)
    detail = "the server keeps them on" if is_on else "the server would let an owner change them"
    wrong = Wrong("pg_catalog", changed[0], "the guards differ from their pin") if changed else None
    return [Check("guards_are_as_pinned", rows, wrong, detail)]


def check_headers(cursor: CursorWrapper) -> list[Check]:
    """Every row of history belongs to a transaction that says who acted."""
    wrong = None
    for table, layout in current_layouts(cursor, table_classes()).items():
        key = " || '/' || ".join(f"r.{column}::text" for column in layout.key)
        cursor.execute(
            f"SELECT {key} FROM public.{table} r WHERE NOT EXISTS"
            " (SELECT FROM accounts_act a WHERE a.xid = r.xid) LIMIT 1"
        )
        row = cursor.fetchone()
        if row is not None:
            wrong = Wrong(table, row[0], "no header says who acted in its transaction")
            break
    cursor.execute("SELECT count(*) FROM accounts_act")
    (rows,) = cursor.fetchone()
    return [Check("changes_have_an_actor", rows, wrong)]


def check_trail(cursor: CursorWrapper) -> list[Check]:
    """Every editable row is as its newest line in the trail left it."""
    cursor.execute(
        "SELECT tgrelid::regclass::text, convert_from(tgargs, 'UTF8') FROM"
        " (SELECT tgrelid, decode(replace(encode(tgargs, 'hex'), '00', '0a'), 'hex') AS tgargs"
        "  FROM pg_trigger WHERE tgname = 'audit_insert') t"
    )
    arguments = {table: said.split("\n")[:2] for table, said in cursor.fetchall()}
    wrong = None
    for table in table_classes().editable:
        if table not in arguments:
            continue  # `guards_are_as_pinned` says so
        keys, secrets = (text.split(",") if text else [] for text in arguments[table])
        wrong = wrong or _off_the_trail(cursor, table, keys, secrets)
    cursor.execute("SELECT count(*) FROM accounts_auditrow")
    (rows,) = cursor.fetchone()
    return [Check("editable_rows_are_as_the_trail_left_them", rows, wrong)]


def _off_the_trail(
    cursor: CursorWrapper, table: str, keys: list[str], secrets: list[str]
) -> Wrong | None:
    """The first row that the trail does not know, knows otherwise, or misses.

    A column that was added since is not in the trail's line; it is compared from the next on.
    """
    cursor.execute(
        "WITH newest AS ("
        "  SELECT DISTINCT ON (row_key) row_key, operation, fingerprint,"
        "         after - %(hidden)s::text[] AS after"
        "  FROM accounts_auditrow WHERE table_name = %(table)s ORDER BY row_key, id DESC"
        "), kept AS ("
        "  SELECT accounts.row_key(to_jsonb(r), %(keys)s) AS key,"
        "         accounts.masked(to_jsonb(r), %(secrets)s) AS content,"
        "         accounts.fingerprint(to_jsonb(r), %(secrets)s) AS fingerprint"
        f"  FROM public.{table} r)"
        " SELECT coalesce(k.key, n.row_key), CASE"
        "   WHEN n.row_key IS NULL OR n.operation = 'delete' THEN 'the trail does not know the row'"
        "   WHEN k.key IS NULL THEN 'the row is gone and the trail did not see it go'"
        "   ELSE 'the row differs from what the trail left' END"
        " FROM kept k FULL JOIN newest n ON n.row_key = k.key"
        " WHERE CASE WHEN k.key IS NULL THEN n.operation <> 'delete'"
        "            WHEN n.row_key IS NULL OR n.operation = 'delete' THEN true"
        "            ELSE k.content || n.after <> k.content"
        "                 OR k.fingerprint IS DISTINCT FROM n.fingerprint END"
        " ORDER BY 1 LIMIT 1",
        {
            "table": table,
            "keys": keys,
            "secrets": secrets,
            "hidden": [name for name in secrets if not name.endswith("#")],
        },
    )
    row = cursor.fetchone()
    return None if row is None else Wrong(table, row[0], row[1])


def check_people(cursor: CursorWrapper) -> list[Check]:
    """Four eyes, roles, sessions."""
    return [query.run(cursor, {}) for query in (FOUR_EYES, GIVEN_ROLES, SESSIONS, ERASURES)]


CHECKS: tuple[CheckFunction, ...] = (
    check_trail,
    check_headers,
    check_people,
    check_erased,
)
