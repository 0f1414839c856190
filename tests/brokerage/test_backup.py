"""The book in one file and back: proved, with its seals going on, or refused before it counts."""

import io
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from brokerage.backup import BackupRefusedError, restore_backup, take_backup
from brokerage.backup.archive import MANIFEST, pack, unpack
from brokerage.postgres import Server
from brokerage.synthetic import ROUGH, write_firm
from tests import starter
from tests.starter import Started

SEAL = "from accounts.seals import seal_history; seal_history()"


@dataclass(frozen=True)
class Place:
    """An installation with a server of its own."""

    var: Path

    def begin(self, *arguments: str) -> Started:
        """Start a command here."""
        environment = os.environ | {"BROKERAGE_VAR": str(self.var)}
        return starter.start("manage.py", *arguments, environment=environment)

    def manage(self, *arguments: str) -> tuple[int, str, str]:
        """Run a command here: exit code, what it said, what it complained of."""
        running = self.begin(*arguments)
        out, complaint = running.communicate()
        return running.wait(), out, complaint

    def answer(self, *arguments: str) -> dict[str, Any]:
        """What a command prints as one object."""
        code, out, complaint = self.manage(*arguments)
        assert code == 0, out + complaint
        said: dict[str, Any] = json.loads(out)
        return said

    def seal(self) -> None:
        code, _, complaint = self.manage("shell", "--no-imports", "--command", SEAL)
        assert code == 0, complaint


@pytest.fixture
def place() -> Iterator[Callable[[], Place]]:
    """Empty places, whose servers are stopped and which are deleted at the end."""
    folder = Path(tempfile.mkdtemp(prefix="places-", dir=os.environ["BROKERAGE_VAR"]))
    folder.chmod(0o711)
    made: list[Place] = []

    def make() -> Place:
        made.append(Place(folder / str(len(made))))
        return made[-1]

    yield make
    for each in made:
        server = Server(each.var)
        if server.data.exists():
            server.stop()
        if server.socket_directory.parent != each.var:
            shutil.rmtree(server.socket_directory, ignore_errors=True)
    shutil.rmtree(folder)


@pytest.fixture
def days(tmp_path: Path) -> list[Path]:
    """Two days of an invented firm."""
    return write_firm(
        tmp_path / "inbox", accounts=30, seed=11, first_day=date(2031, 3, 3), days=2, profile=ROUGH
    )


def at_work(place: Place, day: Path) -> None:
    """A firm whose first day is done and sealed, with a letter in its outbox."""
    code, _, complaint = place.manage("setup")
    assert code == 0, complaint
    place.answer("cycle", "--inbox", str(day), "--json")
    place.seal()
    (place.var / "outbox").mkdir(exist_ok=True)
    (place.var / "outbox" / "letter").write_text("Dear client")


def heads(place: Place) -> list[dict[str, Any]]:
    lines = (place.var / "seals" / "heads.ndjson").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_a_backup_is_restored_proved_and_sealed_on(
    place: Callable[[], Place], days: list[Path], tmp_path: Path
) -> None:
    here, there, file = place(), place(), tmp_path / "book.tar"
    at_work(here, days[0])
    code, said, complaint = here.manage("backup", str(file))
    assert code == 0, complaint
    assert str(file) in said
    assert file.stat().st_mode & 0o777 == 0o600
    digest = here.answer("digest", "--json")
    sealed = heads(here)

    restored = there.answer("restore", str(file), "--json")
    assert restored["is_sound"]
    assert restored["digest"] == digest["digest"]
    assert restored["epoch"] == 2
    for name in ("secret_key", "outbox/letter", "keys/seal_ed25519"):
        assert (there.var / name).read_bytes() == (here.var / name).read_bytes(), name

    # The chain goes on from where it was, and so does the book.
    assert heads(there)[: len(sealed)] == sealed
    there.answer("cycle", "--inbox", str(days[1]), "--json")
    there.seal()
    assert len(heads(there)) > len(sealed) + 1
    report = there.answer("verify", "--json")
    assert (report["sound"], report["first_wrong"]) == (True, None)

    # What is there is never written over.
    code, _, complaint = there.manage("restore", str(file))
    assert (code, complaint.count("\n")) == (2, 1)
    assert "is not empty" in complaint


