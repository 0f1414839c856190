"""Reconciliation: what the places outside say they hold, against the book.

The file comes in, the gate accepts or rejects it whole, lines are kept, then compared. What is
left is a break with a history; it closes only with evidence.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from accounts.bulk import copy_rows
from ledger.matching import BreakFinding, Movement, compare_holdings, match_lines
from ledger.models import (
    Balance,
    Break,
    BreakEvent,
    Holding,
    Location,
    LocationAsset,
    Posting,
    Statement,
    StatementFile,
    StatementLine,
    StatementMatch,
)
from ledger.models.pools import HELD_AT_PLACES
from ledger.statements import holdings as holding_rows
from ledger.statements.gate import ExpectedStatement, Gated, gate
from ledger.statements.rows import RejectedRow
from ledger.statements.statement import StatementFormat
from ledger.statements.statement import StatementLine as ReadLine

PARSER_VERSION = "1"
BANK_CURRENCY = "USD"


@dataclass(frozen=True, slots=True)
class BankFile:
    """A bank's statement as it arrived."""

    location: str
    name: str
    format: StatementFormat
    content: bytes


@dataclass(frozen=True, slots=True)
class BankTotals:
    """What the comparison of one bank's day counted."""

    ledger_movements: int
    ledger_net: Decimal
    statement_lines: int
    matched: int
    ledger_balance: Decimal
    rejection: str


@dataclass(frozen=True, slots=True)
class _BankMovement:
    account_id: int
    account_seq: int
    movement: Movement


def import_statements(files: Iterable[BankFile], *, business_day: date) -> dict[str, Gated]:
    """Gate each bank's statement and keep it, its file and its lines; call inside an act.

    Returns:
        The verdict per location code.
    """
    places = {p.code: p for p in Location.objects.filter(kind=Location.Kind.BANK)}
    last = _last_statements(business_day)
    verdicts: dict[str, Gated] = {}
    for file in files:
        place = places[file.location]
        previous = last.get(place.pk)
        verdict = gate(
            file.content,
            expected=ExpectedStatement(
                format=file.format,
                account_id=place.account_number,
                business_day=business_day,
                previous_closing=None if previous is None else previous.closing,
                currency=BANK_CURRENCY,
            ),
        )
        verdicts[file.location] = verdict
        _keep_statement(file, verdict, place=place, business_day=business_day)
    return verdicts


def _last_statements(before: date) -> dict[int, Statement]:
    """The newest statement of each bank before a day; a rejected one has no closing balance."""
    rows = Statement.objects.filter(business_day__lt=before).order_by(
        "location_id", "-business_day"
    )
    return {row.location_id: row for row in rows.distinct("location_id")}


def keep_file(*, name: str, content: bytes) -> StatementFile:
    """Keep a file byte for byte, once."""
    sha256 = hashlib.sha256(content).hexdigest()
    kept = StatementFile.objects.filter(sha256=sha256).first()
    return kept or StatementFile.objects.create(sha256=sha256, name=name, content=content)


def _keep_statement(file: BankFile, verdict: Gated, *, place: Location, business_day: date) -> None:
    statement = Statement.objects.create(
        location=place,
        business_day=business_day,
        file=keep_file(name=file.name, content=file.content),
        format=str(file.format),
        parser_version=PARSER_VERSION,
        opening=None if verdict.statement is None else verdict.statement.opening,
        closing=verdict.closing,
        lines_read=verdict.lines_read,
        rejection=verdict.rejection or "",
    )
    if verdict.statement is None:
        return
    copy_rows(
        [
            StatementLine(
                statement=statement,
                ordinal=line.ordinal,
                reference=line.reference,
                amount=line.amount,
                amount_as_read=format(line.amount, "f"),
                value_date=line.value_date,
                text=line.text,
            )
            for line in verdict.statement.lines
        ]
    )


