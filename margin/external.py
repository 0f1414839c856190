"""Margin as a venue, clearing house or client computed it, beside ours, component by component.

A file names who says it, about which scope and day, and its components. Instead of a file its
sha256 may come first, as a promise: the file that opens it later must have exactly that hash.
Where a component differs a break is kept with both amounts, against the newest run of the day.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from typing import Any, Final

from django.db.models import Q, prefetch_related_objects

from accounts.audit import Actor, acting, refusals
from accounts.bulk import copy_rows
from accounts.models import Bucket, LegalEntity, Scope
from margin.engine.exact import ZERO, exact
from margin.external_tasks import settle_external_task
from margin.models import (
    ExternalBreak,
    ExternalComponent,
    ExternalMargin,
    MarginResult,
    MarginRun,
)
from margin.parts import parts_of

FORMAT: Final = "margin-statement/1"
TOTALS: Final = ("initial_margin", "maintenance_margin")
HEAD: Final = ("source", "account", "bucket", "business_day", "currency", "total", "component",
               "amount")  # fmt: skip
BYTES_MOST: Final = 1_000_000
COMPONENTS_MOST: Final = 5_000
DIGITS_MOST: Final = 30
LENGTHS: Final = {"source": 60, "account": 40, "bucket": 60, "business_day": 10, "currency": 20,
                  "component": 120}  # fmt: skip

EVERYWHERE: Final = Q()
# A component differs where it does by more than this.
ROUNDING: Final = Decimal("0.01")

ComponentKey = tuple[str, str]


class ExternalRefusedError(ValueError):
    """A file or promise that is not taken; the text is one sentence, `rule` says which."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(detail)
        self.rule = rule


@dataclass(frozen=True, slots=True)
class Statement:
    """What a file says.

    Attributes:
        components: by total and name, in the order of the file.
        sha256: of its bytes.
    """

    source: str
    account: str
    bucket: str
    business_day: date
    currency: str
    components: Mapping[ComponentKey, Decimal]
    sha256: str


@dataclass(frozen=True, slots=True)
class Received:
    """A statement that was kept, and where it differs from a run."""

    statement: ExternalMargin
    run: MarginRun
    breaks: tuple[ExternalBreak, ...]


# ---------------------------------------------------------------- reading a file


