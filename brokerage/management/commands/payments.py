"""`manage.py payments`: withdrawals and payment files at the terminal, files out, reports in."""

import json
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.audit import Actor, RefusedError
from accounts.figures import plain
from accounts.models import LegalEntity
from accounts.personal import ErasedPersonError
from ledger.models import Payment, PaymentFile, PaymentStatus
from ledger.pain import CannotOrderError
from ledger.payment_files import FileInTheWayError, default_folder, place_files, write_files
from ledger.payments import State, moment
from margin.models import Switch
from margin.payments.reports import ReportTooLargeError, read_report
from margin.switches import refuse_where_stopped

ACTOR = Actor.command("payments")


class Command(BaseCommand):
    help = (
        "List withdrawals; write payment files of what is approved and lay them into a folder; read"
        " the bank's status reports on them."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "what", choices=["list", "files", "write", "report"], metavar="list|files|write|report"
        )
        parser.add_argument(
            "path", nargs="*", type=Path, help="report: pain.002 files, or folders of them"
        )
        parser.add_argument("--legal-entity", help="its code, where there are several")
        parser.add_argument("--state", choices=State.values, help="list: of this state alone")
        parser.add_argument(
            "--format", choices=PaymentFile.Format.values, default=PaymentFile.Format.PAIN_001,
            help="write: for banks; CSV is for entry by hand",
        )  # fmt: skip
        parser.add_argument("--folder", type=Path, help="write: var/payments if not given")
        parser.add_argument("--json", action="store_true", help="print one object")

    def handle(self, *args: object, **options: Any) -> None:  # noqa: ANN401 - argparse's
        entity = _entity(options["legal_entity"])
        if options["what"] == "list":
            rows = _payments(entity, options["state"])
        elif options["what"] == "files":
            rows = _files(entity)
        elif options["what"] == "report":
            rows = _read_reports(entity, options["path"])
        else:
            rows = self._write(entity, options)
        if options["json"]:
            self.stdout.write(json.dumps({options["what"]: rows}))
            return
        for row in rows:
            self.stdout.write("  ".join(str(value) for value in row.values()))
        if not rows:
            self.stdout.write("Nothing.")

    def _write(self, entity: LegalEntity, options: dict[str, Any]) -> list[dict[str, str]]:
        """Write what is due, then lay down all that lies nowhere yet; going on where it stopped."""
        folder = options["folder"] or default_folder()
        try:
            write_files(
                legal_entity_id=entity.pk, until=moment().date(), format=options["format"],
                actor=ACTOR, reason="Payment files written at the terminal",
            )  # fmt: skip
            refuse_where_stopped(entity.pk, Switch.What.WITHDRAWALS)
            placed = place_files(folder, actor=ACTOR, legal_entity_id=entity.pk)
        except (
            CannotOrderError, ErasedPersonError, FileInTheWayError, RefusedError, OSError,
        ) as refused:  # fmt: skip
            raise CommandError(str(refused), returncode=2) from refused
        return [
            {"file": str(folder / file.name), "payments": str(file.payment_count),
             "sum": plain(file.control_sum), "sha256": file.sha256}
            for file in placed
        ]  # fmt: skip


def _read_reports(entity: LegalEntity, paths: Sequence[Path]) -> list[dict[str, str]]:
    """Read reports, each in an act of its own; those read before change nothing."""
    rows = []
    try:
        for path in (each for given in paths for each in _files_of(given)):
            report, is_new = read_report(
                path.read_bytes(), name=path.name, legal_entity=entity, actor=ACTOR,
                reason=f"Status report {path.name} read at the terminal"[:200],
            )  # fmt: skip
            counted = Counter(report.statuses.values_list("outcome", flat=True))
            rows.append({
                "file": str(path), "new": "yes" if is_new else "no",
                "of": report.original_message_id, "sha256": report.file_id,
                **{outcome: str(counted[outcome]) for outcome in PaymentStatus.Outcome.values},
                "not used": report.rejection,
            })  # fmt: skip
    except (ReportTooLargeError, RefusedError, OSError) as refused:
        raise CommandError(str(refused), returncode=2) from refused
    return rows


def _files_of(path: Path) -> list[Path]:
    """The file, or those of a folder in the order of their names."""
    return sorted(path.glob("*.xml")) if path.is_dir() else [path]


def _payments(entity: LegalEntity, state: str | None) -> list[dict[str, str]]:
    found = Payment.objects.named().filter(legal_entity=entity).order_by("requested_at")
    if state:
        found = found.filter(state=state)
    return [
        {"reference": p.end_to_end_id, "state": p.state, "account": p.bucket.account.code,
         "amount": plain(p.amount), "asset": p.asset.code, "from": p.location.code,
         "on": p.pay_on.isoformat()}
        for p in found
    ]  # fmt: skip


def _files(entity: LegalEntity) -> list[dict[str, str]]:
    found = PaymentFile.objects.filter(location__pool__legal_entity=entity).defer("content")
    return [
        {"file": f.name, "state": f.state, "from": f.location.code, "on": f.pay_on.isoformat(),
         "payments": str(f.payment_count), "sum": plain(f.control_sum), "sha256": f.sha256}
        for f in found.select_related("location").order_by("pk")
    ]  # fmt: skip


def _entity(code: str | None) -> LegalEntity:
    """The legal entity of this code, or the only one.

    Raises:
        CommandError: there is none, or several.
    """
    found = list(LegalEntity.objects.filter(**({"code": code} if code else {}))[:2])
    if len(found) != 1:
        raise CommandError("Name one legal entity: --legal-entity CODE.", returncode=2)
    return found[0]
