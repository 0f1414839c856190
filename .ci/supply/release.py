"""A release: the source, what it is made of, their sums, and a signature over the sums.

`make release` and `make verify-release`. The same commit gives the same bytes, so anybody can
make the archive again and compare. What is verified is verified with git's and OpenSSH's programs
and the standard library alone.
"""

import argparse
import gzip
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

from supply.bill import bill_of
from supply.lock import ROOT, LockError

SUMS, SIGNATURE = "SHA256SUMS", "SHA256SUMS.sig"
# A signature of the same key for anything else is none of a release.
NAMESPACE = "brokerage-back-office-release"
SUM = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9][A-Za-z0-9._-]*)")
LENGTH_MAX = 200_000_000
# Nothing that a person has set for themselves may change the bytes.
PLAIN = (
    "-c", "tar.umask=0022", "-c", "core.autocrlf=false", "-c", "core.eol=lf",
    "-c", "core.attributesFile=/dev/null",
)  # fmt: skip


class ReleaseError(Exception):
    """Not released, or not what it says it is; one sentence for people."""


def ran(*command: str | Path, given: bytes = b"") -> bytes:
    """What a program prints.

    Raises:
        ReleaseError: it is not there, or says no.
    """
    program = shutil.which(str(command[0]))
    if program is None:
        raise ReleaseError(f"{command[0]} is needed and is not installed.")
    said = subprocess.run(  # noqa: S603 - our own words and the paths that were given
        [program, *map(str, command[1:])], input=given, capture_output=True, check=False
    )
    if said.returncode != 0:
        last = said.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no reason given"]
        raise ReleaseError(f"{command[0]} {command[1]}: {last[0]}")
    return said.stdout


def git(root: Path, *words: str) -> bytes:
    """What git says of a work tree."""
    return ran("git", "-C", root, *PLAIN, *words)


def release(root: Path, *, key: Path, out: Path) -> list[Path]:
    """Make a release of the commit that is checked out; returns its files.

    Raises:
        ReleaseError: the tree is not clean, there is a release of this version already, or
            nobody signs it.
    """
    if not key.is_file():
        raise ReleaseError(f"{key} is no key; nothing is released unsigned.")
    if git(root, "status", "--porcelain", "--untracked-files=normal"):
        raise ReleaseError("There is something here that is not committed.")
    commit = git(root, "rev-parse", "--verify", "HEAD").decode().strip()
    project = tomllib.loads(git(root, "show", f"{commit}:pyproject.toml").decode())["project"]
    name, version = project["name"], project["version"]
    folder = out / version
    if folder.exists():
        raise ReleaseError(f"{folder} is there already; a version is released once.")
    whole = f"{name}-{version}"
    lock = git(root, "show", f"{commit}:requirements.lock").decode()
    files = {
        f"{whole}.tar.gz": archive_of(root, commit, prefix=whole),
        f"{whole}.cdx.json": bill_of(lock, name=name, version=version),
    }
    sums = "".join(f"{hashlib.sha256(files[each]).hexdigest()}  {each}\n" for each in sorted(files))
    signature = ran(
        "ssh-keygen", "-q", "-Y", "sign", "-n", NAMESPACE, "-f", key, given=sums.encode()
    )
    folder.mkdir(parents=True)
    for each, content in {**files, SUMS: sums.encode(), SIGNATURE: signature}.items():
        (folder / each).write_bytes(content)
    return sorted(folder.iterdir())


def archive_of(root: Path, commit: str, *, prefix: str) -> bytes:
    """The files of a commit, in the order of their names, all of the commit's time."""
    tar = git(root, "archive", "--format=tar", f"--prefix={prefix}/", commit)
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=packed, mtime=0) as file:
        file.write(tar)
    return packed.getvalue()


def verify(file: Path, *, signers: Path) -> str:
    """Who signed the release that a file belongs to, after all of it has been looked at.

    Args:
        file: the archive, with sums, signature and bill beside it.
        signers: who may sign, as `ssh-keygen -Y verify` reads it; from another place than the
            release.

    Raises:
        ReleaseError: anything of it is not what was signed.
    """
    folder = file.parent
    for each in (file, folder / SUMS, folder / SIGNATURE, signers):
        if not each.is_file():
            raise ReleaseError(f"{each} is not there.")
    said = (folder / SUMS).read_bytes()
    signer = signer_of(said, folder / SIGNATURE, signers=signers)
    sums = {}
    for line in said.decode().splitlines():
        found = SUM.fullmatch(line)
        if found is None:
            raise ReleaseError(f"{SUMS} has a line that is no sum.")
        sums[found[2]] = found[1]
    if file.name not in sums:
        raise ReleaseError(f"{file.name} is not among what was signed.")
    contents = {name: content_of(folder / name) for name in sums}
    for name, content in contents.items():
        if hashlib.sha256(content).hexdigest() != sums[name]:
            raise ReleaseError(f"{name} is not what was signed.")
    check_bill(contents)
    return signer


def content_of(path: Path) -> bytes:
    """A file of the release, unless it is too large to be one."""
    if not path.is_file() or path.stat().st_size > LENGTH_MAX:
        raise ReleaseError(f"{path.name} is not there, or too large.")
    return path.read_bytes()


def signer_of(sums: bytes, signature: Path, *, signers: Path) -> str:
    """Whose signature it is, among those who may sign."""
    about = ("-n", NAMESPACE, "-s", signature, "-f", signers)
    try:
        found = ran("ssh-keygen", "-Y", "find-principals", "-s", signature, "-f", signers)
    except ReleaseError as error:
        raise ReleaseError("The signature is of nobody who may sign.") from error
    signer = found.decode().splitlines()[0]
    try:
        ran("ssh-keygen", "-Y", "verify", "-I", signer, *about, given=sums)
    except ReleaseError as error:
        raise ReleaseError(f"{SUMS} is not what {signer} signed.") from error
    return signer


def check_bill(contents: dict[str, bytes]) -> None:
    """The bill is the one that the lock inside the archive makes."""
    for name, content in contents.items():
        if not name.endswith(".tar.gz"):
            continue
        whole = name.removesuffix(".tar.gz")
        title, _, version = whole.rpartition("-")
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            try:
                lock = archive.extractfile(f"{whole}/requirements.lock")
            except KeyError:
                lock = None
            text = "" if lock is None else lock.read(LENGTH_MAX).decode()
        try:
            expected = bill_of(text, name=title, version=version)
        except LockError as error:
            raise ReleaseError(f"The lock in {name} is none: {error}") from error
        if not text or contents.get(f"{whole}.cdx.json") != expected:
            raise ReleaseError(f"The bill of materials is not of the lock in {name}.")


def main(arguments: Sequence[str]) -> int:
    """Release, or verify a release."""
    parser = argparse.ArgumentParser(description=__doc__)
    acts = parser.add_subparsers(dest="act", required=True)
    one = acts.add_parser("make", help="a release of the commit that is checked out")
    one.add_argument("--key", required=True, help="the private key that signs it, a file")
    one.add_argument("--out", type=Path, default=ROOT / "dist")
    two = acts.add_parser("verify", help="whether a release is what was signed")
    two.add_argument("file", type=Path)
    two.add_argument("--signers", type=Path, required=True)
    said = parser.parse_args(arguments)
    try:
        if said.act == "verify":
            signer = verify(said.file, signers=said.signers)
            sys.stdout.write(f"{said.file.name} is what {signer} signed.\n")
        else:
            made = release(ROOT, key=Path(os.path.expanduser(said.key)), out=said.out)
            sys.stdout.writelines(f"{each}\n" for each in made)
    except ReleaseError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
