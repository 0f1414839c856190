"""Validation reports that are kept: files by number and sha256, the newest of each model last.

They lie in a folder and not in the book, because models are validated before there is one; each
is signed, so what lies there is either what was found or is refused.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from django.conf import settings

from accounts.seals.heads import report_key
from brokerage.signed import what_is_wrong

FORMAT: Final = "model-validation/1"
DIGITS: Final = 6


@dataclass(frozen=True, slots=True)
class KeptReport:
    """A file of the folder.

    Attributes:
        said: what it says; nothing where it cannot be read.
        wrong: why it cannot be relied on; empty where it can.
    """

    name: str
    content: bytes
    said: Mapping[str, Any]
    wrong: str


def folder() -> Path:
    """Where reports are kept."""
    return Path(settings.VAR) / "validation"


def keep_report(said: Mapping[str, Any]) -> Path:
    """Keep a signed report, unless it is the newest already; returns where it lies."""
    content = json.dumps(said, indent=2, sort_keys=True).encode()
    place = folder()
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    names = _names()
    digest = sha256(content).hexdigest()
    if names and names[-1].partition("-")[2] == f"{digest}.json":
        return place / names[-1]
    number = int(names[-1].partition("-")[0]) + 1 if names else 1
    path = place / f"{number:0{DIGITS}}-{digest}.json"
    draft = path.with_suffix(".draft")
    draft.write_bytes(content)
    draft.replace(path)
    return path


def kept_reports() -> list[KeptReport]:
    """Every report that is kept, in the order they came, each with what is wrong with it."""
    return [_read(folder() / name) for name in _names()]


def newest_by_model(reports: Sequence[KeptReport]) -> dict[str, KeptReport]:
    """By model the newest report that can be relied on and looks at it, failed ones included."""
    return {
        str(model["model"]): report
        for report in reports
        if not report.wrong
        for model in report.said["models"]
    }


def _names() -> list[str]:
    if not folder().is_dir():
        return []
    return sorted(path.name for path in folder().glob(f"{'[0-9]' * DIGITS}-*.json"))


def _read(path: Path) -> KeptReport:
    content = path.read_bytes()
    if path.name.partition("-")[2] != f"{sha256(content).hexdigest()}.json":
        return KeptReport(path.name, content, {}, "It is not what its name says.")
    try:
        said = json.loads(content)
    except ValueError:
        return KeptReport(path.name, content, {}, "It is no JSON.")
    if not isinstance(said, dict) or said.get("format") != FORMAT:
        return KeptReport(path.name, content, {}, f"It is no {FORMAT}.")
    wrong = what_is_wrong(said)
    if not wrong and said["public_key"] != report_key().public_key().public_bytes_raw().hex():
        wrong = "It is signed by another installation."
    return KeptReport(path.name, content, said, wrong)
