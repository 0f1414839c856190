"""The statements of all clients of a period: made in one go, kept, and compared with the pools."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from accounts.audit import Actor, acting
from accounts.exports import exported
from accounts.models import Client, LegalEntity
from brokerage.client_statements.keeping import (
    NAME,
    TOTALS,
    WRITERS,
    WrittenStatement,
    clients_of,
    counted_through,
    keep,
    opened_by,
    written,
)
from brokerage.client_statements.period import Period, StatementRefusedError
from brokerage.client_statements.reading import client_statements
from brokerage.models import ReportFile
from ledger.client_lines import BookAccount, PoolOwes, pools_owe
from ledger.times import ReadingPoint, known, one_snapshot

# How many clients' statements are made and kept in one act.
CHUNK: Final = 50
Progress = Callable[[int, int, str], None]
Closings = list[tuple[BookAccount, Decimal]]


class StatementsDifferError(Exception):
    """Clients' statements do not come to what a pool owes; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class MadeStatements:
    """What became of a period.

    Attributes:
        clients: how many clients have a statement.
        new: files that were not kept before with the same content.
        totals: statements beside what pools owe, by pool and asset.
    """

    period: Period
    clients: int
    new: int
    totals: list[PoolOwes]

    @property
    def is_whole(self) -> bool:
        return all(row.difference == 0 for row in self.totals)


def every_statement(
    entity: LegalEntity, period: Period, *, point: ReadingPoint
) -> Iterator[tuple[int, int, list[WrittenStatement]]]:
    """All statements, some clients at a time: how many are done, of how many, and the files."""
    clients = clients_of(entity)
    through = counted_through(entity, period, point)
    for start in range(0, len(clients), CHUNK):
        chunk = clients[start : start + CHUNK]
        with one_snapshot():
            before = opened_by(chunk, period, point)
            files = [
                written(statement, file_format)
                for statement in client_statements(
                    chunk, period, through=through, point=point, before=before
                )
                for file_format in WRITERS
            ]
        yield start + len(chunk), len(clients), files


def make_statements(
    entity: LegalEntity,
    period: Period,
    *,
    point: ReadingPoint,
    actor: Actor,
    report: Progress,
) -> MadeStatements:
    """Make every client's statement and keep it; what is kept with this content stays as it is.

    Raises:
        StatementRefusedError: no day of the period was closed.
        StatementsDifferError: they do not come to what the pools owe; they are kept all the same.
    """
    closings: Closings = []
    count = new = 0
    kept = _kept(entity, period)
    for done, total, files in every_statement(entity, period, point=point):
        report(done, total, "Make statements")
        closings += _closings(files)
        fresh = [each for each in files if _mark(each.manifest) not in kept]
        if fresh:
            with acting(actor, reason=f"Statements of {period.code}"):
                keep(fresh)
        count, new = done, new + len(fresh)
    made = MadeStatements(period, count, new, _totals(entity, period, closings, point=point))
    _keep_totals(entity, made, point=point, actor=actor)
    if not made.is_whole:
        wrong = next(row for row in made.totals if row.difference)
        raise StatementsDifferError(
            f"Statements of {period.code} do not come to what pool {wrong.pool} owes:"
            f" {wrong.difference} {wrong.asset} is unexplained."
        )
    return made


def totals_of(
    entity: LegalEntity, period: Period, *, clients: Sequence[Client], point: ReadingPoint
) -> list[PoolOwes]:
    """What clients' statements of a period come to, beside what pools owe."""
    through = counted_through(entity, period, point)
    with one_snapshot():
        before = opened_by(clients, period, point)
        closings = [
            (line.account, line.closing)
            for statement in client_statements(
                clients, period, through=through, point=point, before=before
            )
            for line in statement.lines
        ]
    return _totals(entity, period, closings, point=point)


def _totals(
    entity: LegalEntity, period: Period, closings: Closings, *, point: ReadingPoint
) -> list[PoolOwes]:
    through = counted_through(entity, period, point)
    with one_snapshot():
        return pools_owe(closings, legal_entity_id=entity.pk, point=point, last=through)


def _closings(files: Sequence[WrittenStatement]) -> Closings:
    """Of each client once, whatever number of formats was written."""
    first = next(iter(WRITERS))
    return [
        (line.account, line.closing)
        for each in files
        if each.manifest["format"] == first
        for line in each.statement.lines
    ]


def _mark(manifest: dict[str, Any]) -> tuple[str, str, str]:
    return (manifest["client"], manifest["format"], manifest["content_sha256"])


def _kept(entity: LegalEntity, period: Period) -> set[tuple[str, str, str]]:
    """Newest kept content by client and format."""
    files = ReportFile.objects.filter(
        name=NAME, business_day=period.last, manifest__period=period.code,
        manifest__legal_entity=entity.code,
    ).order_by("pk")  # fmt: skip
    newest = {
        (client, form): sha256
        for client, form, sha256 in files.values_list(
            "manifest__client", "format", "manifest__content_sha256"
        )
    }
    return {(client, form, sha256) for (client, form), sha256 in newest.items()}


def _keep_totals(
    entity: LegalEntity, made: MadeStatements, *, point: ReadingPoint, actor: Actor
) -> None:
    """Keep the comparison, where it is another than the newest kept one."""
    assert point.horizon is not None, "statements are read at a stored horizon"
    said = exported(
        {
            "report": TOTALS,
            "legal_entity": entity.code,
            "period": made.period.code,
            "clients": made.clients,
            "is_whole": made.is_whole,
            "totals": [totals_row(row) for row in made.totals],
        }
    )
    assert isinstance(said, dict), "an object stays one"
    newest = newest_totals(entity, made.period)
    if newest is not None and said.items() <= newest.manifest.items():
        return
    with acting(actor, reason=f"Statements of {made.period.code} beside what pools owe"):
        ReportFile.objects.create(
            name=TOTALS,
            business_day=made.period.last,
            format="json",
            manifest={**said, "rows": len(made.totals), "horizon": point.horizon.pk},
            sha256="",
        )


def newest_totals(
    entity: LegalEntity, period: Period, point: ReadingPoint | None = None
) -> ReportFile | None:
    """The newest kept comparison of a period."""
    found = ReportFile.objects.filter(
        name=TOTALS, business_day=period.last, manifest__period=period.code,
        manifest__legal_entity=entity.code,
    )  # fmt: skip
    if point is not None:
        found = known(found, point)
    return found.order_by("-pk").first()


def totals_row(row: PoolOwes) -> dict[str, object]:
    """A comparison as files say it."""
    return {
        "pool": row.pool,
        "asset": row.asset,
        "of": "loans" if row.is_loan else "claims and positions",
        "statements": row.of_clients,
        "receipts_without_an_owner": row.of_nobody,
        "accounts_of_the_firm": row.of_the_firm,
        "pool_owes": row.liabilities,
        "difference": row.difference,
        "is_whole": row.difference == 0,
    }


__all__ = [
    "MadeStatements", "StatementRefusedError", "StatementsDifferError", "every_statement",
    "make_statements", "newest_totals", "totals_of", "totals_row",
]  # fmt: skip