def import_holdings(
    content: bytes, *, name: str, as_of: datetime, business_day: date
) -> list[RejectedRow]:
    """Keep the rows of a holdings file that can be read; returns the others. Inside an act."""
    carried = _carried_outside_banks()
    rows, rejected = holding_rows.read_holdings(
        content,
        as_of=as_of,
        locations={code: frozenset(assets) for code, assets in carried.items()},
    )
    places = {p.code: p.pk for p in Location.objects.all()}
    assets = dict(LocationAsset.objects.values_list("asset__code", "asset_id"))
    file = keep_file(name=name, content=content)
    copy_rows(
        [
            Holding(
                file=file,
                location_id=places[row.location],
                asset_id=assets[row.asset],
                business_day=business_day,
                line=row.line,
                quantity=row.quantity,
                quantity_as_read=format(row.quantity, "f"),
            )
            for row in rows
        ]
    )
    return list(rejected)


def _carried_outside_banks() -> dict[str, set[str]]:
    carried: dict[str, set[str]] = defaultdict(set)
    for code, asset in LocationAsset.objects.exclude(location__kind=Location.Kind.BANK).values_list(
        "location__code", "asset__code"
    ):
        carried[code].add(asset)
    return carried


def reconcile(
    business_day: date,
    *,
    unposted: Mapping[str, Sequence[Movement]],
) -> dict[str, BankTotals]:
    """Compare a day's statements with the book and open a break for each difference.

    Call inside an act, once per day: a day that has breaks or matches is not compared again.

    Args:
        unposted: movements of 0.00 per bank, expected there though no posting can show them.

    Returns:
        Totals per bank.
    """
    statements = list(
        Statement.objects.filter(business_day=business_day).select_related("location")
    )
    movements = _movements(business_day)
    balances = _bank_balances()
    lines = _lines(statements)
    found: list[tuple[Statement | None, BreakFinding | None]] = []
    matches: list[StatementMatch] = []
    totals: dict[str, BankTotals] = {}
    for statement in sorted(statements, key=lambda s: s.location.code):
        code = statement.location.code
        booked = movements.get(statement.location_id, [])
        expected = [b.movement for b in booked] + list(unposted.get(code, ()))
        matched = 0
        if statement.rejection:
            found.append((statement, None))
        else:
            outcome = match_lines(expected, [_as_read(line) for line in lines[statement.pk]])
            matched = len(outcome.matches)
            matches += _match_rows(outcome.matches, booked=booked, lines=lines[statement.pk])
            found += [(statement, finding) for finding in outcome.breaks]
        totals[code] = BankTotals(
            ledger_movements=len(expected),
            ledger_net=sum((m.amount for m in expected), Decimal(0)),
            statement_lines=statement.lines_read,
            matched=matched,
            ledger_balance=balances.get(statement.location_id, Decimal(0)),
            rejection=statement.rejection,
        )
    found += [(None, finding) for finding in _compare_holdings(business_day)]
    copy_rows(matches)
    _open_breaks(found, business_day=business_day, lines=lines)
    return totals


def _lines(statements: Sequence[Statement]) -> dict[int, list[StatementLine]]:
    lines: dict[int, list[StatementLine]] = {statement.pk: [] for statement in statements}
    for row in StatementLine.objects.filter(statement__in=statements).order_by("ordinal"):
        lines[row.statement_id].append(row)
    return lines


def _as_read(row: StatementLine) -> ReadLine:
    return ReadLine(
        reference=row.reference,
        amount=Decimal(row.amount_as_read),
        currency=BANK_CURRENCY,
        value_date=row.value_date,
        ordinal=row.ordinal,
        text=row.text,
    )


