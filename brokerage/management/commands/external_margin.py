"""`manage.py external_margin FILE`: margin as somebody else computed it, compared with ours."""

import json
from argparse import ArgumentParser
from datetime import date
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.audit import Actor, RefusedError
from accounts.figures import plain
from accounts.models import LegalEntity
from margin.explanation import UnknownScopeError, find_result
from margin.external import (
    ExternalRefusedError,
    Received,
    commit,
    find_bucket,
    receive,
    statement_of,
)

ACTOR = Actor.command("external_margin")


class Command(BaseCommand):
    help = "Keep a margin statement of others and say where it differs; exit 1 if it does."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="JSON or CSV")
        parser.add_argument("--legal-entity", help="its code, where there are several")
        parser.add_argument(
            "--commit", metavar="SHA256", help="keep the hash of a file that is to come, instead"
        )
        parser.add_argument("--source", default="", help="of the commitment: who makes it")
        parser.add_argument("--scope", default="", help="of the commitment, as A00015/FREE")
        parser.add_argument("--day", type=date.fromisoformat, help="of the commitment")
        parser.add_argument(
            "--ours", nargs=2, metavar=("RUN", "SCOPE"), help="print ours as such a file, instead"
        )
        parser.add_argument("--json", action="store_true", help="print one object")

    def handle(self, *args: object, **options: Any) -> None:  # noqa: ANN401 - argparse's
        try:
            if options["ours"]:
                said = statement_of(
                    find_result(*options["ours"]), source=options["source"] or "ours"
                )
                self.stdout.write(json.dumps(said, indent=1))
            elif options["commit"]:
                self._commit(options)
            elif options["file"] is not None:
                self._receive(options)
            else:
                raise CommandError("FILE, --commit or --ours is needed.", returncode=2)
        except (ExternalRefusedError, UnknownScopeError, RefusedError, OSError) as refused:
            raise CommandError(str(refused), returncode=2) from refused

    def _commit(self, options: dict[str, Any]) -> None:
        account, _, bucket = options["scope"].rpartition("/")
        if options["day"] is None:
            raise CommandError("--day is needed.", returncode=2)
        found = find_bucket(_entity(options["legal_entity"]), account, bucket)
        commit(
            source=options["source"],
            bucket=found,
            business_day=options["day"],
            digest=options["commit"],
            actor=ACTOR,
        )
        self.stdout.write(f"Kept: {options['commit']}")

    def _receive(self, options: dict[str, Any]) -> None:
        received = receive(
            options["file"].read_bytes(), entity=_entity(options["legal_entity"]), actor=ACTOR
        )
        self.stdout.write(
            json.dumps(as_json(received), indent=1) if options["json"] else in_words(received)
        )
        if received.breaks:
            raise SystemExit(1)


def _entity(code: str | None) -> LegalEntity:
    entities = LegalEntity.objects.all() if code is None else LegalEntity.objects.filter(code=code)
    found = list(entities[:2])
    if len(found) != 1:
        raise CommandError("--legal-entity names one legal entity.", returncode=2)
    return found[0]


def as_json(received: Received) -> dict[str, object]:
    """What was kept and where it differs; amounts as exact text."""
    return {
        "source": received.statement.source,
        "run": received.run.number,
        "sha256": received.statement.sha256,
        "opens_commitment": received.statement.opens_id is not None,
        "breaks": [
            {
                "total": each.total,
                "component": each.component,
                "ours": None if each.ours is None else plain(each.ours),
                "theirs": None if each.theirs is None else plain(each.theirs),
                "difference": plain(each.difference),
            }
            for each in received.breaks
        ],
    }


def in_words(received: Received) -> str:
    """A line for each component that differs."""
    if not received.breaks:
        return f"It agrees with run {received.run.number} in every component."
    return "\n".join(
        f"{each.total} {each.component}: theirs is {plain(each.difference)} more than ours"
        if each.difference > 0
        else f"{each.total} {each.component}: theirs is {plain(-each.difference)} less than ours"
        for each in received.breaks
    )
