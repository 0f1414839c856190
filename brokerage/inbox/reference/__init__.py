"""reference.yaml: reference data and opening state of a folder of days, read strictly.

Whatever the file says twice, halfway or against itself refuses it: a book opened on a guess would
be wrong for ever.
"""

import hashlib
from pathlib import Path

from brokerage.inbox.files import decode_utf8, read_file
from brokerage.inbox.reference.opening import Standing, read_opening
from brokerage.inbox.reference.record import Record
from brokerage.inbox.reference.sections import (
    read_accounts,
    read_agreements,
    read_assets,
    read_clients,
    read_instruments,
    read_locations,
    read_pools,
)
from brokerage.inbox.reference.terms import Reference
from brokerage.inbox.reference.tree import FILE, Fields, read_tree, refused

__all__ = ["FILE", "Reference", "read_reference"]

FORMAT = "golden/1"
HOUSE_RULES = "v1"


def read_reference(path: Path, *, size_limit: int) -> Reference:
    """The reference data and opening state of a file that is consistent throughout.

    Args:
        path: where the file is; refusals call it reference.yaml.
        size_limit: largest size accepted, in bytes.

    Raises:
        FolderRefusedError: the file cannot be read, is malformed, refers to what it does not
            define, or opens with a pool that does not hold what it owes.
    """
    data = read_file(path, name=FILE, size_limit=size_limit)
    root = read_tree(decode_utf8(data, name=FILE))
    if not isinstance(root, Fields):
        raise refused("a mapping belongs here", line=root.line, path="")
    return _reference(Record(root.fields, "", root.line), sha256=hashlib.sha256(data).hexdigest())


def _reference(book: Record, *, sha256: str) -> Reference:
    _check_version(book)
    firm = book.record("firm")
    firm.check_keys("name", "as_of_time")
    assets = read_assets(book)
    instruments = read_instruments(book, assets=assets)
    locations = read_locations(book, assets=assets, instruments=instruments)
    agreements = read_agreements(book)
    clients = read_clients(book)
    accounts = read_accounts(book, clients=clients, agreements=agreements, instruments=instruments)
    standing = Standing(
        assets=assets, instruments=instruments, locations=locations, accounts=accounts
    )
    return Reference(
        firm_name=firm.text("name"),
        as_of_time=firm.time_of_day("as_of_time"),
        pools=read_pools(book),
        assets=assets,
        instruments=instruments,
        locations=locations,
        agreements=agreements,
        clients=clients,
        accounts=accounts,
        opening=read_opening(book, standing=standing),
        content_sha256=sha256,
    )


def _check_version(book: Record) -> None:
    """Refuse another format before its other keys can be called unknown."""
    if "format" in book.fields:
        book.code("format", among=(FORMAT,), what=f"{FORMAT}, the format read here")
    book.check_keys(
        "format",
        "house_rules",
        "firm",
        "pools",
        "assets",
        "instruments",
        "locations",
        "agreements",
        "clients",
        "accounts",
        "opening",
    )
    book.code("house_rules", among=(HOUSE_RULES,), what=f"{HOUSE_RULES}, the rules applied here")