@pytest.mark.soak
def test_heads_that_were_kept_elsewhere_tell_what_the_backup_lacks(
    place: Callable[[], Place],
    days: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here, there, file = place(), place(), tmp_path / "book.tar"
    outside = tmp_path / "outside"
    outside.mkdir()
    monkeypatch.setenv("SEAL_HEADS", str(outside / "heads.ndjson"))
    at_work(here, days[0])
    code, _, complaint = here.manage("backup", str(file))
    assert code == 0, complaint
    here.answer("cycle", "--inbox", str(days[1]), "--json")
    here.seal()
    restored = there.answer("restore", str(file), "--json")
    assert (restored["is_sound"], restored["epoch"]) == (True, 2)
    report = there.answer("verify", "--json")
    assert report["sound"]
    (said,) = [c for c in report["checks"] if c["name"] == "heads_are_signed_and_published"]
    assert "were given up by the restore that began epoch 2" in said["detail"]


@pytest.mark.soak
def test_a_backup_taken_in_the_middle_of_a_day_ends_as_the_day_did(
    place: Callable[[], Place], days: list[Path], tmp_path: Path
) -> None:
    here = place()
    at_work(here, days[0])
    files = [tmp_path / f"book-{n}.tar" for n in range(3)]
    day = here.begin("cycle", "--inbox", str(days[1]), "--json")
    for file in files:
        code, _, complaint = here.manage("backup", str(file))
        assert code == 0, complaint
    assert day.wait() == 0
    expected = here.answer("digest", "--json")["tables"]
    for file in files:
        there = place()
        assert there.answer("restore", str(file), "--json")["is_sound"]
        there.answer("cycle", "--inbox", str(days[1]), "--json")
        assert there.answer("digest", "--json")["tables"] == expected
        there.seal()
        assert there.answer("verify", "--json")["sound"]


# ---------------------------------------------------------------- damage


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """A small archive."""
    folder = tmp_path / "parts"
    (folder / "database").mkdir(parents=True)
    (folder / "database" / "base.tar.gz").write_bytes(os.urandom(50_000))
    (folder / "seal_key").write_text("a key")
    file = tmp_path / "small.tar"
    pack(folder, file, about={"made_at": "now"})
    assert unpack(file, tmp_path / "unpacked")["made_at"] == "now"
    return file


def rewritten(file: Path, change: Callable[[str, bytes], tuple[str, bytes] | None]) -> None:
    """Write the archive again with its parts changed; None leaves one out."""
    with tarfile.open(file) as archive:
        parts = [(m.name, archive.extractfile(m)) for m in archive.getmembers()]
        changed = [change(name, stream.read()) for name, stream in parts if stream is not None]
    with tarfile.open(file, "w") as archive:
        for part in changed:
            if part is not None:
                entry = tarfile.TarInfo(part[0])
                entry.size = len(part[1])
                archive.addfile(entry, io.BytesIO(part[1]))


def edit(file: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a byte of a part": lambda f: edit(f, 20_000),
    "a byte of the first name": lambda f: edit(f, 3),
    "cut off in a part": lambda f: f.write_bytes(f.read_bytes()[:30_000]),
    "cut off before the list": lambda f: rewritten(
        f, lambda n, c: None if n == MANIFEST else (n, c)
    ),
    "empty": lambda f: f.write_bytes(b""),
    "something else": lambda f: f.write_bytes(b"Dear client " * 5000),
    "a part lost": lambda f: rewritten(f, lambda n, c: (n, c) if n != "seal_key" else None),
    "a part renamed": lambda f: rewritten(f, lambda n, c: (n.replace("seal_key", "seal_kez"), c)),
    "a part exchanged": lambda f: rewritten(f, lambda n, c: (n, c[::-1] if n == "seal_key" else c)),
    "a list of another form": lambda f: rewritten(
        f, lambda n, c: (n, c.replace(b"backup/1", b"backup/9"))
    ),
    "a list that is none": lambda f: rewritten(f, lambda n, c: (n, b"[]" if n == MANIFEST else c)),
    "a part that climbs out": lambda f: rewritten(
        f, lambda n, c: (n.replace("seal_key", "../seal_key"), c)
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_backup_is_refused_and_leaves_the_place_empty(
    packed: Path, tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    var = tmp_path / "var"
    monkeypatch.setattr(settings, "EMBEDDED_SERVER", Server(var))
    DAMAGES[damage](packed)
    with pytest.raises(CommandError, match=r"damaged|another form") as refusal:
        call_command("restore", packed)
    assert refusal.value.returncode == 2
    assert list(var.iterdir()) == []
    assert not (tmp_path / "seal_key").exists()


def test_a_backup_that_is_not_there_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "EMBEDDED_SERVER", Server(tmp_path / "var"))
    with pytest.raises(BackupRefusedError, match="There is no file"):
        restore_backup(tmp_path / "none.tar")


# ---------------------------------------------------------------- places


@pytest.mark.parametrize("there", ["postgres", "postgres.16", "seals", "keys", "outbox", "notes"])
def test_a_backup_is_restored_into_an_empty_place_alone(
    packed: Path, tmp_path: Path, there: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    var = tmp_path / "var"
    (var / there).mkdir(parents=True)
    monkeypatch.setattr(settings, "EMBEDDED_SERVER", Server(var))
    with pytest.raises(BackupRefusedError, match=rf"is not empty \({there} is there\)"):
        restore_backup(packed)
    assert [path.name for path in var.rglob("*")] == [there]


def test_a_server_of_ones_own_is_backed_up_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "EMBEDDED_SERVER", None)
    for command, file in (("backup", tmp_path / "new.tar"), ("restore", tmp_path / "old.tar")):
        with pytest.raises(CommandError, match="pg_basebackup") as refusal:
            call_command(command, file)
        assert refusal.value.returncode == 2


def test_a_backup_never_takes_the_place_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "EMBEDDED_SERVER", Server(tmp_path / "var"))
    (tmp_path / "var" / "postgres").mkdir(parents=True)
    file = tmp_path / "book.tar"
    file.write_text("the book of last week")
    with pytest.raises(BackupRefusedError, match="is there already"):
        take_backup(file)
    assert file.read_text() == "the book of last week"


def test_there_is_no_backup_of_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "EMBEDDED_SERVER", Server(tmp_path / "var"))
    with pytest.raises(BackupRefusedError, match="There is no book"):
        take_backup(tmp_path / "book.tar")
    assert not (tmp_path / "book.tar").exists()