def _movements(business_day: date) -> dict[int, list["_BankMovement"]]:
    """What the book moved at each bank on a day, by location, in order of posting."""
    start = datetime.combine(business_day, time.min, tzinfo=UTC)
    movements: dict[int, list[_BankMovement]] = defaultdict(list)
    rows = (
        Posting.objects.filter(
            account__account_class="custody",
            account__location__kind=Location.Kind.BANK,
            entry__effective_at__gte=start,
            entry__effective_at__lt=start + timedelta(days=1),
        )
        .exclude(entry__kind="opening")
        .order_by("account_id", "account_seq")
        .values_list("account__location_id", "account_id", "account_seq", "amount", "reference")
    )
    for number, (location, account, seq, amount, reference) in enumerate(rows):
        movement = Movement(reference=reference or "", amount=amount, key=number)
        movements[location].append(_BankMovement(account, seq, movement))
    return movements


def _bank_balances() -> dict[int, Decimal]:
    return dict(
        Balance.objects.filter(
            account__account_class="custody", account__location__kind=Location.Kind.BANK
        ).values_list("account__location_id", "amount")
    )


def _match_rows(
    matched: Sequence[tuple[Movement, ReadLine]],
    *,
    booked: Sequence["_BankMovement"],
    lines: Sequence[StatementLine],
) -> list[StatementMatch]:
    """Matches as rows; a movement of 0.00 has no posting to confirm."""
    postings = {b.movement.key: b for b in booked}
    rows = {row.ordinal: row for row in lines}
    return [
        StatementMatch(
            line=rows[line.ordinal],
            account_id=postings[movement.key].account_id,
            account_seq=postings[movement.key].account_seq,
        )
        for movement, line in matched
        if movement.key is not None
    ]


def _compare_holdings(business_day: date) -> list[BreakFinding]:
    custody = dict.fromkeys(
        ((code, asset) for code, assets in _carried_outside_banks().items() for asset in assets),
        Decimal(0),
    )
    for code, asset, amount in (
        Balance.objects.filter(account__account_class__in=HELD_AT_PLACES)
        .exclude(account__location__kind=Location.Kind.BANK)
        .values_list("account__location__code", "account__asset__code", "amount")
    ):
        custody[code, asset] += amount
    held = holding_rows.held_quantities(
        holding_rows.Holding(location=row[0], asset=row[1], quantity=Decimal(row[2]), line=row[3])
        for row in Holding.objects.filter(business_day=business_day).values_list(
            "location__code", "asset__code", "quantity_as_read", "line"
        )
    )
    return compare_holdings(custody, held)


def _open_breaks(
    found: Sequence[tuple[Statement | None, BreakFinding | None]],
    *,
    business_day: date,
    lines: Mapping[int, Sequence[StatementLine]],
) -> None:
    """One break per difference, numbered per location, each with the event that it was found."""
    places = {p.code: p.pk for p in Location.objects.all()}
    assets = dict(LocationAsset.objects.values_list("asset__code", "asset_id"))
    numbers: dict[int, int] = defaultdict(int)
    breaks = []
    for statement, finding in found:
        place = statement.location_id if statement is not None else places[finding.location]  # type: ignore[index, union-attr]
        numbers[place] += 1
        line = None
        if statement is not None and finding is not None and finding.line is not None:
            line = next(row for row in lines[statement.pk] if row.ordinal == finding.line.ordinal)
        breaks.append(
            Break(
                location_id=place,
                business_day=business_day,
                ordinal=numbers[place],
                kind="statement_rejected" if finding is None else str(finding.kind),
                asset_id=assets[BANK_CURRENCY if statement is not None else finding.asset],  # type: ignore[index, union-attr]
                reference=None if finding is None else finding.reference,
                ledger_amount=None if finding is None else finding.ledger,
                statement_amount=None if finding is None else finding.statement,
                statement_amount_as_read=""
                if finding is None or finding.statement is None
                else format(finding.statement, "f"),
                detail=statement.rejection if finding is None and statement is not None else "",
                statement=statement,
                line=line,
            )
        )
    copy_rows(breaks)
    copy_rows([BreakEvent(found=each, event="found") for each in breaks])
