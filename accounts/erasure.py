"""Erasing a person: agreed to by two, then the key is destroyed and the name taken from every text.

Which keys were destroyed stands outside the database too, signed like the heads of seals, so that
a restored backup cannot bring a person back.
"""

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from accounts.audit import Actor, RefusedError, acting, refusals
from accounts.models import (
    Approval,
    Bucket,
    Client,
    Erasure,
    LegalEntity,
    MarginAccount,
    SealEpoch,
)
from accounts.personal import ERASED
from accounts.redaction import Name, take_out, take_out_of_files
from accounts.seals.heads import is_signed, own_public_key, signing_key

REASON_MIN = 10


class CannotEraseError(Exception):
    """Somebody cannot be erased now; the message says why, for the desk."""


@dataclass(frozen=True)
class Erased:
    """What an erasure did.

    Attributes:
        rows: how many rows of which table said the name.
        files: which files did.
    """

    rows: dict[str, int]
    files: tuple[Path, ...]


Obstacle = Callable[[Client], str]
_obstacles: list[Obstacle] = []


def register_obstacle(obstacle: Obstacle) -> None:
    """Have an app say why a client cannot be erased now; "" where it knows no reason."""
    if obstacle not in _obstacles:
        _obstacles.append(obstacle)


def check_reason(client: Client, reason: str) -> None:
    """Refuse a reason that says the name: it stays in the record for ever.

    Raises:
        RefusedError: `reason_names_nobody`.
    """
    if client.person_key.key is not None and Name(client.name).cover(reason) != reason:
        raise RefusedError(
            "reason_names_nobody", f"say client {client.code}, not the name: the reason is kept"
        )


# ---------------------------------------------------------------- erasing


def erase(approval: Approval) -> Erased:
    """Do what two people agreed to; call inside an act.

    Raises:
        RefusedError: a rule keeps the person: a hold, the earliest date, money in the book.
    """
    client = Client.objects.named().filter(pk=approval.payload["client"]).first()
    if client is not None:
        for obstacle in _obstacles:
            if why := obstacle(client):
                raise RefusedError("erasure_waits_for_its_client", why)
    name = client.name if client is not None else ERASED
    with refusals(), connection.cursor() as cursor:
        cursor.execute("SELECT accounts.erase_person(%s)", [approval.pk])
        (erasure_id,) = cursor.fetchone()
    rows, files = clean(name, erasure_id=erasure_id)
    transaction.on_commit(publish_destroyed)
    return Erased(rows, tuple(files))


def clean(name: str, *, erasure_id: int) -> tuple[dict[str, int], list[Path]]:
    """Take a name out of rows and files, unless it is also a code, which cannot be told apart."""
    if is_a_code(name):
        return {}, []
    with refusals():
        rows = take_out(name, erasure_id=erasure_id)
    return rows, take_out_of_files(name, folders=written_folders(), besides=server_folders())


def is_a_code(name: str) -> bool:
    """Whether something of the book goes by the same text."""
    said = name.strip()
    return len(said) < 2 or any(
        rows.filter(code__iexact=said).exists()
        for rows in (
            Client.objects.all(),
            MarginAccount.objects.all(),
            Bucket.objects.all(),
            LegalEntity.objects.all(),
        )
    )


def written_folders() -> list[Path]:
    """Where the product writes files."""
    return [Path(settings.VAR)]


def server_folders() -> list[Path]:
    """The database's own files, secrets, and backups: nothing of it is text of ours."""
    root = Path(settings.VAR)
    own = [root / name for name in ("keys", "run", "backups", "seals", "upgrade")]
    own += [folder for folder in root.glob("postgres*") if folder.is_dir()]
    if settings.EMBEDDED_SERVER is not None:
        own.append(Path(settings.EMBEDDED_SERVER.data))
    return own


# ---------------------------------------------------------------- the list outside


def list_of_destroyed() -> Path:
    """The file of destroyed keys, beside the published heads."""
    heads = Path(settings.SEAL_HEADS)
    return heads.with_name(f"erased-{heads.name}")


def _line(key: UUID) -> str:
    signature = signing_key(may_make=True).sign(b"erased" + key.bytes)
    return json.dumps({"key": str(key), "signature": signature.hex()})


def destroyed_keys(path: Path | None = None) -> list[UUID]:
    """Keys that the list says are destroyed.

    Raises:
        CannotEraseError: a line of the file cannot be read.
    """
    path = list_of_destroyed() if path is None else path
    if not path.exists():
        return []
    found = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        try:
            found.append(UUID(json.loads(line)["key"]))
        except (ValueError, KeyError, TypeError) as error:
            raise CannotEraseError(f"{path}, line {number}: this is no destroyed key.") from error
    return found


def signed_keys() -> set[UUID]:
    """Keys in the list whose line is signed by the key of this place, or of an earlier epoch's."""
    path = list_of_destroyed()
    if not path.exists():
        return set()
    publics = [own_public_key(), *SealEpoch.objects.values_list("public_key", flat=True)]
    found = set()
    for line in path.read_text().splitlines():
        said = json.loads(line)
        key, signature = UUID(said["key"]), bytes.fromhex(said["signature"])
        if any(p and is_signed(b"erased" + key.bytes, signature, bytes(p)) for p in publics):
            found.add(key)
    return found


def publish_destroyed() -> int:
    """Add every destroyed key to the list that is not in it; returns how many."""
    path = list_of_destroyed()
    known = set(destroyed_keys(path))
    wanted = Erasure.objects.order_by("pk").values_list("person_key_id", flat=True)
    missing = [key for key in wanted if key not in known]
    if not missing:
        return 0
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.open("a") as file:
        file.writelines(f"{_line(key)}\n" for key in missing)
        file.flush()
        os.fsync(file.fileno())
    return len(missing)


def erase_again(keys: Iterable[UUID], *, actor: Actor) -> int:
    """Destroy keys on a restored book that were destroyed before; returns how many people."""
    wanted = list(keys)
    names = {
        client.person_key_id: client.name
        for client in Client.objects.named().filter(
            person_key__in=wanted, person_key__key__isnull=False
        )
    }
    if not names:
        return 0
    with acting(actor, reason="Erase again who was erased before the backup was restored"):
        with connection.cursor() as cursor:
            cursor.execute("SELECT erasure_id, key_id FROM accounts.erase_again(%s)", [wanted])
            done = cursor.fetchall()
        for erasure_id, key in done:
            clean(names[key], erasure_id=erasure_id)
        transaction.on_commit(publish_destroyed)
    return len(done)