def read_statement(content: bytes) -> Statement:
    """A statement out of a JSON object or a CSV table.

    Raises:
        ExternalRefusedError: it cannot be read, or something is missing or wrong in it.
    """
    if len(content) > BYTES_MOST:
        raise ExternalRefusedError("file_is_small", f"A file has at most {BYTES_MOST:,} bytes.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ExternalRefusedError("file_is_text", "The file is not UTF-8 text.") from error
    rows = list(_json_rows(text) if text.lstrip().startswith("{") else _csv_rows(text))
    if not rows:
        raise ExternalRefusedError("file_has_components", "The file has no components.")
    if len(rows) > COMPONENTS_MOST:
        detail = f"A file has at most {COMPONENTS_MOST:,} components."
        raise ExternalRefusedError("file_is_small", detail)
    return _statement(rows, sha256(content).hexdigest())


def _json_rows(text: str) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        # Amounts that are numbers keep the digits they were written with.
        said = json.loads(text, parse_float=str, parse_int=str)
    except (ValueError, RecursionError) as error:
        raise ExternalRefusedError("file_is_read", "The file is no JSON.") from error
    if said.get("format") != FORMAT:
        raise ExternalRefusedError("file_is_read", f"The file does not say it is {FORMAT}.")
    components = said.get("components")
    if not isinstance(components, list) or not all(isinstance(c, dict) for c in components):
        raise ExternalRefusedError("file_has_components", "components: a list is needed.")
    shared = {name: said.get(name, "") for name in HEAD[:5]}
    for place, each in enumerate(components, start=1):
        yield place, {**shared, **{name: each.get(name, "") for name in HEAD[5:]}}


def _csv_rows(text: str) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        head, *rows = list(csv.reader(io.StringIO(text, newline=""))) or [[]]
    except csv.Error as error:
        raise ExternalRefusedError("file_is_read", "The file is no table.") from error
    if tuple(head) != HEAD:
        raise ExternalRefusedError("file_is_read", f"The first line is {','.join(HEAD)}.")
    for place, row in enumerate(rows, start=2):
        if not row:
            continue
        if len(row) != len(HEAD):
            raise ExternalRefusedError("file_is_read", f"Line {place} has {len(row)} columns.")
        yield place, dict(zip(HEAD, row, strict=True))


def _statement(rows: list[tuple[int, dict[str, str]]], digest: str) -> Statement:
    _, first = rows[0]
    components: dict[ComponentKey, Decimal] = {}
    for place, row in rows:
        for name in (*HEAD[:5], "component"):
            _check_text(row[name], name, place)
            if name != "component" and row[name] != first[name]:
                detail = f"{name} of line {place} is another than in the first."
                raise ExternalRefusedError("file_is_of_one_scope", detail)
        if row["total"] not in TOTALS:
            raise ExternalRefusedError(
                "total_is_known", f"total of line {place} is none of {', '.join(TOTALS)}."
            )
        key = row["total"], row["component"].strip()
        if key in components:
            detail = f"Line {place} says {' '.join(key)} a second time."
            raise ExternalRefusedError("component_is_said_once", detail)
        components[key] = _amount(row["amount"], place)
    return Statement(
        source=first["source"].strip(),
        account=first["account"].strip(),
        bucket=first["bucket"].strip(),
        business_day=_day(first["business_day"]),
        currency=first["currency"].strip(),
        components=components,
        sha256=digest,
    )


def _check_text(text: object, name: str, place: int) -> None:
    if not isinstance(text, str) or not text.strip():
        raise ExternalRefusedError("file_is_whole", f"{name} of line {place} is missing.")
    if len(text) > LENGTHS[name] or not text.isprintable():
        detail = f"{name} of line {place} is longer than {LENGTHS[name]} characters, or no text."
        raise ExternalRefusedError("text_is_short", detail)


def _amount(text: object, place: int) -> Decimal:
    try:
        amount = Decimal(str(text))
    except InvalidOperation:
        amount = Decimal("NaN")
    exponent = amount.as_tuple().exponent
    if (
        not amount.is_finite()
        or not isinstance(exponent, int)
        or (len(amount.as_tuple().digits) > DIGITS_MOST or abs(exponent) > DIGITS_MOST)
    ):
        raise ExternalRefusedError("amount_is_a_number", f"amount of line {place} is no number.")
    return amount


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ExternalRefusedError("day_is_a_date", f"{text} is no date.") from error


# ---------------------------------------------------------------- ours by component


def our_components(result: MarginResult) -> dict[ComponentKey, Decimal]:
    """Requirements of a result by component: the asset of house rules, the part of a model."""
    found: dict[ComponentKey, Decimal] = {}
    rows = [row for row in parts_of([result]) if row.total in TOTALS]
    prefetch_related_objects(rows, "asset")
    with exact():
        for row in rows:
            key = row.total, str(row.terms["part"]) if row.asset is None else row.asset.code
            found[key] = found.get(key, ZERO) + row.amount
    return found


def statement_of(result: MarginResult, *, source: str) -> dict[str, Any]:
    """Our own number as a statement, for whoever compares it on their side."""
    bucket = result.scope.bucket
    assert bucket is not None, "results are of buckets"
    return {
        "format": FORMAT,
        "source": source,
        "account": bucket.account.code,
        "bucket": bucket.code,
        "business_day": result.run.business_day.isoformat(),
        "currency": result.agreement_version.currency,
        "components": [
            {"total": total, "component": name, "amount": format(amount, "f")}
            for (total, name), amount in our_components(result).items()
        ],
    }


# ---------------------------------------------------------------- keeping and comparing


def commit(
    *,
    source: str,
    bucket: Bucket,
    business_day: date,
    digest: str,
    actor: Actor,
    request_id: str = "",
) -> ExternalMargin:
    """Keep the sha256 of a file that is to come; its source cannot say another number later.

    Raises:
        ExternalRefusedError: it is no sha256, nobody says it, or it was received already.
    """
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise ExternalRefusedError("commitment_is_a_hash", "A sha256 has 64 hexadecimal digits.")
    _check_text(source, "source", 1)
    scope = _scope(bucket)
    known = ExternalMargin.objects.filter(
        source=source.strip(), scope=scope, business_day=business_day, sha256=digest
    )
    if known.exists():
        raise ExternalRefusedError("received_once", "This was received already.")
    reason = f"Commitment of {source.strip()}"
    with acting(actor, reason=reason, request_id=request_id), refusals():
        return ExternalMargin.objects.create(
            source=source.strip(),
            scope=scope,
            business_day=business_day,
            kind=ExternalMargin.Kind.COMMITMENT,
            sha256=digest,
        )


def receive(
    content: bytes,
    *,
    entity: LegalEntity,
    actor: Actor,
    request_id: str = "",
    within: Q = EVERYWHERE,
) -> Received:
    """Keep a statement and every break with the newest end-of-day run of its day.

    A commitment of the same source, scope and day is opened by it; while one waits, a file with
    another hash is refused.

    Args:
        within: the buckets that it may be about.

    Raises:
        ExternalRefusedError: it cannot be read, no run of ours says anything of its scope, it was
            received already, or it is not what was promised.
    """
    said = read_statement(content)
    bucket = find_bucket(entity, said.account, said.bucket, within=within)
    result = _result(bucket, said)
    earlier = ExternalMargin.objects.filter(
        source=said.source, scope=result.scope, business_day=said.business_day
    )
    if earlier.filter(kind=ExternalMargin.Kind.STATEMENT, sha256=said.sha256).exists():
        raise ExternalRefusedError("received_once", "This was received already.")
    waiting = earlier.filter(kind=ExternalMargin.Kind.COMMITMENT, opened_by__isnull=True)
    promised = waiting.filter(sha256=said.sha256).first()
    if promised is None and waiting.exists():
        detail = f"{said.source} promised another file: the hash is not that of the commitment."
        raise ExternalRefusedError("opening_is_what_was_committed", detail)
    reason = f"Margin statement of {said.source} for {said.business_day}"
    with acting(actor, reason=reason, request_id=request_id), refusals():
        statement = ExternalMargin.objects.create(
            source=said.source,
            scope=result.scope,
            business_day=said.business_day,
            kind=ExternalMargin.Kind.STATEMENT,
            currency=said.currency,
            sha256=said.sha256,
            opens=promised,
        )
        copy_rows(
            [
                ExternalComponent(statement=statement, total=total, component=name, amount=amount)
                for (total, name), amount in said.components.items()
            ]
        )
        breaks = copy_rows(list(_breaks(statement, result, said.components)))
        settle_external_task(statement, result, breaks)
    return Received(statement, result.run, tuple(breaks))


def find_bucket(
    entity: LegalEntity, account: str, bucket: str, *, within: Q = EVERYWHERE
) -> Bucket:
    """The bucket of an account that a statement names.

    Raises:
        ExternalRefusedError: the legal entity has none such.
    """
    found = (
        Bucket.objects.filter(
            within, account__legal_entity=entity, account__code=account, code=bucket
        )
        .select_related("account", "scope")
        .first()
    )
    if found is None:
        raise ExternalRefusedError("scope_is_known", f"There is no scope {account}/{bucket}.")
    return found


def _scope(bucket: Bucket) -> Scope:
    scope = Scope.objects.filter(bucket=bucket).first()
    if scope is None:
        name = f"{bucket.account.code}/{bucket.code}"
        raise ExternalRefusedError("scope_is_known", f"{name} is not margined.")
    return scope


def _result(bucket: Bucket, said: Statement) -> MarginResult:
    """What the newest end-of-day run of the day says of the scope."""
    found = (
        MarginResult.objects.filter(
            scope=_scope(bucket), run__business_day=said.business_day, run__purpose="end-of-day"
        )
        .select_related("run", "scope", "agreement_version")
        .order_by("-run")
        .first()
    )
    if found is None:
        detail = f"No run of {said.business_day} says anything of {said.account}/{said.bucket}."
        raise ExternalRefusedError("there_is_a_result", detail)
    if found.agreement_version.currency != said.currency:
        detail = f"It is in {said.currency}, ours in {found.agreement_version.currency}."
        raise ExternalRefusedError("currency_is_the_same", detail)
    return found


def _breaks(
    statement: ExternalMargin, result: MarginResult, theirs: Mapping[ComponentKey, Decimal]
) -> Iterator[ExternalBreak]:
    """Components that differ. A total that they do not speak of at all is not compared.

    Parts of a model are rounded so that they add up, which moves a cent from one to another.
    """
    totals = {total for total, _ in theirs}
    ours = {key: amount for key, amount in our_components(result).items() if key[0] in totals}
    for key in sorted({*ours, *theirs}):
        with exact():
            difference = theirs.get(key, ZERO) - ours.get(key, ZERO)
        if abs(difference) > ROUNDING:
            yield ExternalBreak(
                statement=statement,
                run=result.run,
                total=key[0],
                component=key[1],
                ours=ours.get(key),
                theirs=theirs.get(key),
                difference=difference,
            )
