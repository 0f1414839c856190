"""The gate: a statement is accepted whole or rejected whole, for the first reason that applies."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.statements.gate import ExpectedStatement, Gated, gate
from ledger.statements.statement import StatementFormat, exact_sum
from tests.ledger.statements.rendering import DAY, Content, bai2, camt, mt940

RENDERINGS: dict[StatementFormat, Callable[[Content], str]] = {
    StatementFormat.CAMT053: camt,
    StatementFormat.MT940: mt940,
    StatementFormat.BAI2: bai2,
}
each_format = pytest.mark.parametrize("layout", list(StatementFormat))


def verdict(
    text: str | bytes,
    layout: StatementFormat,
    *,
    account: str = "ACC1",
    day: date = DAY,
    previous: str | None = "100.00",
) -> Gated:
    data = text.encode() if isinstance(text, str) else text
    previous_closing = None if previous is None else Decimal(previous)
    return gate(data, expected=ExpectedStatement(layout, account, day, previous_closing))


@each_format
def test_a_good_statement_is_accepted_with_its_closing_balance(layout: StatementFormat) -> None:
    gated = verdict(RENDERINGS[layout](Content()), layout)
    assert (gated.rejection, gated.explanation) == (None, None)
    assert gated.statement is not None
    assert gated.statement.format is layout
    assert gated.lines_read == 2
    assert gated.closing == Decimal("85.50")


@each_format
def test_an_empty_day_is_a_statement_too(layout: StatementFormat) -> None:
    gated = verdict(RENDERINGS[layout](Content(lines=())), layout)
    assert (gated.rejection, gated.lines_read, gated.closing) == (None, 0, Decimal("100.00"))


REJECTIONS: list[tuple[str, Callable[[str], str], dict[str, str], str]] = [
    ("unreadable", lambda text: text[20:], {}, ""),
    ("wrong_account", lambda text: text, {"account": "ACC2"}, "'ACC1' instead of 'ACC2'"),
    ("wrong_currency_or_date", lambda text: text.replace("USD", "EUR"), {}, "in EUR, not USD"),
    ("opening", lambda text: text, {"previous": "100.01"}, "the last closing balance was 100.01"),
]


@each_format
@pytest.mark.parametrize(("reason", "change", "expected", "explanation"), REJECTIONS)
def test_a_rejected_statement_gives_nothing_but_its_reason(
    layout: StatementFormat,
    reason: str,
    change: Callable[[str], str],
    expected: dict[str, str],
    explanation: str,
) -> None:
    text = change(RENDERINGS[layout](Content()))
    gated = verdict(text, layout, **expected)  # type: ignore[arg-type]
    assert (gated.statement, gated.rejection, gated.closing) == (None, reason, None)
    assert gated.lines_read == (0 if reason == "unreadable" else 2)
    assert gated.explanation is not None
    assert explanation in gated.explanation


@each_format
def test_a_value_date_of_another_day_is_rejected_but_no_line_has_no_date(
    layout: StatementFormat,
) -> None:
    gated = verdict(RENDERINGS[layout](Content()), layout, day=date(2018, 2, 2))
    assert (gated.statement, gated.rejection) == (None, "wrong_currency_or_date")
    empty = verdict(RENDERINGS[layout](Content(lines=())), layout, day=date(2018, 2, 2))
    assert empty.rejection is None


@each_format
def test_the_opening_is_not_tested_after_a_rejected_day(layout: StatementFormat) -> None:
    text = RENDERINGS[layout](Content(opening=Decimal("7.00")))
    assert verdict(text, layout).rejection == "opening"
    assert verdict(text, layout, previous=None).rejection is None


@pytest.mark.parametrize(
    ("layout", "old", "new"),
    [
        (StatementFormat.CAMT053, ">85.50<", ">85.51<"),
        (StatementFormat.CAMT053, ">25.50<", ">25.501<"),
        (StatementFormat.CAMT053, "DBIT", "CRDT"),
        (StatementFormat.MT940, "USD85,50", "USD85,5001"),
        (StatementFormat.MT940, "D40,00", "C40,00"),
        (StatementFormat.BAI2, "16,495", "16,195"),
    ],
)
def test_lines_that_do_not_lead_to_the_closing_balance_are_rejected(
    layout: StatementFormat, old: str, new: str
) -> None:
    text = RENDERINGS[layout](Content())
    assert old in text
    gated = verdict(text.replace(old, new, 1), layout)
    assert (gated.statement, gated.rejection, gated.lines_read) == (None, "sum", 2)


def test_control_totals_are_tested_before_the_sum() -> None:
    gated = verdict(bai2(Content()).replace("16,195,2550", "16,195,2560"), StatementFormat.BAI2)
    assert (gated.statement, gated.rejection, gated.lines_read) == (None, "control_total", 2)


def test_reasons_are_found_in_their_order() -> None:
    wrong = bai2(Content(currency="EUR")).replace("16,195,2550", "16,195,2560")
    layout = StatementFormat.BAI2
    unreadable = wrong.replace(",V,", ",S,")
    seen = [
        verdict(unreadable, layout, account="ACC2", previous="1").rejection,
        verdict(wrong, layout, account="ACC2", previous="1").rejection,
        verdict(wrong, layout, previous="1").rejection,
        verdict(wrong.replace("EUR", "USD"), layout, previous="1").rejection,
        verdict(bai2(Content()).replace("16,495", "16,195"), layout, previous="1").rejection,
        verdict(bai2(Content()), layout, previous="1").rejection,
    ]
    assert seen == [
        "unreadable",
        "wrong_account",
        "wrong_currency_or_date",
        "control_total",
        "sum",
        "opening",
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('<Amt Ccy="USD">25.50', '<Amt Ccy="usd">25.50'),
        ('<Amt Ccy="USD">25.50', "<Amt>25.50"),
        ('<Amt Ccy="USD">85.50', '<Amt Ccy="EUR">85.50'),
        ("<Othr><Id>ACC1</Id></Othr>", "<IBAN>ACC1</IBAN>"),
    ],
)
def test_a_camt_with_one_wrong_currency_or_an_iban_is_rejected(old: str, new: str) -> None:
    text = camt(Content())
    assert old in text
    reason = "wrong_account" if "IBAN" in new else "wrong_currency_or_date"
    gated = verdict(text.replace(old, new, 1), StatementFormat.CAMT053)
    assert (gated.statement, gated.rejection) == (None, reason)


def test_one_balance_in_another_currency_is_enough() -> None:
    text = mt940(Content())
    closing = text.replace(":62F:C180201USD", ":62F:C180201EUR")
    further = text.replace("\r\n-\r\n", "\r\n:64:C180201EUR1,00\r\n-\r\n")
    assert closing != text != further
    for each in (closing, further):
        assert verdict(each, StatementFormat.MT940).rejection == "wrong_currency_or_date"


def test_a_file_of_another_format_is_unreadable() -> None:
    for written, render in RENDERINGS.items():
        for expected in set(StatementFormat) - {written}:
            gated = verdict(render(Content()), expected)
            assert (gated.statement, gated.rejection) == (None, "unreadable")


@each_format
def test_a_statement_cut_anywhere_is_never_accepted_in_part(layout: StatementFormat) -> None:
    data = RENDERINGS[layout](Content()).encode()
    whole = verdict(data, layout).statement
    assert whole is not None
    accepted = set()
    for length in range(len(data)):
        gated = verdict(data[:length], layout)
        if gated.statement is None:
            assert gated.rejection is not None
            assert gated.closing is None
        else:
            accepted.add(data[length:])
            assert (gated.statement, gated.lines_read) == (whole, 2)
    # What may be lost: the last line end, in MT940 also the end of the message and a zero that
    # carries no value.
    assert (
        accepted
        == {
            StatementFormat.CAMT053: {b"\n"},
            StatementFormat.MT940: {b"\r\n", b"-\r\n", b"\r\n-\r\n", b"0\r\n-\r\n"},
            StatementFormat.BAI2: {b"\n"},
        }[layout]
    )


@each_format
def test_a_statement_that_lost_a_line_is_never_accepted(layout: StatementFormat) -> None:
    text = RENDERINGS[layout](Content())
    lines = text.splitlines(keepends=True)
    for index, line in enumerate(lines):
        gated = verdict("".join(lines[:index] + lines[index + 1 :]), layout)
        if gated.statement is not None:
            assert line.startswith((":28C:", ":86:", "-", "<?xml", "<GrpHdr>"))
        else:
            assert gated.rejection is not None


@each_format
def test_a_statement_that_repeats_a_line_of_the_account_is_never_accepted(
    layout: StatementFormat,
) -> None:
    text = RENDERINGS[layout](Content())
    marker = {"camt.053": "<Ntry>", "MT940": ":61:", "BAI2": "16,"}[layout]
    lines = text.splitlines(keepends=True)
    for index, line in enumerate(lines):
        if line.startswith(marker):
            gated = verdict("".join([*lines[:index], line, *lines[index:]]), layout)
            assert gated.statement is None
            assert gated.lines_read == 3


@each_format
def test_a_nul_in_a_text_is_unreadable(layout: StatementFormat) -> None:
    gated = verdict(RENDERINGS[layout](Content()).replace("FIRST", "FI\0RST"), layout)
    assert (gated.statement, gated.rejection) == (None, "unreadable")


# What every format can write: amounts of cents, references without its separators.
cents = st.integers(-(10**14), 10**14).map(lambda number: Decimal(number).scaleb(-2))
names = st.text(alphabet="ABCZabz0189-.:+?() ", min_size=1, max_size=16).map(str.strip)
texts = st.text(alphabet="ABCZabz0189-.:+?() ", max_size=30).map(lambda text: f"T{text}".strip())
contents = st.builds(
    Content,
    opening=cents,
    lines=st.lists(st.tuples(names.map(lambda name: name or None), cents, texts), max_size=6).map(
        tuple
    ),
    account=st.from_regex(r"[A-Z0-9]{1,20}", fullmatch=True),
    day=st.dates(date(1980, 1, 1), date(2079, 12, 31)),
)


@each_format
@given(content=contents)
def test_what_a_bank_writes_is_what_is_read(layout: StatementFormat, content: Content) -> None:
    expected = ExpectedStatement(layout, content.account, content.day, content.opening)
    gated = gate(RENDERINGS[layout](content).encode(), expected=expected)
    assert gated.rejection is None
    assert gated.statement is not None
    read = gated.statement
    assert (read.account, read.currency) == (content.account, "USD")
    assert (read.opening, read.closing) == (content.opening, content.closing)
    assert [(line.reference, line.amount, line.text) for line in read.lines] == list(content.lines)
    assert [line.ordinal for line in read.lines] == list(range(1, len(content.lines) + 1))
    assert {line.value_date for line in read.lines} <= {content.day}
    assert not any(line.amount.is_zero() and line.amount.is_signed() for line in read.lines)


@each_format
@given(content=contents, position=st.integers(0, 10**6), byte=st.integers(0, 255))
def test_a_changed_byte_never_ends_in_another_error(
    layout: StatementFormat, content: Content, position: int, byte: int
) -> None:
    data = bytearray(RENDERINGS[layout](content).encode())
    data[position % len(data)] = byte
    expected = ExpectedStatement(layout, content.account, content.day, content.opening)
    gated = gate(bytes(data), expected=expected)
    assert (gated.statement is None) == (gated.rejection is not None)
    if gated.statement is not None:
        amounts = [line.amount for line in gated.statement.lines]
        assert exact_sum([content.opening, *amounts]) == gated.closing


@given(st.binary(max_size=200), st.sampled_from(list(StatementFormat)))
def test_any_bytes_get_a_verdict(data: bytes, layout: StatementFormat) -> None:
    assert verdict(data, layout).rejection == "unreadable"


def test_sums_are_exact_beyond_the_usual_precision() -> None:
    huge = Decimal("1" + "0" * 60)
    tiny = Decimal("0." + "0" * 40 + "1")
    content = replace(Content(), opening=Decimal("0.00"), lines=())
    text = camt(content).replace(">0.00<", f">{huge}<", 1).replace(">0.00<", f">{huge:f}.1<", 1)
    assert verdict(text, StatementFormat.CAMT053, previous=None).rejection == "sum"
    assert exact_sum([huge, tiny, huge.copy_negate()]) == tiny
