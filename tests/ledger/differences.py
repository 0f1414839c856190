"""Statements that differ from the book, and the breaks they leave."""

import hashlib
from datetime import date
from decimal import Decimal

from accounts.audit import acting
from ledger.models import Break, Location, Statement, StatementFile, StatementLine
from ledger.reconciliation import reconcile
from tests.ledger.book import DESK, NOON, Book

DAY = NOON.date()


def give_statement(
    place: Location, *lines: tuple[str | None, str], day: date = DAY, rejection: str = ""
) -> Statement:
    """A bank's statement of a day, with (reference, amount) lines; rejected whole if it says so."""
    content = f"{place.code} {day} {lines}".encode()
    with acting(DESK, reason="A test receives a statement"):
        file = StatementFile.objects.create(
            sha256=hashlib.sha256(content).hexdigest(),
            name=f"statements/{place.code}.csv",
            content=content,
        )
        statement = Statement.objects.create(
            location=place,
            business_day=day,
            file=file,
            format="test",
            parser_version="1",
            opening=None if rejection else Decimal(0),
            closing=None if rejection else sum((Decimal(a) for _, a in lines), Decimal(0)),
            lines_read=len(lines),
            rejection=rejection,
        )
        if not rejection:
            StatementLine.objects.bulk_create(
                StatementLine(
                    statement=statement,
                    ordinal=ordinal,
                    reference=reference,
                    amount=Decimal(amount),
                    amount_as_read=amount,
                    value_date=day,
                )
                for ordinal, (reference, amount) in enumerate(lines, start=1)
            )
    return statement


def compare(day: date = DAY) -> None:
    """Compare a day's statements with the book, and open the breaks."""
    with acting(DESK, reason="A test reconciles"):
        reconcile(day, unposted={})


def the_break(place: Location, kind: str, *, day: date = DAY) -> Break:
    """The only break of a kind at a place."""
    return Break.objects.get(location=place, kind=kind, business_day=day)


def bank_moves(book: Book, amount: str, reference: str) -> int:
    """A receipt without an owner at the client bank; returns the entry."""
    legs = book.leg("client_bank", amount, reference=reference), ("unallocated", f"-{amount}")
    return book.post("unidentified_receipt", *legs, reference=reference)
