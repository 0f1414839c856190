"""Trying every attack, and looking after each whether anything moved."""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from string import Template
from typing import Any

import psycopg
from django.conf import settings
from psycopg.conninfo import make_conninfo

from brokerage.attacks.firm import Scene, at_work_in
from brokerage.attacks.forms import CONSTRAINED, NO_RIGHT, Attack, Who
from brokerage.attacks.report import AttackReport
from brokerage.attacks.rules import ATTACKS, NOT_TRIED, known_rules
from brokerage.attacks.scratch import AttackRefusedError, scratch_copy

Connection = psycopg.Connection[Any]
ADDRESSES: Mapping[Who, str] = {
    "owner": "migrator",
    "runtime": "runtime",
    "auditor": "auditor",
    "broker": "broker",
}
# What every attack presumes.
A_DAY = Attack("firm_can_work", "a day of an invented firm, by the product itself", (), "runtime")
# An attack that waits for something is not an answer.
LIMITS = "SET statement_timeout = '20s'; SET lock_timeout = '5s'"


def attack() -> AttackReport:
    """Copy the database, found a firm in the copy, and attack its book.

    Raises:
        AttackRefusedError: no copy can be made here.
    """
    admin = settings.DATABASE_ADDRESSES.get("admin")
    if admin is None:
        raise AttackRefusedError(
            "The attacks need a scratch database of their own: set DATABASE_ADMIN_URL."
        )
    if settings.EMBEDDED_SERVER is not None:
        settings.EMBEDDED_SERVER.hold()
    with scratch_copy(admin) as name, ExitStack() as work:
        try:
            scene = work.enter_context(at_work_in(name))
        except Exception as error:  # whatever the guards let pass or keep from passing
            return AttackReport(broken=[(A_DAY, f"{type(error).__name__}: {error}")])
        addresses = {
            who: make_conninfo(settings.DATABASE_ADDRESSES[role], dbname=name)
            for who, role in ADDRESSES.items()
        }
        return try_all(ATTACKS, scene, addresses, witness=make_conninfo(admin, dbname=name))


def try_all(
    attacks: Iterable[Attack], scene: Scene, addresses: Mapping[Who, str], *, witness: str
) -> AttackReport:
    """Try attacks on the firm of a scene.

    Args:
        addresses: how each role signs in to the database under attack.
        witness: how somebody who sees everything does.
    """
    report = AttackReport()
    with ExitStack() as opened:
        looking = opened.enter_context(psycopg.connect(witness, autocommit=True))
        connections = {
            who: opened.enter_context(
                psycopg.connect(
                    address, autocommit=True, options="-c role=bo_owner" if who == "owner" else ""
                )
            )
            for who, address in addresses.items()
        }
        for connection in connections.values():
            connection.execute(LIMITS)
        untouched = digest(looking)
        for each in attacks:
            outcome = try_one(each, connections[each.who], scene)
            if digest(looking) != untouched:
                report.accepted.append(each)
                untouched = digest(looking)
            elif outcome is None:
                report.accepted.append(each)
            elif outcome == "":
                report.refused[each.rule] += 1
            else:
                report.broken.append((each, outcome))
        report.not_tried = _not_tried(looking, report)
    return report


def try_one(attack: Attack, connection: Connection, scene: Scene) -> str | None:
    """Run one attack and take it back.

    Returns:
        None if nothing refused it; "" if its rule did; else what refused it instead.
    """
    at = -1
    try:
        with connection.transaction(force_rollback=True):
            if attack.acts is not None:
                connection.execute(told(attack.acts, scene))
            for at, statement in enumerate(attack.statements):
                connection.execute(told(statement, scene))
                if at == len(attack.statements) - 1:
                    # What is looked at when a transaction ends is looked at now.
                    connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    except KeyError as missing:
        return f"the firm has no {missing}"
    except psycopg.Error as refusal:
        if at < len(attack.statements) - 1:
            return f"what it needs first was refused: {_named(refusal)}"
        if attack.lacks_right:
            # Whoever is stopped by a rule of the book only has got the right.
            has_right = (refusal.sqlstate or "").startswith(CONSTRAINED)
            return None if has_right else "" if refusal.sqlstate == NO_RIGHT else _named(refusal)
        return "" if refusal.diag.constraint_name == attack.rule else _named(refusal)
    return None


def told(statement: str, scene: Scene) -> bytes:
    """A statement about the firm of the scene."""
    return Template(statement).substitute(scene).encode()


def digest(connection: Connection) -> str:
    """One hash over every row of every table but those of the message queue."""
    tables = connection.execute(
        "SELECT relname, pg_relation_size(oid) FROM pg_class WHERE relkind = 'r'"
        " AND relnamespace = 'public'::regnamespace ORDER BY 1"
    ).fetchall()
    parts = " UNION ALL ".join(
        f"SELECT '{table}' AS name, count(*) AS rows,"
        f" sum(hashtextextended(t::text, 0)) AS content FROM public.{table} t"
        if size
        # A file without a byte holds no row, and most tables of a small firm are empty.
        else f"SELECT '{table}' AS name, 0::bigint AS rows, NULL::numeric AS content"
        for table, size in tables
    )
    found = connection.execute(
        f"SELECT md5(string_agg(format('%s %s %s', name, rows, content), E'\\n' ORDER BY name))"
        f" FROM ({parts}) tables".encode()
    ).fetchone()
    assert found is not None
    return str(found[0])


def _named(refusal: psycopg.Error) -> str:
    what = refusal.diag.constraint_name or refusal.sqlstate or "no answer"
    return f"{what}: {str(refusal).splitlines()[0] if str(refusal) else ''}"


def _not_tried(connection: Connection, report: AttackReport) -> dict[str, str]:
    tried = report.refused.keys() | {each.rule for each in report.accepted}
    tried |= {each.rule for each, _ in report.broken}
    return {
        rule: NOT_TRIED.get(rule, "no attack of this version is about it")
        for rule in known_rules(connection)
        if rule not in tried
    }
