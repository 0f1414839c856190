#!/usr/bin/env python3
"""Verifies, far from any database, that an entry stands in the sealed history of a back office.

    python3 verify_proof.py proof.json --entry 812 --key PUBLIC_KEY
    python3 verify_proof.py proof.json --entry 812 --heads heads.ndjson

The proof is a file from `manage.py prove`. What you trust you bring along yourself: the public key
of the desk, or a head that it published, or your copy of its file of heads. What the proof itself
says of keys and heads counts for nothing until it agrees with that.

Prints what the entry says and exits 0; or prints one sentence why not and exits 1; 2 where it was
called wrongly. Needs Python 3.10 and nothing else. Sources: RFC 8032 (Ed25519), RFC 9162 (trees).
"""

from __future__ import annotations

import argparse
import json
import sys
from hashlib import sha256, sha512
from itertools import pairwise
from typing import Any, NamedTuple

FORMAT = "sealed entry 1"
GENESIS = bytes(32)
LEAF = b"\x00\x01"  # a leaf, of version 1
NODE = b"\x01"


class RefusedError(Exception):
    """The proof does not hold; the message is one sentence."""


# ---------------------------------------------------------------- Ed25519, RFC 8032

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)

# A point as (X, Y, Z, T) with x = X/Z, y = Y/Z and xy = T/Z.
Point = tuple[int, int, int, int]
IDENTITY: Point = (0, 1, 1, 0)


