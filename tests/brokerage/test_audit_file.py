"""The algorithm audit file: complete, signed, the same for the same state, taken out alone."""

import csv
import io
import json
import zipfile
from datetime import date
from hashlib import sha256
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.test import Client as Browser
from django.urls import reverse

from accounts.approvals import decide as decide_approval
from accounts.models import Act, LegalEntity, Role
from brokerage.audit_file import audit_file, audit_file_faults
from brokerage.packed import MANIFEST
from brokerage.validation_evidence import folder, kept_reports
from margin.engine.model import Law
from margin.engine.models import MODELS
from margin.engine.source import model_sha256
from margin.model_registry import request_parameters
from tests.accounts.people import Desk, found_desk, person, sign_in
from tests.margin.under_models import SHADOW, decide, set_parameters
from tests.stage import booked_days

DAY = date(2031, 3, 4)


@pytest.fixture
def desk(db: None, tmp_path: Path) -> Desk:
    """A firm with one day, one model that is watched, and one request that was refused."""
    booked_days(tmp_path / "firm", accounts=8, seed=5, days=1)
    desk = found_desk(entity=LegalEntity.objects.get())
    set_parameters(desk, "delta", DAY)
    decide(desk, "delta", SHADOW, DAY)
    asked = request_parameters(
        model="delta", code="S1", values={"shock": 0.01, "residual": 0.0, "maintenance_share": 0.1},
        effective_from=DAY, legal_entity=desk.entity, reason="=Less for everybody",
        actor=person(desk[Role.RISK]),
    )  # fmt: skip
    decide_approval(
        asked, verdict="rejected", reason="Far too little", actor=person(desk[Role.COMPLIANCE])
    )
    return desk


