"""Every attack of this version, and the rules that no statement can attack."""

from typing import Any

import psycopg

from brokerage.attacks.book import BOOK
from brokerage.attacks.forms import Attack
from brokerage.attacks.people import PEOPLE_RULES
from brokerage.attacks.places import AROUND
from brokerage.attacks.rights import RIGHTS
from brokerage.attacks.sign_in import SIGN_IN

ATTACKS: tuple[Attack, ...] = (*BOOK, *AROUND, *PEOPLE_RULES, *SIGN_IN, *RIGHTS)

_BEHIND = "another rule refuses the same before it is reached"
_TIME = "it takes time to pass, which a statement cannot make"
NOT_TRIED = {
    "derivative_settles_in_money": _BEHIND,
    "approval_is_decided_by_a_person": _BEHIND,
    "approval_is_used_when_approved": _BEHIND,
    "approval_has_not_expired": _TIME,
    "approval_needs_two_people": "the invented firm has two people for everything",
    "person_is_known": "it takes an erasure that two people agreed to before",
    "proof_is_recent": _TIME,
    "role_is_held": "it takes a revocation that two people agreed to before",
}

# Rules that functions raise, rules given to triggers, and named constraints and unique indexes.
# What is named after its table by PostgreSQL or Django is a plain key and no rule of its own.
KNOWN = r"""
    SELECT coalesce(found[1], found[2], found[3]) FROM pg_proc p
    CROSS JOIN LATERAL regexp_matches(
        p.prosrc,
        '(?:refuse\(|THEN\s+)''([a-z]+(?:_[a-z]+)+)''|''([a-z]+(?:_[a-z]+)+)'' AS rule'
        '|kind_id, ''([a-z]+(?:_[a-z]+)+)''', 'g') found
    WHERE p.pronamespace::regnamespace::text = ANY (%(apps)s)
    UNION
    SELECT split_part(encode(t.tgargs, 'escape'), '\000', 1)
    FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid AND p.proname = 'columns_stay'
    WHERE split_part(t.tgrelid::regclass::text, '_', 1) = ANY (%(apps)s)
    UNION
    SELECT c.conname FROM pg_constraint c JOIN pg_class r ON r.oid = c.conrelid
    WHERE c.contype IN ('c', 'u', 'p') AND NOT starts_with(c.conname, r.relname)
      AND split_part(r.relname, '_', 1) = ANY (%(apps)s)
    UNION
    SELECT i.relname FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
    JOIN pg_class r ON r.oid = x.indrelid
    WHERE x.indisunique AND NOT starts_with(i.relname, r.relname)
      AND split_part(r.relname, '_', 1) = ANY (%(apps)s)
"""


def known_rules(connection: psycopg.Connection[Any]) -> list[str]:
    """Every rule that the database under attack has, in the two lowest apps."""
    rows = connection.execute(KNOWN, {"apps": ["ledger", "accounts"]}).fetchall()
    return sorted(str(rule) for (rule,) in rows)