def add(one: Point, other: Point) -> Point:
    """Sum of two points; section 5.1.4."""
    a = (one[1] - one[0]) * (other[1] - other[0]) % P
    b = (one[1] + one[0]) * (other[1] + other[0]) % P
    c = 2 * one[3] * other[3] * D % P
    d = 2 * one[2] * other[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def times(scalar: int, point: Point) -> Point:
    """A point added to itself so many times."""
    total = IDENTITY
    while scalar:
        if scalar & 1:
            total = add(total, point)
        point = add(point, point)
        scalar >>= 1
    return total


def is_same(one: Point, other: Point) -> bool:
    """Whether two points are one."""
    return (one[0] * other[2] - other[0] * one[2]) % P == 0 and (
        one[1] * other[2] - other[1] * one[2]
    ) % P == 0


def point_of(encoded: bytes) -> Point | None:
    """The point behind 32 bytes; None where they are none, or not written in the one way that is
    allowed; section 5.1.3."""
    if len(encoded) != 32:
        return None
    number = int.from_bytes(encoded, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


BASE = point_of((4 * pow(5, P - 2, P) % P).to_bytes(32, "little")) or IDENTITY


def is_signed(message: bytes, signature: bytes, key: bytes) -> bool:
    """Whether a signature is the key's; section 5.1.7. A key that would take any message for
    signed (a point of small order) signs nothing here."""
    if len(signature) != 64:
        return False
    public, commitment = point_of(key), point_of(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if public is None or commitment is None or scalar >= ORDER:
        return False
    if is_same(times(8, public), IDENTITY):
        return False
    digest = sha512(signature[:32] + key + message).digest()
    challenge = int.from_bytes(digest, "little") % ORDER
    return is_same(times(scalar, BASE), add(commitment, times(challenge, public)))


# ---------------------------------------------------------------- the proof


def hexed(text: object, length: int) -> bytes:
    """Bytes written in hexadecimal, of a fixed length."""
    if not isinstance(text, str) or len(text) != 2 * length or text != text.lower():
        raise ValueError
    return bytes.fromhex(text)


def whole(number: object) -> int:
    """A number that fits eight bytes."""
    if type(number) is not int or not 0 <= number < 2**64:
        raise ValueError
    return number


class Block:
    """The header of a block: everything that its head is the hash of."""

    def __init__(self, said: dict[str, Any]) -> None:
        self.previous = hexed(said["previous_hash"], 32)
        self.root = hexed(said["root"], 32)
        names = ("number", "epoch", "from_xid", "to_xid", "leaf_count")
        self.numbers = [whole(said[name]) for name in names]
        self.number, self.epoch, _, _, self.leaf_count = self.numbers
        self.layout = said["layout"]
        self.head = sha256(
            self.previous
            + self.root
            + b"".join(number.to_bytes(8, "big") for number in self.numbers)
            + json.dumps(self.layout, sort_keys=True, separators=(",", ":")).encode()
        ).digest()


class Proof:
    """What the file says, read and not believed yet."""

    def __init__(self, said: dict[str, Any]) -> None:
        if said["format"] != FORMAT:
            raise ValueError
        self.table, self.key = str(said["table"]), str(said["key"])
        self.text = str(said["text"])
        self.position = whole(said["position"])
        self.path = [hexed(step, 32) for step in said["path"]]
        self.blocks = [Block(block) for block in said["blocks"]]
        self.signature = hexed(said["signature"], 64)
        if not self.blocks:
            raise ValueError


def read_proof(path: str) -> Proof:
    """The proof in a file."""
    try:
        with open(path, encoding="utf-8") as file:
            return Proof(json.load(file))
    except OSError as error:
        raise RefusedError(f"The proof cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RefusedError("The file is no whole proof of this format.") from error


def root_over(leaf: bytes, position: int, count: int, path: list[bytes]) -> bytes:
    """The root that a leaf, its place and its path come to; RFC 9162, section 2.1.3.2."""
    place, last, node = position, count - 1, leaf
    if place > last:
        raise RefusedError("The proof places the entry behind the last leaf of its block.")
    for step in path:
        if last == 0:
            raise RefusedError("The path of the proof is too long for its block.")
        if place & 1 or place == last:
            node = sha256(NODE + step + node).digest()
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            node = sha256(NODE + node + step).digest()
        place, last = place >> 1, last >> 1
    if last:
        raise RefusedError("The path of the proof is too short for its block.")
    return node


def check_inclusion(proof: Proof) -> None:
    """The entry's text is a leaf of its block."""
    leaf = sha256(LEAF + proof.text.encode()).digest()
    block = proof.blocks[0]
    if root_over(leaf, proof.position, block.leaf_count, proof.path) != block.root:
        raise RefusedError("The entry and its path do not give the root of the block.")


def check_chain(blocks: list[Block]) -> None:
    """Each block follows from the one before it."""
    for before, after in pairwise(blocks):
        if after.previous != before.head or after.number != before.number + 1:
            raise RefusedError(f"Block {after.number} does not follow from block {before.number}.")


# ---------------------------------------------------------------- what the entry says


class Row(NamedTuple):
    """A row in the leaf: its table, and its columns by name."""

    table: str
    fields: dict[str, str | None]


def read_record(text: str, start: int) -> tuple[list[str | None], int]:
    """A row as PostgreSQL prints it, from its opening parenthesis: the fields, None for NULL, and
    where it ends."""
    fields: list[str | None] = []
    at = start + 1
    while True:
        field, is_quoted = "", False
        while text[at] not in ",)":
            if text[at] == '"':
                is_quoted, at = True, at + 1
                while text[at] != '"' or text[at + 1] == '"':
                    at += 2 if text[at] in '"\\' and text[at + 1] == text[at] else 1
                    field += text[at - 1]
                at += 1
            else:
                field += text[at]
                at += 1
        fields.append(field if field or is_quoted else None)
        at += 1
        if text[at - 1] == ")":
            return fields, at


def rows_of(proof: Proof) -> list[Row]:
    """The rows in the leaf, as the layout of the block reads them."""
    layout = proof.blocks[0].layout[proof.table]
    tables = {part["table"]: part for part in layout["parts"]}
    tables[proof.table] = layout
    at = 0
    found: list[Row] = []
    while at < len(proof.text):
        opening = proof.text.index("(", at)
        table = proof.text[at:opening]
        fields, at = read_record(proof.text, opening)
        names = tables[table]["columns"]
        columns = [name[6:-1] if name.startswith("bytes(") else name for name in names]
        if len(fields) != len(columns):
            raise ValueError
        found.append(Row(table, dict(zip(columns, fields, strict=True))))
    return found


def check_rows(proof: Proof) -> list[Row]:
    """The leaf is a row of the table and under the key that the proof names."""
    try:
        rows = rows_of(proof)
        table = rows[0].table
        key = "/".join(
            str(rows[0].fields[name]) for name in proof.blocks[0].layout[proof.table]["key"]
        )
    except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
        raise RefusedError("The leaf does not read as the rows that its block has.") from error
    if (table, key) != (proof.table, proof.key):
        raise RefusedError(f"The proof is of {table} {key}, not of {proof.table} {proof.key}.")
    return rows


# ---------------------------------------------------------------- what the holder trusts


def trusted_heads(path: str) -> dict[tuple[int, int], bytes]:
    """The heads in a copy of the published file, by epoch and number."""
    heads = {}
    try:
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                said = json.loads(line)
                if "head" in said:
                    heads[said.get("epoch", 1), said["number"]] = hexed(said["head"], 32)
    except OSError as error:
        raise RefusedError(f"The heads cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise RefusedError("A line of the heads cannot be read.") from error
    return heads


def check_trust(proof: Proof, asked: argparse.Namespace) -> None:
    """The chain of the proof ends in, or passes through, what the holder trusts."""
    last = proof.blocks[-1]
    if asked.key is not None and not is_signed(last.head, proof.signature, asked.key):
        raise RefusedError(f"The head of block {last.number} is not signed by this key.")
    if asked.head is not None and all(block.head != asked.head for block in proof.blocks):
        raise RefusedError("The chain of the proof does not come to this head.")
    if asked.heads is not None:
        heads = trusted_heads(asked.heads)
        known = [b for b in proof.blocks if (b.epoch, b.number) in heads]
        if not known:
            raise RefusedError("No block of the proof is among these heads.")
        for block in known:
            if heads[block.epoch, block.number] != block.head:
                raise RefusedError(f"Block {block.number} has another head than the published one.")


def verify(asked: argparse.Namespace) -> str:
    """Everything; returns what there is to say."""
    proof = read_proof(asked.proof)
    if asked.entry is not None and (asked.table, asked.entry) != (proof.table, proof.key):
        raise RefusedError(
            f"The proof is of {proof.table} {proof.key}, not of {asked.table} {asked.entry}."
        )
    check_inclusion(proof)
    check_chain(proof.blocks)
    check_trust(proof, asked)
    rows = check_rows(proof)
    block = proof.blocks[0]
    said = [
        f"{proof.table} {proof.key} stands in block {block.number} of epoch {block.epoch},"
        f" head {block.head.hex()}."
    ]
    for row in rows:
        fields = (f"{name}={'NULL' if v is None else v}" for name, v in row.fields.items())
        said.append(f"  {row.table}: {', '.join(fields)}")
    return "\n".join(said)


def trusted_bytes(text: str) -> bytes:
    """A key or a head as it is given on the command line."""
    try:
        return hexed(text.lower(), 32)
    except ValueError:
        raise argparse.ArgumentTypeError("64 hexadecimal digits are needed") from None


def main(arguments: list[str]) -> int:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description="Verify that an entry stands in sealed history.")
    parser.add_argument("proof", help="file from `manage.py prove`")
    parser.add_argument("--entry", help="the entry it must be of")
    parser.add_argument("--table", default="ledger_entry", help="its table, if it is no entry")
    parser.add_argument("--key", type=trusted_bytes, help="the desk's public key")
    parser.add_argument("--head", type=trusted_bytes, help="a head that was published")
    parser.add_argument("--heads", help="a copy of the file of published heads")
    asked = parser.parse_args(arguments)
    if asked.key is None and asked.head is None and asked.heads is None:
        parser.error("name what you trust: --key, --head or --heads")
    try:
        said = verify(asked)
    except RefusedError as refused:
        sys.stdout.write(f"REFUSED: {refused}\n")
        return 1
    sys.stdout.write(said + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
