"""Files in one ZIP whose bytes follow from them alone, under a signed manifest."""

import io
import json
import zipfile
from hashlib import sha256
from typing import Any, Final

from accounts.exports import exported
from brokerage.signed import signed, what_is_wrong

MANIFEST: Final = "manifest.json"
# A ZIP knows no earlier time, and a state has none.
FIXED_TIME: Final = (1980, 1, 1, 0, 0, 0)


def as_json(said: object) -> bytes:
    """JSON as files have it: exact, in one order."""
    text = json.dumps(exported(said), indent=1, ensure_ascii=False, sort_keys=True)
    return f"{text}\n".encode()


def packed(files: dict[str, bytes], *, about: dict[str, Any]) -> bytes:
    """The files with a manifest that names the sha256 of each, signed by this installation."""
    manifest = signed(
        {
            **about,
            "files": [
                {"path": path, "sha256": sha256(files[path]).hexdigest(), "bytes": len(files[path])}
                for path in sorted(files)
            ],
        }
    )
    text = json.dumps(manifest, indent=1, ensure_ascii=False, sort_keys=True)
    every = {**files, MANIFEST: f"{text}\n".encode()}
    return zipped(every)


def zipped(files: dict[str, bytes]) -> bytes:
    """The files in the order of their names, with one fixed time, not compressed."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(files):
            entry = zipfile.ZipInfo(path, date_time=FIXED_TIME)
            entry.external_attr = 0o644 << 16
            entry.create_system = 3
            archive.writestr(entry, files[path])
    return target.getvalue()


def faults(content: bytes, *, form: str, what: str) -> list[str]:
    """What is wrong with such a file, a sentence each; nothing where it is what it was.

    Args:
        form: the format that its manifest names.
        what: what people call such a file.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
            files = {name: archive.read(name) for name in names}
        manifest = json.loads(files.pop(MANIFEST))
    except (zipfile.BadZipFile, KeyError, ValueError):
        return [f"It is no {what}."]
    if not isinstance(manifest, dict) or manifest.get("format") != form:
        return [f"It is no {what}."]
    wrong = what_is_wrong(manifest)
    found = [f"{MANIFEST}: {wrong}"] if wrong else []
    if len(set(names)) != len(names):
        found.append("A name stands in it twice.")
    told = {each["path"]: each["sha256"] for each in manifest.get("files", [])}
    found += [f"{path} is not there." for path in sorted(told.keys() - files.keys())]
    found += [f"{path} is not in the manifest." for path in sorted(files.keys() - told.keys())]
    return found + [
        f"{path} was changed."
        for path in sorted(told.keys() & files.keys())
        if sha256(files[path]).hexdigest() != told[path]
    ]
