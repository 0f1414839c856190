"""What keeps history true, compared with how it was when this version was made.

`guards.json` beside this file is the pin: the hash of every trigger, function, constraint, unique
index, owner and right that a fresh database of this version has. `manage.py guards --pin` writes
it after a change of the migrations. A superuser can switch off whatever stands in the database,
so the pin is part of the program.
"""

import json
import re
from hashlib import sha256
from pathlib import Path

from django.db import connection
from django.db.backends.utils import CursorWrapper

PIN = Path(__file__).with_name("guards.json")
# The list is made by a function of the database, which is therefore looked at first, by itself.
LIST = ("schema accounts", "function guards()")
EVENT_TRIGGER = "guards_stay_on"
# A list of texts as a CHECK shows it at first, and as it does after a dump and a restore.
LIST_OF_TEXTS = re.compile(r"\(ARRAY\[([^][()]*)\]\)::text\[\]")
CAST_TEXT = re.compile(r"\(('(?:[^']|'')*'::character varying)\)::text")

# By object (a table, a sequence, a schema) and guard: the sha256 of the guard's definition.
Pins = dict[str, dict[str, str]]


class GuardsChangedError(Exception):
    """The database is not guarded as this version expects; the message is one sentence."""

    def __init__(self, changed: list[str]) -> None:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        super().__init__(
            f"The book is not guarded as it must be: {changed[0]}{more}; "
            "`manage.py guards --check` lists all."
        )
        self.changed = changed


def found_guards(cursor: CursorWrapper) -> Pins:
    """What the catalog says now."""
    cursor.execute("SELECT object, guard, definition FROM accounts.guards() ORDER BY 1, 2")
    found: Pins = {}
    for subject, guard, definition in cursor.fetchall():
        found.setdefault(subject, {})[guard] = _hash(_as_first_written(definition))
    return found


def pinned_guards() -> Pins:
    """What this version of the program expects."""
    pins: Pins = json.loads(PIN.read_text())
    return pins


def pin_guards(cursor: CursorWrapper) -> int:
    """Write the pin from a freshly migrated database; returns how many guards it names."""
    found = found_guards(cursor)
    PIN.write_text(json.dumps(found, indent=0, sort_keys=True) + "\n")
    return sum(len(guards) for guards in found.values())


def changed_guards(cursor: CursorWrapper) -> list[str]:
    """Guards that are missing, changed, or new on a guarded object; empty where all is well."""
    pinned = pinned_guards()
    if _list_definition(cursor) != pinned[LIST[0]][LIST[1]]:
        return ["the list of guards itself, accounts.guards(), was changed"]
    found = found_guards(cursor)
    changed = []
    for subject, expected in pinned.items():
        there = found.get(subject, {})
        changed += [
            f"{guard} of {subject} {_difference(expected.get(guard), there.get(guard))}"
            for guard in expected.keys() | there.keys()
            if expected.get(guard) != there.get(guard)
        ]
    return sorted(changed)


def refuse_to_start_unguarded() -> None:
    """Start nothing on a database whose guards are not those of this version.

    Raises:
        GuardsChangedError: naming the first guard that differs.
    """
    with connection.cursor() as cursor:
        changed = changed_guards(cursor)
    if changed:
        raise GuardsChangedError(changed)


def event_trigger_is_on(cursor: CursorWrapper) -> bool:
    """Whether the server itself refuses to change a guard; not every server lets us ask for it."""
    cursor.execute(
        "SELECT EXISTS (SELECT FROM pg_event_trigger WHERE evtname = %s AND evtenabled <> 'D')",
        [EVENT_TRIGGER],
    )
    (is_on,) = cursor.fetchone()
    return bool(is_on)


def _list_definition(cursor: CursorWrapper) -> str | None:
    cursor.execute(
        "SELECT p.proowner::regrole::text || ' ' || pg_get_functiondef(p.oid) FROM pg_proc p"
        " WHERE p.pronamespace = to_regnamespace('accounts') AND p.proname = 'guards'"
    )
    rows = cursor.fetchall()
    return _hash(rows[0][0]) if len(rows) == 1 else None


def _difference(expected: str | None, found: str | None) -> str:
    if found is None:
        return "is gone"
    return "was changed" if expected is not None else "was added"


def _as_first_written(definition: str) -> str:
    """The definition in the one form that a restored database shares with a migrated one."""
    return LIST_OF_TEXTS.sub(r"ARRAY[\1]", CAST_TEXT.sub(r"\1", definition))


def _hash(definition: str) -> str:
    return sha256(definition.encode()).hexdigest()
