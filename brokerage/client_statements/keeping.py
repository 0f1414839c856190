"""Writing clients' statements, and keeping of each what it rests on, as of other reports.

Files are not kept: a statement is made again from its horizon, byte for byte. So no name lies
anywhere but under its key, and what was given out can still be shown.
"""

import hashlib
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from django.db import connection

from accounts.exports import exported
from accounts.models import Client, LegalEntity, MarginAccount
from accounts.seals.printed import seal_over
from brokerage.client_statements.csv_file import statement_csv
from brokerage.client_statements.pdf_file import statement_pdf
from brokerage.client_statements.period import Period, StatementRefusedError, period_of
from brokerage.client_statements.reading import client_statements
from brokerage.client_statements.statement import ClientStatement
from brokerage.models import ReportFile
from ledger.horizons import current_horizon
from ledger.models import DayClose, Horizon
from ledger.times import (
    ReadingPoint,
    TimeRefusedError,
    at_horizon,
    known,
    one_snapshot,
    reading_point,
)

NAME: Final = "client-statement"
TOTALS: Final = "client-statement-totals"
WRITERS: Final[Mapping[str, Callable[[ClientStatement], bytes]]] = {
    "pdf": statement_pdf,
    "csv": statement_csv,
}
UNSAFE: Final = re.compile(r"[^A-Za-z0-9_-]")
CONTENT_TYPES: Final = {"pdf": "application/pdf", "csv": "text/csv; charset=utf-8"}


@dataclass(frozen=True, slots=True)
class WrittenStatement:
    """A statement as bytes, with its manifest."""

    statement: ClientStatement
    file_name: str
    content_type: str
    content: bytes
    manifest: dict[str, Any]


def clients_of(entity: LegalEntity, *, codes: Collection[str] | None = None) -> list[Client]:
    """Clients of a legal entity that have an account, by code, with what names need.

    Raises:
        StatementRefusedError: one of the codes is no such client's.
    """
    owners = MarginAccount.objects.filter(client__isnull=False).values("client")
    found = Client.objects.named().filter(legal_entity=entity, pk__in=owners)
    if codes is not None:
        found = found.filter(code__in=codes)
    clients = list(found.select_related("legal_entity").order_by("code"))
    missing = set(codes or ()) - {client.code for client in clients}
    if missing:
        raise StatementRefusedError(f"{min(missing)!r} is no client with an account.")
    return clients


def point_for(known_at: datetime | None) -> ReadingPoint:
    """A stored horizon: the newest at a time, or one that knows all that is known now.

    Raises:
        StatementRefusedError: nothing can be read at that time.
    """
    if known_at is None:
        return at_horizon(current_horizon("client statements"))
    try:
        return reading_point(known_at=known_at)
    except TimeRefusedError as refused:
        raise StatementRefusedError(str(refused)) from refused


def counted_through(entity: LegalEntity, period: Period, point: ReadingPoint) -> date:
    """The last date of the period that counts: its last, or the newest closed one before that.

    Raises:
        StatementRefusedError: no day was closed yet in the period or after it.
    """
    closes = known(DayClose.objects.filter(legal_entity=entity), point)
    newest = closes.order_by("-day").values_list("day", flat=True).first()
    if newest is None or newest < period.first:
        until = "no day is closed yet" if newest is None else f"days are closed up to {newest}"
        raise StatementRefusedError(f"There is no statement of {period.code}: {until}.")
    return min(newest, period.last)


def opened_by(
    clients: Sequence[Client], period: Period, point: ReadingPoint
) -> dict[int, ReadingPoint]:
    """By client, what their statement of the period before knew; those without one are absent.

    Of several it is the newest one; an interim statement is followed by its own period's.
    """
    earlier = period.before
    codes = {client.code: client.pk for client in clients}
    files = known(ReportFile.objects.filter(name=NAME, business_day=earlier.last), point).filter(
        manifest__period=earlier.code,
        manifest__is_interim=False,
        manifest__legal_entity__in={client.legal_entity.code for client in clients},
    )
    if len(codes) == 1:
        files = files.filter(manifest__client=next(iter(codes)))
    newest = {
        codes[client]: horizon
        for client, horizon in files.order_by("pk").values_list(
            "manifest__client", "manifest__horizon"
        )
        if client in codes
    }
    horizons = Horizon.objects.in_bulk(set(newest.values()))
    return {client: at_horizon(horizons[pk]) for client, pk in newest.items()}


