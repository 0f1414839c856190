"""reference.yaml is read strictly: what it says twice, halfway or against itself refuses it."""

import hashlib
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokerage.inbox.reference import read_reference
from brokerage.inbox.reference.terms import (
    Account,
    Agreement,
    Asset,
    Bracket,
    Claim,
    Custody,
    FirmBalance,
    Loan,
    Location,
    PerpTerms,
    Position,
    Reference,
    SecurityTerms,
)
from brokerage.inbox.reference.tree import read_tree
from brokerage.inbox.refusal import FolderRefusedError
from tests.brokerage.inbox.build import REFERENCE, SIZE_LIMIT, line_of, spoilt, write_reference


def read(folder: Path, text: str) -> Reference:
    return read_reference(write_reference(folder, text), size_limit=SIZE_LIMIT)


def refusal(folder: Path, text: str) -> FolderRefusedError:
    with pytest.raises(FolderRefusedError) as raised:
        read(folder, text)
    assert raised.value.file == "reference.yaml"
    return raised.value


def test_standing_data_is_read_as_written(tmp_path: Path) -> None:
    reference = read(tmp_path, REFERENCE)
    assert reference.firm_name == "Example Brokerage"
    assert reference.as_of_time == time(21)
    assert reference.pools == ("CLIENT", "HOUSE", "INSURANCE")
    assert reference.assets["BTC"] == Asset("BTC", scale=8, haircut=Decimal("0.20"))
    assert reference.instruments == {
        "SPY": SecurityTerms("SPY", 0, 4, Decimal("0.50"), Decimal("0.25")),
        "BTC-PERP": PerpTerms(
            "BTC-PERP",
            4,
            2,
            "USD",
            (
                Bracket(Decimal(0), Decimal("0.10"), Decimal("0.05")),
                Bracket(Decimal(50000), Decimal("0.20"), Decimal("0.10")),
            ),
        ),
    }
    assert reference.locations["venue:client"] == Location(
        "venue:client", "CLIENT", "venue", ("USD", "BTC-PERP"), None
    )
    assert reference.locations["bank:insurance-usd"].account_id == "7700000001"
    assert reference.agreements["STD"] == Agreement(
        "STD", Decimal(1), Decimal("0.5"), Decimal("100.00")
    )
    assert reference.clients["C2"].name == "Second client"
    assert list(reference.accounts) == ["A1", "A2", "A3", "H1"]
    assert reference.accounts["A1"] == Account(
        "A1", "C1", "CLIENT", "isolated", ("FREE", "ISO-BTC-PERP"), "STD"
    )


def test_the_opening_state_is_read_as_written(tmp_path: Path) -> None:
    opening = read(tmp_path, REFERENCE).opening
    assert opening.business_day == date(2018, 1, 31)
    assert opening.marks == {
        "BTC": Decimal("10099.99"),
        "BTC-PERP": Decimal(9000),
        "SPY": Decimal(280),
    }
    assert opening.claims[1] == Claim("A1", "ISO-BTC-PERP", "USD", Decimal("1000.00"))
    assert opening.positions[0] == Position(
        "A1", "ISO-BTC-PERP", "BTC-PERP", Decimal("-1.0000"), Decimal("9000.00000000")
    )
    assert opening.loans == (Loan("A2", Decimal("23000.00")),)
    assert opening.custody[2] == Custody("venue:client", "BTC-PERP", Decimal("-1.0000"))
    assert opening.firm_balance[1] == FirmBalance("HOUSE", "USD", Decimal("30000.00"))
    assert opening.statement_closing["bank:house-usd"] == Decimal("7300.00")


def test_every_instrument_and_every_money_asset_but_usd_is_priced(tmp_path: Path) -> None:
    assert read(tmp_path, REFERENCE).priced == {"SPY", "BTC", "BTC-PERP"}


def test_a_day_is_measured_at_its_time_in_utc(tmp_path: Path) -> None:
    reference = read(tmp_path, REFERENCE)
    assert reference.as_of(date(2018, 2, 1)) == datetime(2018, 2, 1, 21, tzinfo=UTC)


def test_scales_are_those_of_the_asset_or_of_quantities_of_the_instrument(tmp_path: Path) -> None:
    reference = read(tmp_path, REFERENCE)
    assert [reference.scale_of(code) for code in ("USD", "BTC", "SPY", "BTC-PERP")] == [2, 8, 0, 4]


def test_the_hash_is_that_of_the_file(tmp_path: Path) -> None:
    expected = hashlib.sha256(REFERENCE.encode()).hexdigest()
    assert read(tmp_path, REFERENCE).content_sha256 == expected


def test_what_the_opening_does_not_list_is_zero(tmp_path: Path) -> None:
    opening, _, _ = REFERENCE.partition("  claims:\n")
    bare = read(tmp_path, opening + "  custody:\n  loans: []\n").opening
    assert (bare.claims, bare.positions, bare.loans, bare.custody, bare.firm_balance) == ((),) * 5
    assert set(bare.statement_closing.values()) == {Decimal(0)}


def test_a_pool_of_client_money_may_lack_money_the_firm_owes_it(tmp_path: Path) -> None:
    short = spoilt(REFERENCE, '"venue:client", asset: USD, quantity: "3000.00"', SHORT_CUSTODY)
    short = spoilt(short, 'pool: CLIENT, asset: USD, amount: "1000.00"', SHORT_BALANCE)
    balance = read(tmp_path, short).opening.firm_balance[0]
    assert balance == FirmBalance("CLIENT", "USD", Decimal("-2000.00"))


