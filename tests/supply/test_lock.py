"""The lock files hold all that is installed, at the versions that were reviewed, byte for byte."""

import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
FILES = ("requirements", "requirements-dev")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Locked:
    """One package of a lock, with the hashes of all its files."""

    requirement: Requirement
    hashes: frozenset[str]


def lines_of(name: str) -> list[str]:
    """The lines of a file that say something; those that go on are joined."""
    text = (ROOT / name).read_text().replace("\\\n", " ")
    lines = (line.partition(" #")[0].strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def locked(name: str) -> dict[str, Locked]:
    """What a lock holds, by name; fails where a line is anything but a pin with hashes."""
    found: dict[str, Locked] = {}
    for line in lines_of(f"{name}.lock"):
        said, *hashes = re.split(r"\s+(?=--hash)", line)
        assert hashes, f"no hash: {line[:60]}"
        assert all(HASH.fullmatch(each) for each in hashes), line[:60]
        requirement = Requirement(said)
        assert requirement.url is None, said
        assert re.fullmatch(r"==[^*,]+", str(requirement.specifier)), f"not pinned: {said}"
        key = canonicalize_name(requirement.name)
        assert key not in found, f"{key} stands twice"
        found[key] = Locked(requirement, frozenset(hashes))
    return found


def asked(name: str) -> list[Requirement]:
    """What people ask for, with their reasons beside it."""
    return [Requirement(line) for line in lines_of(f"{name}.txt") if not line.startswith("-r ")]


@pytest.mark.parametrize("name", FILES)
def test_every_requirement_is_pinned_and_locked_at_the_same_version(name: str) -> None:
    lock, requirements = locked(name), asked(name)
    assert requirements
    for each in requirements:
        held = lock.get(canonicalize_name(each.name))
        assert held is not None, f"{each.name} is not locked: make lock"
        assert held.requirement.specifier == each.specifier, f"{each.name} differs: make lock"
        assert held.requirement.marker is None, f"{each.name} is not locked for every platform"


def test_development_runs_on_exactly_what_is_shipped() -> None:
    shipped, development = locked("requirements"), locked("requirements-dev")
    for name, held in shipped.items():
        assert development[name].hashes == held.hashes, name
        assert development[name].requirement.specifier == held.requirement.specifier, name
    assert "-r requirements.txt" in lines_of("requirements-dev.txt")


@pytest.mark.parametrize("name", FILES)
def test_what_packages_need_in_turn_is_locked_too(name: str) -> None:
    lock = locked(name)
    missing, looked_at = [], 0
    for held in lock.values():
        # `psycopg[binary,pool]` is locked as psycopg, and what its extras need beside it.
        extras = {
            "",
            *(e for a in asked(name) if a.name == held.requirement.name for e in a.extras),
        }
        try:
            needs = requires(held.requirement.name) or []
        except PackageNotFoundError:
            continue  # of another platform
        looked_at += 1
        for need in map(Requirement, needs):
            marker = need.marker
            wanted = marker is None or any(
                marker.evaluate({**default_environment(), "extra": extra}) for extra in extras
            )
            known = lock.get(canonicalize_name(need.name))
            if wanted and (known is None or not holds(need, known)):
                missing.append(f"{held.requirement.name} needs {need}")
    assert missing == []
    assert looked_at > len(lock) / 2


def holds(need: Requirement, known: Locked) -> bool:
    (pin,) = known.requirement.specifier
    return need.specifier.contains(pin.version, prereleases=True)


def test_nothing_is_installed_but_from_a_lock_with_its_hashes() -> None:
    text = (ROOT / "Makefile").read_text()
    (how,) = re.findall(r"^INSTALL := (.*)$", text, re.MULTILINE)
    assert text.count("pip install") == 1
    assert {"--require-hashes", "--only-binary=:all:"} <= set(how.split())
    assert re.findall(r"\$\(INSTALL\) -r (\S+)", text) == [f"{name}.lock" for name in FILES]