@pytest.fixture
def evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of kept reports of its own, with one report of the delta margin."""
    monkeypatch.setattr(settings, "VAR", tmp_path / "var")
    call_command(
        "validate_models", "--model", "delta", "--worlds", "1", "--keep", stdout=StringIO()
    )
    return folder()


def files_of(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def table(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode())))


def test_the_file_names_every_model_decision_and_refused_request(
    desk: Desk, evidence: Path
) -> None:
    files = files_of(audit_file())
    inventory = {each["model"]: each for each in json.loads(files["inventory.json"])}
    assert inventory.keys() == {"house-rules", *MODELS}
    delta = inventory["delta"]
    assert delta["model_sha256"] == model_sha256(MODELS["delta"])
    assert "models/delta.py" in delta["files"]
    assert [(each["code"], each["standing"]) for each in delta["used_as"]] == [("S1", "shadow")]
    (parameters,) = json.loads(files["parameter_sets.json"])
    risk, compliance = desk[Role.RISK].username, desk[Role.COMPLIANCE].username
    assert (parameters["agreed"]["asked_by"], parameters["agreed"]["decided_by"]) == (
        risk, compliance,
    )  # fmt: skip
    (decision,) = json.loads(files["decisions.json"])
    assert decision["owner"] == "Head of risk"
    changes = table(files["changes.csv"])
    assert [row["decision"] for row in changes] == ["approved", "approved", "rejected"]
    assert changes[2]["reason"] == "'=Less for everybody"
    assert [row["number"] for row in table(files["sign_offs.csv"])] == [
        row["number"] for row in changes[:2]
    ]
    (code,) = table(files["code_history.csv"])
    assert (code["runs"], code["first_run"]) == ("1", "MR-310303-1")


def test_laws_and_backtests_are_those_of_the_newest_report(desk: Desk, evidence: Path) -> None:
    files = files_of(audit_file())
    (kept,) = kept_reports()
    assert files[f"validation/{kept.name}"] == kept.content
    laws = {(row["model"], row["law"]): row for row in table(files["laws.csv"])}
    assert laws["delta", "scale"]["passed"] == "true"
    assert laws["delta", "scale"]["evidence"] == kept.name
    assert laws["tiers", "scale"]["declared"] == "broken"
    assert laws["tiers", "scale"]["why_not"] == MODELS["tiers"].breaks[Law.SCALE].why
    assert laws["tiers", "scale"]["checked"] == "false"
    (row,) = table(files["backtests.csv"])
    assert (row["model"], row["days"], row["passed"]) == ("delta", "250", "true")
    manifest = json.loads(files[MANIFEST])
    assert manifest["models_without_validation"] == sorted(MODELS.keys() - {"delta"})


def test_the_same_state_gives_the_same_bytes_and_the_manifest_holds(
    desk: Desk, evidence: Path, tmp_path: Path
) -> None:
    content = audit_file()
    call_command("audit_file", "--to", str(tmp_path / "a.zip"), stdout=StringIO())
    assert (tmp_path / "a.zip").read_bytes() == content == audit_file()
    assert audit_file_faults(content) == []
    files = files_of(content)
    said = {each["path"]: each["sha256"] for each in json.loads(files[MANIFEST])["files"]}
    assert said == {n: sha256(c).hexdigest() for n, c in files.items() if n != MANIFEST}
    set_parameters(desk, "delta", date(2031, 3, 9))
    assert audit_file() != content


def repacked(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def test_a_changed_file_is_told(desk: Desk, evidence: Path, tmp_path: Path) -> None:
    files = files_of(audit_file())
    wrong = files | {"decisions.json": files["decisions.json"].replace(b"shadow", b"production")}
    assert audit_file_faults(repacked(wrong)) == ["decisions.json was changed."]
    manifest: dict[str, Any] = json.loads(files[MANIFEST])
    manifest["models_without_validation"] = []
    wrong = files | {MANIFEST: json.dumps(manifest).encode()}
    assert audit_file_faults(repacked(wrong)) == [f"{MANIFEST}: It is not what its sha256 says."]
    less = {name: content for name, content in files.items() if name != "laws.csv"}
    assert audit_file_faults(repacked(less)) == ["laws.csv is not there."]
    assert audit_file_faults(b"no zip") == ["It is no audit file."]
    (tmp_path / "wrong.zip").write_bytes(repacked(wrong))
    with pytest.raises(CommandError) as refused:
        call_command("audit_file", "--check", str(tmp_path / "wrong.zip"), stdout=StringIO())
    assert refused.value.returncode == 1


def test_a_kept_report_that_was_changed_is_no_evidence(desk: Desk, evidence: Path) -> None:
    (path,) = evidence.glob("*.json")
    said = json.loads(path.read_text())
    said["models"][0]["passed"] = False
    changed = json.dumps(said, indent=2, sort_keys=True).encode()
    path.unlink()
    renamed = evidence / f"000001-{sha256(changed).hexdigest()}.json"
    renamed.write_bytes(changed)
    manifest = json.loads(files_of(audit_file())[MANIFEST])
    assert "delta" in manifest["models_without_validation"]
    assert manifest["reports_not_relied_on"] == [
        {"name": renamed.name, "why": "It is not what its sha256 says."}
    ]


def test_the_same_report_is_kept_once(desk: Desk, evidence: Path) -> None:
    arguments = ("validate_models", "--model", "delta", "--worlds", "1", "--keep")
    call_command(*arguments, stdout=StringIO())
    assert len(kept_reports()) == 1


def test_the_auditor_takes_it_out_alone(desk: Desk, evidence: Path) -> None:
    browser = Browser()
    sign_in(browser, desk[Role.AUDITOR])
    assert (
        reverse("brokerage:audit-file")
        in browser.get(reverse("brokerage:reports")).content.decode()
    )
    answer = browser.post(reverse("brokerage:audit-file"))
    assert answer.status_code == 200
    assert answer.content == audit_file()
    digest = sha256(answer.content).hexdigest()
    assert answer["X-Content-SHA256"] == digest
    assert answer["Content-Disposition"].endswith('"algorithm-audit-2031-03-03.zip"')
    act = Act.objects.get(reason=f"Took out the algorithm audit file, sha256 {digest}")
    assert act.operator == desk[Role.AUDITOR]


@pytest.mark.parametrize("role", [Role.OPERATIONS, Role.TREASURY, Role.ADMINISTRATOR])
def test_others_may_not(desk: Desk, evidence: Path, role: Role) -> None:
    browser = Browser()
    sign_in(browser, desk[role])
    assert browser.post(reverse("brokerage:audit-file")).status_code == 403
    assert not Act.objects.filter(reason__contains="audit file").exists()
