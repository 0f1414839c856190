"""A day folder is taken whole or refused whole, with one sentence."""

import os
from datetime import date
from pathlib import Path

import pytest

from brokerage.inbox.files import read_file
from brokerage.inbox.folder import BANK_FILES, FILES, DayFolder, read_folder
from brokerage.inbox.refusal import FolderRefusedError
from tests.brokerage.inbox import build
from tests.brokerage.inbox.build import SIZE_LIMIT, write_day

CSV_FILES = [name for name in build.FILES if name.endswith(".csv")]


def read(day: Path) -> DayFolder:
    return read_folder(day, size_limit=SIZE_LIMIT)


def refusal(day: Path) -> FolderRefusedError:
    with pytest.raises(FolderRefusedError) as raised:
        read(day)
    return raised.value


def test_a_day_folder_is_read_whole(tmp_path: Path) -> None:
    folder = read(write_day(tmp_path))
    assert folder.business_day == date(2018, 2, 1)
    assert folder.path == (tmp_path / "2018-02-01").resolve()
    assert dict(folder.files) == build.FILES
    rows = folder.rows(priced={"SPY"})
    assert (rows.prices.row_count, rows.trades.row_count, rows.transfers.row_count) == (1, 1, 1)
    assert rows.rejected == ()


def test_rejected_rows_come_by_file_and_line(tmp_path: Path) -> None:
    files = {"trades.csv": build.TRADES + b"\n\n", "transfers.csv": build.TRANSFERS + b"x\n"}
    rows = read(write_day(tmp_path, files=files)).rows(priced={"BTC"})
    assert [(row.file, row.line) for row in rows.rejected] == [
        ("prices.csv", 2),
        ("trades.csv", 2),
        ("trades.csv", 3),
        ("transfers.csv", 2),
    ]


def test_an_empty_day_is_a_day(tmp_path: Path) -> None:
    files = {
        "prices.csv": build.PRICES,
        "trades.csv": build.TRADES.replace(b"\n", b"\r\n"),
        "transfers.csv": build.TRANSFERS.rstrip(b"\n"),
        "statements/holdings.csv": build.HOLDINGS,
    }
    rows = read(write_day(tmp_path, files=files)).rows(priced=set())
    assert (rows.prices.row_count, rows.trades.row_count, rows.transfers.row_count) == (0, 0, 0)


@pytest.mark.parametrize("name", sorted(build.FILES))
def test_a_changed_byte_in_any_file_changes_the_hash(tmp_path: Path, name: str) -> None:
    first = read(write_day(tmp_path / "first"))
    changed = {name: build.FILES[name] + b"\n"}
    second = read(write_day(tmp_path / "second", files=changed))
    assert second.content_sha256 != first.content_sha256


def test_the_hash_is_of_the_content_alone(tmp_path: Path) -> None:
    first = read(write_day(tmp_path / "first"))
    day = write_day(tmp_path / "second")
    (day / "expected.json").write_text("{}")
    (day / "statements" / "notes.txt").write_text("anything")
    assert read(day).content_sha256 == first.content_sha256
    assert set(read(day).files) == set(FILES)


def test_the_hash_knows_which_content_is_whose(tmp_path: Path) -> None:
    client, house = BANK_FILES["bank:client-usd"], BANK_FILES["bank:house-usd"]
    swapped = {client: build.FILES[house], house: build.FILES[client]}
    first = read(write_day(tmp_path / "first"))
    assert (
        read(write_day(tmp_path / "second", files=swapped)).content_sha256 != first.content_sha256
    )


@pytest.mark.parametrize("name", ["2018-02-30", "20180201", "2018-2-1", "today", "2018-02-01 "])
def test_a_folder_that_is_called_by_no_date_is_refused(tmp_path: Path, name: str) -> None:
    assert str(refusal(write_day(tmp_path, day=name))) == (
        f"{name}: a day folder is called by its date, YYYY-MM-DD, and this is none. "
        "Nothing was read."
    )


def test_a_folder_may_be_reached_by_a_link(tmp_path: Path) -> None:
    day = write_day(tmp_path)
    (tmp_path / "today").symlink_to(day)
    assert read(tmp_path / "today").path == day.resolve()


def test_a_link_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "2018-02-01").symlink_to("2018-02-01")
    assert refusal(tmp_path / "2018-02-01").file == "2018-02-01"


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    error = refusal(tmp_path / "2018-02-01")
    assert str(error) == "2018-02-01: the folder is missing. Nothing was read."


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "2018-02-01").write_text("")
    error = refusal(tmp_path / "2018-02-01")
    assert str(error) == "2018-02-01: this is not a folder. Nothing was read."


