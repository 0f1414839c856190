"""The validation pack as a command: signed, repeatable, and failing where it must."""

import json
from hashlib import sha256
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.core.management import CommandError, call_command

from margin.engine.models import MODELS
from margin.engine.parameters import written_parameters


def pack(*arguments: str) -> tuple[int, dict[str, Any]]:
    out, code = StringIO(), 0
    try:
        call_command("validate_models", "--json", "--worlds", "1", *arguments, stdout=out)
    except SystemExit as end:
        code = int(str(end.code))
    return code, json.loads(out.getvalue())


def checked(said: dict[str, Any]) -> None:
    """Raise unless the signature is of exactly this report."""
    rest = {k: v for k, v in said.items() if k not in ("sha256", "public_key", "signature")}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    digest = sha256(text.encode()).hexdigest()
    assert said["sha256"] == digest
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(said["public_key"]))
    key.verify(bytes.fromhex(said["signature"]), bytes.fromhex(digest))


def test_the_pack_is_signed_and_the_same_again(tmp_path: Path) -> None:
    path = tmp_path / "pack.json"
    code, said = pack("--model", "delta", "--out", str(path))
    assert (code, said["passed"], said["history"]["label"]) == (0, True, "synthetic")
    assert json.loads(path.read_text()) == said
    checked(said)
    assert pack("--model", "delta") == (0, said)
    said["models"][0]["checks"][0]["detail"] = "All is well."
    with pytest.raises((AssertionError, InvalidSignature)):
        checked(said)


def test_a_broken_parameter_fails_the_pack(tmp_path: Path) -> None:
    written = written_parameters(MODELS["delta"].standard) | {"shock": 0.001, "residual": 0.0}
    path = tmp_path / "broken.json"
    path.write_text(json.dumps(written))
    code, said = pack("--model", "delta", "--parameters", f"delta={path}")
    assert (code, said["passed"]) == (1, False)
    (model,) = said["models"]
    assert model["parameters"] == "broken.json"
    assert [check["name"] for check in model["checks"] if not check["passed"]] == ["backtest"]
    checked(said)


def test_what_is_no_parameter_set_is_refused_with_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "broken.json"
    path.write_text(json.dumps(written_parameters(MODELS["delta"].standard) | {"shock": 7.0}))
    for given in (f"delta={path}", f"nothing={path}", "delta=", f"delta={tmp_path / 'none.json'}"):
        with pytest.raises(CommandError) as refused:
            call_command("validate_models", "--parameters", given, stdout=StringIO())
        assert refused.value.returncode == 2
    with pytest.raises(CommandError):
        call_command("validate_models", "--closes", str(path), stdout=StringIO())