def read_statements(
    clients: Sequence[Client], period: Period, point: ReadingPoint
) -> Iterator[ClientStatement]:
    """The statements of clients of one legal entity; call inside one snapshot.

    Raises:
        StatementRefusedError: no day was closed yet in the period or after it.
    """
    if not clients:
        return
    through = counted_through(clients[0].legal_entity, period, point)
    before = opened_by(clients, period, point)
    yield from client_statements(clients, period, through=through, point=point, before=before)


def write_statement(
    client: Client, period: Period, *, file_format: str, point: ReadingPoint
) -> WrittenStatement:
    """One client's statement as a file; the same client, period and horizon give the same bytes.

    Args:
        point: of a stored horizon.

    Raises:
        StatementRefusedError: the format is not known, or no day of the period was closed.
    """
    check_format(file_format)
    with one_snapshot():
        (statement,) = read_statements([client], period, point)
        return written(statement, file_format)


def check_format(file_format: str) -> None:
    """Refuse a format that there is not.

    Raises:
        StatementRefusedError: saying which there are.
    """
    if file_format not in WRITERS:
        raise StatementRefusedError(
            f"{file_format!r} is no format; a statement is {' or '.join(WRITERS)}."
        )


def written(statement: ClientStatement, file_format: str) -> WrittenStatement:
    """A statement as a file of a format, with its manifest; call inside one snapshot."""
    content = WRITERS[file_format](statement)
    client, period = statement.client, statement.period
    return WrittenStatement(
        statement,
        f"statement-{file_part(client.code)}-{period.code}.{file_format}",
        CONTENT_TYPES[file_format],
        content,
        {
            **_about(statement),
            "format": file_format,
            "rows": sum(len(line.movements) for line in statement.lines),
            "sha256": hashlib.sha256(content).hexdigest(),
            **_rests_on(statement.point),
        },
    )


def file_part(code: str) -> str:
    """A code as a part of a file's name; another code never gives the same."""
    plain = UNSAFE.sub("_", code)
    if plain == code:
        return plain
    return f"{plain}-{hashlib.sha256(code.encode()).hexdigest()[:8]}"


def _about(statement: ClientStatement) -> dict[str, Any]:
    runs = {line.run for line in statement.margins}
    return {
        "report": NAME,
        "title": "Client statement",
        "legal_entity": statement.client.legal_entity.code,
        "client": statement.client.code,
        "period": statement.period.code,
        "through": statement.through.isoformat(),
        "is_interim": statement.is_interim,
        "run": min(runs, default=""),
        "content_sha256": statement.content_sha256,
        "opens_from": exported(statement.opens_from),
    }


def _rests_on(point: ReadingPoint) -> dict[str, Any]:
    assert point.horizon is not None, "a statement is read at a stored horizon"
    with connection.cursor() as cursor:
        seal = seal_over(cursor, point.snapshot).as_json()
    return {
        "horizon": point.horizon.pk,
        "horizon_taken_at": exported(point.horizon.taken_at),
        "known": point.snapshot,
        **seal,
    }


def keep(files: Sequence[WrittenStatement]) -> list[ReportFile]:
    """Keep what each rests on; call inside an act."""
    return ReportFile.objects.bulk_create(
        ReportFile(
            name=NAME,
            business_day=each.statement.period.last,
            format=str(each.manifest["format"]),
            manifest=each.manifest,
            sha256=str(each.manifest["sha256"]),
        )
        for each in files
    )


def made_again(kept: ReportFile) -> WrittenStatement:
    """A kept statement from its horizon.

    Raises:
        StatementRefusedError: it is no longer the file that was given out, because the client's
            name was erased since or something else changed.
    """
    manifest: dict[str, Any] = kept.manifest
    entity = LegalEntity.objects.get(code=manifest["legal_entity"])
    (client,) = clients_of(entity, codes=[manifest["client"]])
    point = at_horizon(Horizon.objects.get(pk=manifest["horizon"]))
    again = write_statement(
        client, period_of(manifest["period"]), file_format=kept.format, point=point
    )
    if again.manifest["content_sha256"] != manifest["content_sha256"]:
        raise StatementRefusedError(
            "This is not what was given out: the book says something else at the same horizon."
        )
    return again