SHORT_CUSTODY = '"venue:client", asset: USD, quantity: "0.00"'
SHORT_BALANCE = 'pool: CLIENT, asset: USD, amount: "-2000.00"'

ANOTHER_PERP = """\
- instrument: ETH-PERP
  kind: linear_perp
  quantity_scale: "2"
  price_scale: "2"
  settles_in: USD
  brackets: [{floor: "0", initial_rate: "0.10", maintenance_rate: "0.05"}]
locations:
"""


def test_the_house_may_own_shares_outside_its_accounts(tmp_path: Path) -> None:
    kept = '"custodian:house-sec", asset: SPY, quantity: '
    text = spoilt(REFERENCE, f'{kept}"7"', f'{kept}"9"')
    owned = '  - {pool: HOUSE, asset: SPY, amount: "2"}\n  statement_closing:\n'
    balances = read(tmp_path, spoilt(text, "  statement_closing:\n", owned)).opening.firm_balance
    assert balances[-1] == FirmBalance("HOUSE", "SPY", Decimal(2))


def test_an_isolated_account_may_hold_another_perpetual(tmp_path: Path) -> None:
    text = spoilt(REFERENCE, "locations:\n", ANOTHER_PERP)
    text = spoilt(text, "[FREE, ISO-BTC-PERP]", "[FREE, ISO-BTC-PERP, ISO-ETH-PERP]")
    text = spoilt(text, "  claims:\n", '  - {instrument: ETH-PERP, mark: "900"}\n  claims:\n')
    reference = read(tmp_path, text)
    assert reference.accounts["A1"].buckets == ("FREE", "ISO-BTC-PERP", "ISO-ETH-PERP")
    assert "ETH-PERP" in reference.priced


def test_a_missing_reference_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FolderRefusedError) as raised:
        read_reference(tmp_path / "reference.yaml", size_limit=SIZE_LIMIT)
    assert str(raised.value) == "reference.yaml: the file is missing. Nothing was read."


def test_a_reference_above_the_limit_is_refused(tmp_path: Path) -> None:
    path = write_reference(tmp_path)
    size = path.stat().st_size
    assert read_reference(path, size_limit=size).accounts
    with pytest.raises(FolderRefusedError, match=f"the file has {size:,} bytes; the limit is"):
        read_reference(path, size_limit=size - 1)


def test_a_reference_that_is_not_utf8_is_refused_at_its_line(tmp_path: Path) -> None:
    path = write_reference(tmp_path)
    path.write_bytes(REFERENCE.replace("First", "Fürst").encode("latin-1"))
    with pytest.raises(FolderRefusedError) as raised:
        read_reference(path, size_limit=SIZE_LIMIT)
    assert raised.value.line == line_of(REFERENCE, "First")
    assert "byte 0xfc is not UTF-8" in str(raised.value)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "the file is empty"),
        ("# nothing but a comment\n", "the file is empty"),
        ("- a\n- b\n", "a mapping belongs here"),
        ("plain text\n", "a mapping belongs here"),
        ("? [a, b]\n: c\n", "a key must be text"),
    ],
)
def test_yaml_that_is_no_reference_is_refused(tmp_path: Path, text: str, what: str) -> None:
    assert str(refusal(tmp_path, text)) == f"reference.yaml line 1: {what}. Nothing was read."


def test_an_entity_bomb_is_refused_before_it_grows(tmp_path: Path) -> None:
    bomb = "a: &a [x, x, x, x]\nb: &b [*a, *a, *a, *a]\nc: [*b, *b, *b, *b]\n"
    error = refusal(tmp_path, bomb)
    assert (error.line, error.field) == (1, "a")


def test_a_million_open_brackets_are_refused_at_the_ninth(tmp_path: Path) -> None:
    with pytest.raises(FolderRefusedError, match="nested more than 8 levels deep"):
        read(tmp_path, "[" * 900_000)


def test_a_refusal_never_repeats_an_endless_value(tmp_path: Path) -> None:
    text = spoilt(REFERENCE, "owner: C1", f"owner: {'x' * 100_000}")
    assert len(str(refusal(tmp_path, text))) < 200


@given(st.integers(0, len(REFERENCE)), st.integers(0, 12), st.text(max_size=12))
def test_any_slip_of_the_pen_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, start: int, length: int, typed: str
) -> None:
    text = REFERENCE[:start] + typed + REFERENCE[start + length :]
    try:
        assert read(tmp_path_factory.getbasetemp(), text).accounts
    except FolderRefusedError as error:
        sentence = str(error)
        assert sentence.isprintable(), sentence


@given(st.text(max_size=40))
def test_any_text_is_a_tree_or_refused(text: str) -> None:
    refused = []
    try:
        read_tree(text)
    except FolderRefusedError as error:
        refused.append(error)
    assert all(error.file == "reference.yaml" and error.line for error in refused)


def test_the_sample_folder_has_a_consistent_reference(shared_dir: Path) -> None:
    path = shared_dir / "inbox/2018-02/reference.yaml"
    if not path.is_file():
        pytest.skip("no sample inbox beside the project")
    reference = read_reference(path, size_limit=50_000_000)
    assert len(reference.accounts) == 60
    assert len(reference.clients) == 37
    assert reference.opening.business_day == date(2018, 1, 31)
    assert sum(loan.amount for loan in reference.opening.loans) == Decimal("3125382.49")