def test_a_day_without_statements_is_refused(tmp_path: Path) -> None:
    (tmp_path / "2018-02-01").mkdir()
    error = refusal(tmp_path / "2018-02-01")
    assert str(error) == "statements: the folder is missing. Nothing was read."


def test_statements_reached_by_a_link_are_refused(tmp_path: Path) -> None:
    day = write_day(tmp_path)
    (day / "statements").rename(tmp_path / "elsewhere")
    (day / "statements").symlink_to(tmp_path / "elsewhere")
    assert str(refusal(day)) == "statements: this is not a folder. Nothing was read."


@pytest.mark.parametrize("name", sorted(build.FILES))
def test_a_missing_file_is_refused(tmp_path: Path, name: str) -> None:
    error = refusal(write_day(tmp_path, files={name: None}))
    assert str(error) == f"{name}: the file is missing. Nothing was read."
    assert (error.file, error.line, error.field) == (name, None, None)


@pytest.mark.parametrize("name", sorted(build.FILES))
def test_a_link_in_place_of_a_file_is_refused(tmp_path: Path, name: str) -> None:
    day = write_day(tmp_path, files={name: None})
    (tmp_path / "outside").write_bytes(build.FILES[name])
    (day / name).symlink_to(tmp_path / "outside")
    error = refusal(day)
    assert str(error) == f"{name}: this is a link, not an ordinary file. Nothing was read."


@pytest.mark.parametrize("name", sorted(build.FILES))
def test_a_directory_in_place_of_a_file_is_refused(tmp_path: Path, name: str) -> None:
    day = write_day(tmp_path, files={name: None})
    (day / name).mkdir()
    assert str(refusal(day)) == f"{name}: this is not an ordinary file. Nothing was read."


def test_a_pipe_in_place_of_a_file_is_refused_without_waiting(tmp_path: Path) -> None:
    day = write_day(tmp_path, files={"trades.csv": None})
    os.mkfifo(day / "trades.csv")
    assert str(refusal(day)) == "trades.csv: this is not an ordinary file. Nothing was read."


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read every file")
def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    day = write_day(tmp_path)
    (day / "trades.csv").chmod(0)
    error = refusal(day)
    assert (
        str(error) == "trades.csv: the file cannot be read (permission denied). Nothing was read."
    )


def test_a_file_the_system_will_not_give_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = write_day(tmp_path)
    real = os.open

    def refuse(path: Path, flags: int) -> int:
        if Path(path).name == "trades.csv":
            raise PermissionError(13, "Permission denied")
        return real(path, flags)

    monkeypatch.setattr("brokerage.inbox.files.os.open", refuse)
    error = refusal(day)
    assert (
        str(error) == "trades.csv: the file cannot be read (permission denied). Nothing was read."
    )


@pytest.mark.parametrize("name", sorted(build.FILES))
def test_a_file_above_the_limit_is_refused(tmp_path: Path, name: str) -> None:
    day = write_day(tmp_path, files={name: build.FILES[name] + b" " * SIZE_LIMIT})
    size = len(build.FILES[name]) + SIZE_LIMIT
    what = f"the file has {size:,} bytes; the limit is {SIZE_LIMIT:,}"
    assert str(refusal(day)) == f"{name}: {what}. Nothing was read."


def test_a_file_exactly_at_the_limit_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 10)
    assert read_file(tmp_path / "file", name="file", size_limit=10) == b"x" * 10


def test_a_file_that_grows_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 10)
    real = os.fstat

    def stat_before_it_grew(descriptor: int) -> os.stat_result:
        found = real(descriptor)
        path.write_bytes(b"x" * 11)
        return found

    monkeypatch.setattr("brokerage.inbox.files.os.fstat", stat_before_it_grew)
    with pytest.raises(FolderRefusedError, match="the file grew beyond 10 bytes"):
        read_file(path, name="file", size_limit=10)


@pytest.mark.parametrize("name", CSV_FILES)
def test_a_csv_file_that_is_not_utf8_is_refused_at_its_line(tmp_path: Path, name: str) -> None:
    error = refusal(write_day(tmp_path, files={name: build.FILES[name] + b"\xe9\n"}))
    assert str(error) == f"{name} line 3: byte 0xe9 is not UTF-8. Nothing was read."
    assert (error.file, error.line, error.field) == (name, 3, None)


