"""A release verifies, and one byte of it that is another does not; made twice, it is the same."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from supply.bill import bill_of
from supply.lock import SHIPPED, LockError, locked
from supply.release import NAMESPACE, SUMS, ReleaseError, release, verify

NAME = "brokerage-back-office-9.9"
MAINTAINER = "maintainers@example.com"
needs_openssh = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None, reason="ssh-keygen (Debian: openssh-client) is not here"
)


def ran(*command: str | Path, **environment: str) -> None:
    subprocess.run(
        [str(each) for each in command], check=True, capture_output=True,
        env={**os.environ, **environment},
    )  # fmt: skip


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A small product of one commit."""
    root = tmp_path / "source"
    root.mkdir()
    (root / "pyproject.toml").write_text(
        '[project]\nname = "brokerage-back-office"\nversion = "9.9"\n'
    )
    shutil.copy(SHIPPED, root / "requirements.lock")
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    ran("git", "-C", root, "init", "-q")
    commit(root)
    return root


def commit(root: Path) -> None:
    when = "2031-03-03T12:00:00Z"
    ran("git", "-C", root, "add", "-A")
    ran(
        "git", "-C", root, "-c", "user.name=M", "-c", f"user.email={MAINTAINER}",
        "-c", "commit.gpgsign=false", "commit", "-qm", "All of it",
        GIT_AUTHOR_DATE=when, GIT_COMMITTER_DATE=when,
    )  # fmt: skip


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return key_of(tmp_path / "key")


def key_of(path: Path) -> Path:
    ran("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path)
    return path


@pytest.fixture
def signers(tmp_path: Path, key: Path) -> Path:
    found = tmp_path / "signers"
    public = key.with_suffix(".pub").read_text()
    found.write_text(f'{MAINTAINER} namespaces="{NAMESPACE}" {public}')
    return found


@needs_openssh
def test_a_release_verifies_and_is_the_same_bytes_each_time(
    source: Path, key: Path, signers: Path, tmp_path: Path
) -> None:
    made = release(source, key=key, out=tmp_path / "one")
    assert [each.name for each in made] == [
        SUMS, f"{SUMS}.sig", f"{NAME}.cdx.json", f"{NAME}.tar.gz",
    ]  # fmt: skip
    assert verify(made[-1], signers=signers) == MAINTAINER
    said = subprocess.check_output(["sha256sum", "--check", "--strict", SUMS], cwd=made[0].parent)
    assert said.decode().count(": OK\n") == 2, "and so by hand"
    clone = tmp_path / "clone"
    ran("git", "clone", "-q", source, clone)
    ran("git", "-C", clone, "config", "tar.umask", "0077")
    ran("git", "-C", clone, "config", "core.autocrlf", "true")
    again = release(clone, key=key, out=tmp_path / "two")
    for first, second in zip(made, again, strict=True):
        assert first.read_bytes() == second.read_bytes(), first.name


@needs_openssh
def test_one_byte_that_is_another_is_refused(
    source: Path, key: Path, signers: Path, tmp_path: Path
) -> None:
    made = release(source, key=key, out=tmp_path / "dist")
    for changed in made:
        content = changed.read_bytes()
        for at in (20, len(content) // 2, len(content) - 20):
            broken = bytearray(content)
            broken[at] ^= 1
            changed.write_bytes(broken)
            with pytest.raises(ReleaseError):
                verify(made[-1], signers=signers)
        changed.write_bytes(content)
    assert verify(made[-1], signers=signers) == MAINTAINER
    made[2].unlink()
    with pytest.raises(ReleaseError):
        verify(made[-1], signers=signers)


@needs_openssh
def test_what_others_sign_or_the_same_key_signs_for_another_end_is_none(
    source: Path, key: Path, signers: Path, tmp_path: Path
) -> None:
    made = release(source, key=key_of(tmp_path / "thief"), out=tmp_path / "dist")
    with pytest.raises(ReleaseError, match="nobody who may sign"):
        verify(made[-1], signers=signers)
    sums = made[0]
    made[1].unlink()
    ran("ssh-keygen", "-q", "-Y", "sign", "-n", "file", "-f", key, sums)
    with pytest.raises(ReleaseError, match="is not what"):
        verify(made[-1], signers=signers)
    made[1].unlink()
    # Signed by the right one, but the bill is of another lock.
    bill = made[2]
    bill.write_bytes(bill.read_bytes().replace(b"django@", b"djangx@"))
    summed = [
        subprocess.check_output(["sha256sum", each.name], cwd=each.parent).decode()
        for each in made[2:]
    ]
    sums.write_text("".join(summed))
    ran("ssh-keygen", "-q", "-Y", "sign", "-n", NAMESPACE, "-f", key, sums)
    with pytest.raises(ReleaseError, match="not of the lock"):
        verify(made[-1], signers=signers)


@needs_openssh
def test_nothing_is_released_unsigned_uncommitted_or_twice(
    source: Path, key: Path, tmp_path: Path
) -> None:
    out = tmp_path / "dist"
    with pytest.raises(ReleaseError, match="unsigned"):
        release(source, key=tmp_path / "absent", out=out)
    (tmp_path / "garbage").write_text("no key")
    with pytest.raises(ReleaseError, match="ssh-keygen"):
        release(source, key=tmp_path / "garbage", out=out)
    (source / "new.py").write_text("")
    with pytest.raises(ReleaseError, match="not committed"):
        release(source, key=key, out=out)
    assert not out.exists()
    commit(source)
    release(source, key=key, out=out)
    with pytest.raises(ReleaseError, match="once"):
        release(source, key=key, out=out)


def test_the_bill_is_cyclonedx_and_names_every_package_with_its_hashes() -> None:
    lock = SHIPPED.read_text()
    text = bill_of(lock, name="brokerage-back-office", version="9.9").decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    found = {each["name"]: each for each in json.loads(text)["components"]}
    assert found.keys() == locked(lock).keys()
    for name, held in locked(lock).items():
        (where,) = found[name]["externalReferences"]
        assert {each["content"] for each in where["hashes"]} == set(held.hashes)


@pytest.mark.parametrize(
    "line",
    ["django>=5", "django==5", "-e .", "--index-url https://evil.example/",
     "django @ https://evil.example/d.whl --hash=sha256:" + "a" * 64,
     "django==5 --hash=sha256:abc", "django==5 --hash=md5:" + "a" * 32],
)  # fmt: skip
def test_a_line_that_is_no_pin_with_hashes_is_refused(line: str) -> None:
    with pytest.raises(LockError):
        locked(line)
