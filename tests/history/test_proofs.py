"""Anybody with the script, the proof and a key or a head can tell that an entry is sealed."""

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256, sha512
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.management import call_command
from django.core.management.base import CommandError

from accounts.models import SealBlock
from accounts.seals.proof import ProofRefusedError, prove
from accounts.seals.published import heads_file, place_key
from accounts.seals.tree import merkle_path, merkle_root
from ledger.models import Posting
from tests.conftest import ROOT
from tests.history.book import Book, seal
from tests.history.tampering import Superuser, entry_of, tamper

VERIFIER = ROOT / "docs" / "offline" / "verify_proof.py"
Proof = dict[str, Any]
Check = Callable[..., "subprocess.CompletedProcess[str]"]


def script() -> dict[str, Any]:
    """The functions of the script, loaded as a stranger would: from the file alone."""
    names: dict[str, Any] = {"__name__": "verify_proof"}
    exec(compile(VERIFIER.read_text(), str(VERIFIER), "exec"), names)
    return names


SCRIPT = script()


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Run the script in an empty place, without anything installed."""
    alone = tmp_path / "verify_proof.py"
    alone.write_text(VERIFIER.read_text())

    def run(proof: Proof | str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        file = tmp_path / "proof.json"
        file.write_text(proof if isinstance(proof, str) else json.dumps(proof))
        return subprocess.run(
            [sys.executable, "-I", "-S", str(alone), str(file), *arguments],
            cwd=tmp_path, capture_output=True, text=True, check=False, env={},
        )  # fmt: skip

    return run


def key() -> str:
    found = place_key()
    assert found is not None
    return found.hex()


def head(number: int) -> str:
    return bytes(SealBlock.objects.get(number=number).head_hash).hex()


def test_an_entry_is_proved_to_who_has_the_key(
    book: Book, superuser: Superuser, check: Check
) -> None:
    entry = entry_of(superuser, "d-2")
    done = check(prove(str(entry)), "--entry", str(entry), "--key", key())
    assert (done.returncode, done.stderr) == (0, "")
    first, *rows = done.stdout.splitlines()
    assert first == f"ledger_entry {entry} stands in block 1 of epoch 1, head {head(1)}."
    assert [row.split(":")[0].strip() for row in rows] == [
        "ledger_entry", "ledger_entrykey", "ledger_posting", "ledger_posting",
    ]  # fmt: skip
    assert "kind_id=deposit" in rows[0]
    assert "amount=50" in rows[2] + rows[3]
    assert "amount=-50" in rows[2] + rows[3]


def test_an_entry_is_proved_to_who_has_a_head_or_the_file_of_heads(
    book: Book, superuser: Superuser, check: Check, tmp_path: Path
) -> None:
    kept = tmp_path / "kept.ndjson"
    kept.write_text(heads_file().read_text())
    direct = prove(str(entry_of(superuser, "d-2")))
    assert check(direct, "--head", head(1)).returncode == 0
    assert check(direct, "--heads", str(kept)).returncode == 0
    assert check(direct, "--head", head(2)).stdout == (
        "REFUSED: The chain of the proof does not come to this head.\n"
    )
    through = prove(str(entry_of(superuser, "d-2")), up_to=2)
    assert [block["number"] for block in through["blocks"]] == [1, 2]
    for trusted in (("--head", head(2)), ("--head", head(1)), ("--key", key())):
        assert check(through, *trusted).returncode == 0
    kept.write_text(kept.read_text().splitlines(keepends=True)[1])
    assert check(through, "--heads", str(kept)).returncode == 0
    assert check(direct, "--heads", str(kept)).stdout == (
        "REFUSED: No block of the proof is among these heads.\n"
    )


def test_every_row_of_every_leaf_is_proved(book: Book, superuser: Superuser, check: Check) -> None:
    leaves = superuser.execute(
        "SELECT DISTINCT ON (source, block_id) source, row_key FROM accounts_sealleaf"
    ).fetchall()
    assert {source for source, _ in leaves} >= {
        "accounts_act", "accounts_auditrow", "accounts_sealblock", "accounts_sealepoch",
        "ledger_entry", "ledger_pool",
    }  # fmt: skip
    for source, row_key in leaves:
        proof = prove(f"{source}/{row_key}")
        done = check(proof, "--table", source, "--entry", row_key, "--key", key())
        assert done.returncode == 0, done.stdout


def root_or_none(leaf: bytes, place: int, count: int, path: list[bytes]) -> bytes | None:
    try:
        return bytes(SCRIPT["root_over"](leaf, place, count, path))
    except SCRIPT["RefusedError"]:
        return None


def test_every_leaf_of_a_block_has_its_path_and_no_other() -> None:
    for count in range(1, 40):
        leaves = [sha256(bytes([n])).digest() for n in range(count)]
        root = merkle_root(leaves)
        for place, leaf in enumerate(leaves):
            path = merkle_path(leaves, place)
            assert root_or_none(leaf, place, count, path) == root
            assert root_or_none(leaf, place, count, [*path, root]) != root
            assert root_or_none(leaf, place, count, path[:-1]) != root or not path
            elsewhere = (place + 1) % count
            assert root_or_none(leaf, elsewhere, count, path) != root or count == 1


def test_a_posting_and_a_key_are_proved_by_their_entry(book: Book, superuser: Superuser) -> None:
    entry = entry_of(superuser, "t-1")
    posting = Posting.objects.filter(entry_id=entry).order_by("account_id")[0]
    by_id = prove(str(entry))
    assert prove("t-1") == by_id
    assert prove("ledger_entrykey/t-1") == by_id
    assert prove(f"ledger_posting/{posting.account_id}/{posting.account_seq}") == by_id


# What a forger could change, and what the script says.
FORGERIES: dict[str, tuple[Callable[[Proof], object], str]] = {
    "another amount": (
        lambda p: p.update(text=p["text"].replace("50", "51")),
        "The entry and its path do not give the root of the block.",
    ),
    "another entry": (
        lambda p: p.update(key="999"),
        "The proof is of ledger_entry 999, not of ledger_entry {entry}.",
    ),
    "another table": (
        lambda p: p.update(table="ledger_loss"),
        "The proof is of ledger_loss {entry}, not of ledger_entry {entry}.",
    ),
    "a step of the path": (
        lambda p: p["path"].__setitem__(0, "00" * 32),
        "The entry and its path do not give the root of the block.",
    ),
    "a step less": (lambda p: p["path"].pop(), "The path of the proof is too short for its block."),
    "a step more": (
        lambda p: p["path"].append("00" * 32),
        "The path of the proof is too long for its block.",
    ),
    "another place": (
        lambda p: p.update(position=p["position"] ^ 1),
        "The entry and its path do not give the root of the block.",
    ),
    "a place behind the end": (
        lambda p: p.update(position=p["blocks"][0]["leaf_count"]),
        "The proof places the entry behind the last leaf of its block.",
    ),
    "a negative place": (
        lambda p: p.update(position=-1),
        "The file is no whole proof of this format.",
    ),
    "another root": (
        lambda p: p["blocks"][0].update(root="00" * 32),
        "The entry and its path do not give the root of the block.",
    ),
    "another count": (
        lambda p: p["blocks"][0].update(leaf_count=2**64),
        "The file is no whole proof of this format.",
    ),
    "another epoch": (
        lambda p: p["blocks"][0].update(epoch=2),
        "Block 2 does not follow from block 1.",
    ),
    "another stretch": (
        lambda p: p["blocks"][0].update(to_xid=9),
        "Block 2 does not follow from block 1.",
    ),
    "another layout": (
        lambda p: p["blocks"][0]["layout"]["ledger_entry"]["columns"].reverse(),
        "Block 2 does not follow from block 1.",
    ),
    "a later block": (
        lambda p: p["blocks"][1].update(root="00" * 32),
        "The head of block 2 is not signed by this key.",
    ),
    "a block left out": (
        lambda p: p["blocks"].pop(),
        "The head of block 1 is not signed by this key.",
    ),
    "no block": (lambda p: p["blocks"].clear(), "The file is no whole proof of this format."),
    "another signature": (
        lambda p: p.update(signature="00" * 64),
        "The head of block 2 is not signed by this key.",
    ),
    "a short signature": (
        lambda p: p.update(signature=p["signature"][:-2]),
        "The file is no whole proof of this format.",
    ),
    "no text": (lambda p: p.pop("text"), "The file is no whole proof of this format."),
    "another format": (
        lambda p: p.update(format="sealed entry 2"),
        "The file is no whole proof of this format.",
    ),
}


def test_a_forged_proof_is_refused_in_one_sentence(
    book: Book, superuser: Superuser, check: Check
) -> None:
    entry = str(entry_of(superuser, "d-2"))
    proof = prove(entry, up_to=2)
    assert check(proof, "--entry", entry, "--key", key()).returncode == 0
    for forgery, (change, sentence) in FORGERIES.items():
        forged = copy.deepcopy(proof)
        change(forged)
        done = check(forged, "--entry", entry, "--key", key())
        assert done.stdout == f"REFUSED: {sentence.format(entry=entry)}\n", forgery
        assert (done.returncode, done.stderr) == (1, "")


def test_a_proof_of_another_entry_or_under_another_key_is_refused(
    book: Book, superuser: Superuser, check: Check
) -> None:
    entry, other = str(entry_of(superuser, "d-1")), str(entry_of(superuser, "d-2"))
    proof = prove(entry)
    done = check(proof, "--entry", other, "--key", key())
    assert done.stdout == (
        f"REFUSED: The proof is of ledger_entry {entry}, not of ledger_entry {other}.\n"
    )
    # Whoever renames the proof is contradicted by the leaf itself.
    done = check(proof | {"key": other}, "--entry", other, "--key", key())
    assert done.stdout == (
        f"REFUSED: The proof is of ledger_entry {entry}, not of ledger_entry {other}.\n"
    )
    stranger = Ed25519PrivateKey.generate()
    public = stranger.public_key().public_bytes_raw().hex()
    assert check(proof, "--key", public).returncode == 1
    # A proof brings a key along; nobody takes its word for it.
    forged = proof | {
        "public_key": public,
        "signature": stranger.sign(bytes.fromhex(proof["head"])).hex(),
    }
    assert check(forged, "--key", key()).returncode == 1


def test_what_is_no_proof_is_refused(book: Book, check: Check, tmp_path: Path) -> None:
    text = json.dumps(prove("d-1"))
    for broken in (text[: len(text) // 2], "", "[]", "null", '"x"', "[" * 5000, "\x00"):
        done = check(broken, "--key", key())
        assert done.stdout == "REFUSED: The file is no whole proof of this format.\n"
        assert (done.returncode, done.stderr) == (1, "")
    done = check(text)
    assert done.returncode == 2
    assert "name what you trust" in done.stderr
    assert check(text, "--key", "ab").returncode == 2
    done = check(text, "--heads", str(tmp_path / "nowhere"))
    assert done.stdout == "REFUSED: The heads cannot be read: No such file or directory.\n"


def test_what_is_not_there_or_not_sealed_or_changed_has_no_proof(
    book: Book, superuser: Superuser
) -> None:
    young = book.deposit("A-1", "1", key="young")
    for asked, sentence in {
        "999999": "There is no ledger_entry 999999.",
        "nobody": "There is no ledger_entrykey nobody.",
        "ledger_pool/x": "There is no ledger_pool x.",
        "ledger_posting/1": "There is no ledger_posting 1.",
        str(young): f"ledger_entry {young} is not sealed yet.",
    }.items():
        with pytest.raises(ProofRefusedError, match=sentence):
            prove(asked)
    seal()
    assert prove(str(young))["blocks"][0]["number"] == 3
    with pytest.raises(ProofRefusedError, match="There is no block 9"):
        prove(str(young), up_to=9)
    tamper(superuser, f"UPDATE ledger_entry SET reference = 'x' WHERE id = {young}")
    with pytest.raises(ProofRefusedError, match="is not as it was sealed"):
        prove(str(young))


def test_the_command_writes_the_proof_and_the_script(
    book: Book, superuser: Superuser, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = str(entry_of(superuser, "d-1"))
    out, script_file = tmp_path / "p.json", tmp_path / "v.py"
    call_command("prove", entry, out=out, verifier=script_file)
    assert json.loads(out.read_text()) == prove(entry)
    done = subprocess.run(
        [sys.executable, "-I", str(script_file), str(out), "--entry", entry, "--key", key()],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    capsys.readouterr()
    call_command("prove", entry)
    assert json.loads(capsys.readouterr().out) == prove(entry)
    with pytest.raises(CommandError) as refused:
        call_command("prove", "nobody")
    assert (refused.value.returncode, str(refused.value)) == (
        1, "There is no ledger_entrykey nobody.",
    )  # fmt: skip
    with pytest.raises(CommandError) as refused:
        call_command("prove")
    assert refused.value.returncode == 2


# ---------------------------------------------------------------- the canonical form, for ever

GOLDEN = {
    "format": "sealed entry 1",
    "table": "ledger_entry",
    "key": "7",
    "text": (
        'ledger_entry(7,deposit,"2026-02-05 12:00:00+00","R ""7"", \\\\x","",2,,'
        '"2026-02-05 12:00:01.5+00",900)ledger_entrykey(k-7,00ff,7,900)'
        "ledger_posting(1,4,7,1,1,100.50,100.50,900)ledger_posting(2,1,7,1,1,-100.50,-100.50,900)"
    ),
    "position": 2,
    "path": [
        "2222222222222222222222222222222222222222222222222222222222222222",
        "3333333333333333333333333333333333333333333333333333333333333333",
    ],
    "blocks": [
        {
            "number": 5, "epoch": 2, "from_xid": 850, "to_xid": 1000, "leaf_count": 4,
            "root": "", "previous_hash": "11" * 32,
            "layout": {
                "ledger_entry": {
                    "key": ["id"],
                    "columns": ["id", "kind_id", "effective_at", "reference", "narrative",
                                "posting_count", "reverses_id", "recorded_at", "xid"],
                    "parts": [
                        {"table": "ledger_entrykey", "link": "entry_id", "key": ["key"],
                         "columns": ["key", "bytes(digest)", "entry_id", "xid"]},
                        {"table": "ledger_posting", "link": "entry_id",
                         "key": ["account_id", "account_seq"],
                         "columns": ["account_id", "account_seq", "entry_id", "pool_id",
                                     "asset_id", "amount", "balance_after", "xid"]},
                    ],
                    "marks": "00" * 32,
                }
            },
        }
    ],
}  # fmt: skip
# The first secret key of RFC 8032 signs the golden head; Ed25519 signatures are always the same.
GOLDEN_KEY = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
GOLDEN_LEAF = "26fdc9e9a7fdf9ca75bdd26921fa9d215d035967649a29f9c773e5d0126eea8b"
GOLDEN_ROOT = "09f3901df2de2521bb4537d84b7a1639156f68efd13325685abf44888d3e4ea6"
GOLDEN_HEAD = "a157b2ef458333c110eaeca3360a314791488f4a0dd50c63c6b446e79df286cf"
GOLDEN_SIGNATURE = (
    "680fcce5133dbc540024ca6dafcd26700de8aba515952298444f7de11c87d8c7"
    "9a25c710b89be180a3d93f02c78def0e1d9d0fe7892dde5d3d667defcf20f301"
)


def test_a_proof_of_the_first_format_holds_for_ever(check: Check) -> None:
    leaf = sha256(b"\x00\x01" + GOLDEN["text"].encode()).hexdigest()  # type: ignore[attr-defined]
    assert leaf == GOLDEN_LEAF
    proof = copy.deepcopy(GOLDEN) | {"signature": GOLDEN_SIGNATURE}
    proof["blocks"][0]["root"] = GOLDEN_ROOT  # type: ignore[index]
    done = check(proof, "--entry", "7", "--key", GOLDEN_KEY, "--head", GOLDEN_HEAD)
    assert done.stdout.splitlines() == [
        f"ledger_entry 7 stands in block 5 of epoch 2, head {GOLDEN_HEAD}.",
        "  ledger_entry: id=7, kind_id=deposit, effective_at=2026-02-05 12:00:00+00,"
        ' reference=R "7", \\x, narrative=, posting_count=2, reverses_id=NULL,'
        " recorded_at=2026-02-05 12:00:01.5+00, xid=900",
        "  ledger_entrykey: key=k-7, digest=00ff, entry_id=7, xid=900",
        "  ledger_posting: account_id=1, account_seq=4, entry_id=7, pool_id=1, asset_id=1,"
        " amount=100.50, balance_after=100.50, xid=900",
        "  ledger_posting: account_id=2, account_seq=1, entry_id=7, pool_id=1, asset_id=1,"
        " amount=-100.50, balance_after=-100.50, xid=900",
    ]
    assert done.returncode == 0


# ---------------------------------------------------------------- Ed25519

# Section 7.1 of RFC 8032: public key, message, signature.
RFC_8032 = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
    (
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        sha512(b"abc").hexdigest(),
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b589"
        "09351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
    ),
]
P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493


def is_signed(message: bytes, signature: bytes, public: bytes) -> bool:
    return bool(SCRIPT["is_signed"](message, signature, public))


@pytest.mark.parametrize(("public", "message", "signature"), RFC_8032)
def test_the_vectors_of_the_standard_are_signed(public: str, message: str, signature: str) -> None:
    said, by, given = bytes.fromhex(message), bytes.fromhex(public), bytes.fromhex(signature)
    assert is_signed(said, given, by)
    assert not is_signed(said + b"x", given, by)
    for place in range(0, 64, 7):
        changed = bytearray(given)
        changed[place] ^= 1
        assert not is_signed(said, bytes(changed), by)


def test_what_another_library_signs_is_signed_here(chance: Any) -> None:
    for _ in range(12):
        secret = Ed25519PrivateKey.from_private_bytes(chance.randbytes(32))
        message = chance.randbytes(chance.randrange(90))
        public = secret.public_key().public_bytes_raw()
        assert is_signed(message, secret.sign(message), public)
        assert not is_signed(message, secret.sign(message + b"."), public)


def encoded(y: int, *, sign: int = 0) -> bytes:
    return (y | sign << 255).to_bytes(32, "little")


def test_malformed_signatures_and_keys_are_refused() -> None:
    public, message, signature = (bytes.fromhex(text) for text in RFC_8032[1])
    scalar = int.from_bytes(signature[32:], "little")
    # The same signature with the order added passes a check that does not look.
    longer = signature[:32] + (scalar + ORDER).to_bytes(32, "little")
    assert not is_signed(message, longer, public)
    assert not is_signed(message, signature[:63], public)
    assert not is_signed(message, signature + b"\x00", public)
    assert not is_signed(message, signature, public[:31])
    off_the_curve = next(encoded(y) for y in range(2, 50) if SCRIPT["point_of"](encoded(y)) is None)
    assert not is_signed(message, signature, off_the_curve)
    assert not is_signed(message, off_the_curve + signature[32:], public)
    # y = 1 is a point in one way of writing only: not with a sign, not with p added.
    assert SCRIPT["point_of"](encoded(1)) == (0, 1, 1, 0)
    for other in (encoded(1, sign=1), encoded(P + 1), encoded(P)):
        assert SCRIPT["point_of"](other) is None
    # Under a key of small order this signs every message, unless such keys are refused.
    for small in (encoded(1), encoded(P - 1), encoded(0), encoded(0, sign=1)):
        assert SCRIPT["point_of"](small) is not None
        assert not is_signed(message, encoded(1) + bytes(32), small)