@pytest.mark.parametrize("name", CSV_FILES)
def test_a_csv_file_with_a_nul_character_is_refused_at_its_line(tmp_path: Path, name: str) -> None:
    error = refusal(write_day(tmp_path, files={name: build.FILES[name] + b"\x00\n"}))
    assert str(error) == f"{name} line 3: a NUL character is not text. Nothing was read."


def test_a_bank_file_may_hold_any_bytes(tmp_path: Path) -> None:
    files: dict[str, bytes | None] = dict.fromkeys(BANK_FILES.values(), b"\xff\x00\xfe")
    assert read(write_day(tmp_path, files=files)).files.items() >= files.items()


@pytest.mark.parametrize(
    ("header", "field"),
    [
        ("instrument,source,observed_at", "price"),
        ("instrument,source,observed_at,price,venue", "'venue'"),
        ("instrument,source,observed_at,Price", "price"),
        ("source,instrument,observed_at,price", "instrument"),
        ("instrument,source,observed_at,price,price", "price"),
        ("instrument;source;observed_at;price", "instrument"),
        ("instrument, source, observed_at, price", "source"),
        ("\ufeffinstrument,source,observed_at,price", "instrument"),
        ("", "instrument"),
    ],
)
def test_another_header_is_refused(tmp_path: Path, header: str, field: str) -> None:
    error = refusal(write_day(tmp_path, files={"prices.csv": f"{header}\n".encode()}))
    assert str(error) == (
        f"prices.csv line 1, {field}: the header is {header!r}; "
        "expected 'instrument,source,observed_at,price'. Nothing was read."
    )
    assert (error.file, error.line, error.field) == ("prices.csv", 1, field)


@pytest.mark.parametrize("name", CSV_FILES)
def test_an_empty_csv_file_has_no_header(tmp_path: Path, name: str) -> None:
    error = refusal(write_day(tmp_path, files={name: b""}))
    assert (error.file, error.line) == (name, 1)
    assert "the header is ''; expected" in str(error)


def test_a_header_may_be_quoted(tmp_path: Path) -> None:
    files = {"prices.csv": b'"instrument","source","observed_at","price"\r\n'}
    assert read(write_day(tmp_path, files=files)).rows(priced=set()).prices.row_count == 0


def test_an_endless_header_is_not_repeated_in_full(tmp_path: Path) -> None:
    error = refusal(write_day(tmp_path, files={"prices.csv": b"x" * 100_000}))
    assert len(str(error)) < 400


@pytest.mark.parametrize(
    ("name", "row", "field", "longest"),
    [
        ("prices.csv", "SPY,{},2018-02-01T20:59:00Z,1", "source", 60),
        ("trades.csv", "{},2018-02-01T10:00:00Z,A,FREE,SPY,buy,1,1,0,C", "trade_id", 118),
        (
            "transfers.csv",
            "{},2018-02-01T10:00:00Z,deposit,A,FREE,USD,1,B,,,R",
            "transfer_id",
            118,
        ),
        (
            "transfers.csv",
            "X,2018-02-01T10:00:00Z,deposit,A,FREE,USD,1,B,,,{}",
            "reference",
            118,
        ),
        ("statements/holdings.csv", "L,SPY,{},2018-02-01T21:00:00Z", "quantity", 60),
    ],
)
def test_a_text_too_long_to_keep_is_refused_at_its_place(
    tmp_path: Path, name: str, row: str, field: str, longest: int
) -> None:
    header = build.FILES[name].split(b"\n")[0].rstrip(b"\r") + b"\n"
    kept = header + row.format("1" * longest).encode() + b"\n"
    read(write_day(tmp_path / "kept", files={name: kept}))
    longer = header + row.format("1" * (longest + 1)).encode() + b"\n"
    refused = refusal(write_day(tmp_path / "longer", files={name: longer}))
    assert (refused.file, refused.line, refused.field) == (name, 2, field)
    assert f"{longest + 1} characters are more than the {longest}" in str(refused)


def test_the_sample_days_are_read(shared_dir: Path) -> None:
    days = sorted(shared_dir.glob("inbox/2018-02/2018-*"))
    if not days:
        pytest.skip("no sample inbox beside the project")
    folders = [read_folder(day, size_limit=50_000_000) for day in days]
    assert [folder.business_day.day for folder in folders] == [1, 2, 5, 6]
    assert len({folder.content_sha256 for folder in folders}) == 4
