"""The bill of materials of a release, as CycloneDX 1.6, made of the lock of what is shipped.

The same lock, name and version give the same bytes: nothing in it says when or where it was made.
"""

import json
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from supply.lock import Locked, locked

FORMAT, VERSION = "CycloneDX", "1.6"


def bill_of(lock: str, *, name: str, version: str) -> bytes:
    """What a release is made of.

    Args:
        lock: text of the lock file.

    Raises:
        LockError: the lock is none.
    """
    packages = sorted(locked(lock).values(), key=lambda each: each.name)
    own = f"pkg:generic/{name}@{version}"
    return json.dumps(
        {
            "$schema": f"http://cyclonedx.org/schema/bom-{VERSION}.schema.json",
            "bomFormat": FORMAT,
            "specVersion": VERSION,
            "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, own + lock)}",
            "version": 1,
            "metadata": {
                "component": {"type": "application", "bom-ref": own, "name": name,
                              "version": version, "purl": own},
            },
            "components": [component_of(each) for each in packages],
            "dependencies": [
                {"ref": own, "dependsOn": [purl_of(each) for each in packages]},
                *({"ref": purl_of(each)} for each in packages),
            ],
        },
        indent=1,
    ).encode() + b"\n"  # fmt: skip


def purl_of(package: Locked) -> str:
    """A package as the world names it."""
    return f"pkg:pypi/{package.name}@{package.version}"


def component_of(package: Locked) -> dict[str, Any]:
    """A package; the hashes are of its files, each of which is the package for some platform."""
    said: dict[str, Any] = {
        "type": "library", "bom-ref": purl_of(package), "name": package.name,
        "version": package.version, "purl": purl_of(package),
        "externalReferences": [{
            "type": "distribution", "url": purl_of(package),
            "hashes": [{"alg": "SHA-256", "content": each} for each in package.hashes],
        }],
    }  # fmt: skip
    if package.marker:
        said["scope"] = "optional"
        said["properties"] = [{"name": "python:marker", "value": package.marker}]
    return said
