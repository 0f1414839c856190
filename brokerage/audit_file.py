"""The algorithm audit file: which models compute what, who decided it, and how it is proved.

One ZIP whose bytes are the same for the same state: files in the order of their names, with one
fixed time, not compressed. Its manifest names the sha256 of every file and is signed.
"""

import io
import json
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from hashlib import sha256
from typing import Any, Final

from django.db.models import Count, Max, Min

from accounts.exports import exported, to_csv
from accounts.models import Approval
from brokerage.packed import MANIFEST, faults, zipped
from brokerage.signed import signed
from brokerage.validation_evidence import KeptReport, kept_reports, newest_by_model
from ledger.times import one_snapshot
from margin.engine.hashing import columns_hash, joined_hash, model_hash
from margin.engine.house_rules import MODEL, VERSION
from margin.engine.model import Law, Model
from margin.engine.models import MODELS
from margin.engine.source import model_sha256, model_sources
from margin.models import MarginRun, ModelDecision, ParameterSet

FORMAT: Final = "algorithm-audit/1"
# What changes how a requirement is computed; each takes two people.
ACTIONS: Final = (
    "model.parameters", "model.decide", "contract.set", "option.list", "parameter.haircut",
    "parameter.terms", "price.override", "agreement.version", "eligibility.rule",
)  # fmt: skip
APPROVAL_COLUMNS: Final = (
    "number", "action", "subject", "reason", "asked_by", "asked_at", "decided_by", "decision",
    "decision_reason", "decided_at", "used_at", "expires_at",
)  # fmt: skip
LAW_COLUMNS: Final = ("model", "law", "declared", "why_not", "checked", "passed", "evidence")
BACKTEST_COLUMNS: Final = (
    "model", "parameters", "history", "days", "exceptions", "zones", "passed", "evidence",
)  # fmt: skip
CODE_COLUMNS: Final = (
    "model_sha256", "first_day", "last_day", "runs", "first_run", "last_run",
)  # fmt: skip
ABOUT: Final = """Algorithm audit file

inventory.json       every model: its code file by file, its source, what it is used for, owner
parameter_sets.json  every version of every parameter set, with who asked for and who agreed to it
decisions.json       what each model was decided to be used for, by whom and when
changes.csv          all requests that change how margin is computed, refused and open ones too
sign_offs.csv        those of them that were agreed to and took effect
code_history.csv     which code computed which runs
laws.csv             the laws of each model, and whether the newest validation found them to hold
backtests.csv        the backtests of the newest validation of each model
validation/          the newest signed validation report of each model, as it was kept
manifest.json        the sha256 of every file, signed by this installation
"""


def audit_file() -> bytes:
    """The audit file of the book as it is now; the same state gives the same bytes."""
    reports = kept_reports()
    newest = newest_by_model(reports)
    with one_snapshot():
        files = {
            "README.txt": ABOUT.encode(),
            "inventory.json": _json(list(_inventory())),
            "parameter_sets.json": _json(list(_parameter_sets())),
            "decisions.json": _json(list(_decisions())),
            "changes.csv": to_csv(APPROVAL_COLUMNS, map(_approval_row, _approvals())),
            "sign_offs.csv": to_csv(
                APPROVAL_COLUMNS,
                (_approval_row(each) for each in _approvals() if each.used_at is not None),
            ),
            "code_history.csv": to_csv(CODE_COLUMNS, _code_history()),
        }
    files["laws.csv"] = to_csv(LAW_COLUMNS, _laws(newest))
    files["backtests.csv"] = to_csv(BACKTEST_COLUMNS, _backtests(newest))
    for report in newest.values():
        files[f"validation/{report.name}"] = report.content
    files[MANIFEST] = _json(signed(_manifest(files, reports, newest)))
    return zipped(files)


def audit_file_faults(content: bytes) -> list[str]:
    """What is wrong with an audit file, a sentence each; nothing where it is what it was."""
    return faults(content, form=FORMAT, what="audit file")


def signed_by(content: bytes) -> str:
    """The public key, in hex, that signed an audit file without faults."""
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        return str(json.loads(packed.read(MANIFEST))["public_key"])


def _manifest(
    files: dict[str, bytes], reports: Sequence[KeptReport], newest: dict[str, KeptReport]
) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "files": [
            {"path": path, "sha256": sha256(files[path]).hexdigest(), "bytes": len(files[path])}
            for path in sorted(files)
        ],
        "models_without_validation": sorted(MODELS.keys() - newest.keys()),
        "models_changed_since_validation": sorted(
            name
            for name, report in newest.items()
            if name in MODELS and _validated(report, name)["model_sha256"] != _sha256_of(name)
        ),
        "reports_not_relied_on": [
            {"name": report.name, "why": report.wrong} for report in reports if report.wrong
        ],
    }


def _sha256_of(name: str) -> str:
    return model_sha256(MODELS[name])


def _validated(report: KeptReport, name: str) -> dict[str, Any]:
    """What a report found of a model."""
    found: dict[str, Any] = next(each for each in report.said["models"] if each["model"] == name)
    return found


def _inventory() -> Iterator[dict[str, Any]]:
    yield {
        "model": MODEL,
        "version": VERSION,
        "title": "House rules",
        "model_sha256": model_hash(),
        "model_sha256_in_columns": joined_hash(model_hash(), columns_hash()),
        "parameters": "asset by asset: haircuts, rates and brackets of the book",
    }
    decisions = list(ModelDecision.objects.order_by("model", "code", "effective_from", "pk"))
    for name, model in sorted(MODELS.items()):
        yield {
            "model": name,
            "version": model.version,
            "title": model.title,
            "published": model.source,
            "model_sha256": model_sha256(model),
            "files": model_sources(model),
            "kinds": sorted(kind.name.lower() for kind in model.kinds),
            "used_as": [
                {
                    "code": each.code,
                    "standing": each.standing,
                    "effective_from": each.effective_from,
                    "owner": each.owner,
                    "model_sha256_then": each.model_sha256,
                    "is_same_code": each.model_sha256 == model_sha256(model),
                }
                for each in decisions
                if each.model == name
            ],
        }


def _parameter_sets() -> Iterator[dict[str, Any]]:
    by_use = _by_use("model.parameters")
    for each in ParameterSet.objects.order_by("model", "code", "version"):
        yield {
            "model": each.model,
            "code": each.code,
            "version": each.version,
            "effective_from": each.effective_from,
            "sha256": each.sha256,
            # As JSON has them: parameters of models are floats, not amounts.
            "values_json": json.dumps(each.values, sort_keys=True),
            "agreed": by_use.get(each.xid),
        }


def _decisions() -> Iterator[dict[str, Any]]:
    by_use = _by_use("model.decide")
    for each in ModelDecision.objects.order_by("effective_from", "model", "code", "pk"):
        yield {
            "model": each.model,
            "version": each.model_version,
            "code": each.code,
            "standing": each.standing,
            "effective_from": each.effective_from,
            "owner": each.owner,
            "model_sha256": each.model_sha256,
            "agreed": by_use.get(each.xid),
        }


def _by_use(action: str) -> dict[int, dict[str, object]]:
    """Requests that took effect, by the transaction in which they did."""
    return {
        each.used_xid: dict(zip(APPROVAL_COLUMNS, _approval_row(each), strict=True))
        for each in _approvals()
        if each.used_xid is not None and each.action_id == action
    }


def _approvals() -> Iterable[Approval]:
    return (
        Approval.objects.filter(action__in=ACTIONS)
        .select_related("maker", "checker")
        .order_by("number")
    )


def _approval_row(each: Approval) -> tuple[object, ...]:
    return (
        each.number,
        each.action_id,
        each.subject,
        each.reason,
        each.maker.username,
        each.made_at,
        None if each.checker is None else each.checker.username,
        each.decision,
        each.decision_reason,
        each.decided_at,
        each.used_at,
        each.expires_at,
    )


def _code_history() -> Iterator[tuple[object, ...]]:
    found = MarginRun.objects.values("model_sha256").annotate(
        first=Min("business_day"), last=Max("business_day"), runs=Count("pk"),
        first_run=Min("pk"), last_run=Max("pk"),
    )  # fmt: skip
    numbers = dict(
        MarginRun.objects.filter(
            pk__in=[pk for row in found for pk in (row["first_run"], row["last_run"])]
        ).values_list("pk", "number")
    )
    for row in sorted(found, key=lambda each: int(each["first_run"])):
        first, last = numbers[row["first_run"]], numbers[row["last_run"]]
        yield (row["model_sha256"], row["first"], row["last"], row["runs"], first, last)


def _laws(newest: dict[str, KeptReport]) -> Iterator[tuple[object, ...]]:
    """Every law of every model; one that does not hold says why."""
    for name, model in sorted(MODELS.items()):
        checks, evidence = _checks(newest.get(name), name)
        yield _law_row(model, "laws of every model", "holds", "", checks, evidence)
        for law in Law:
            if law in model.laws:
                yield _law_row(model, law, "holds", "", checks, evidence)
            elif law in model.breaks:
                found = {str(law): checks.get(f"{law} is not declared", {})}
                yield _law_row(model, law, "broken", model.breaks[law].why, found, evidence)


def _law_row(
    model: Model[Any],
    law: str,
    declared: str,
    why: str,
    checks: dict[str, dict[str, Any]],
    evidence: str,
) -> tuple[object, ...]:
    found = checks.get(law) or {}
    return (model.name, str(law), declared, why, bool(found), found.get("passed"), evidence)


def _checks(report: KeptReport | None, name: str) -> tuple[dict[str, dict[str, Any]], str]:
    if report is None:
        return {}, ""
    return {each["name"]: each for each in _validated(report, name)["checks"]}, report.name


def _backtests(newest: dict[str, KeptReport]) -> Iterator[tuple[object, ...]]:
    for name in sorted(newest):
        checks, evidence = _checks(newest[name], name)
        found, of_model = checks.get("backtest"), _validated(newest[name], name)
        if found is None:
            continue
        figures = found["figures"]
        yield (
            name,
            of_model["parameters"],
            figures.get("history", ""),
            figures.get("days"),
            " ".join(map(str, figures.get("exceptions", []))),
            " ".join(figures.get("zones", [])),
            found["passed"],
            evidence,
        )


def _json(said: object) -> bytes:
    shown = said if isinstance(said, dict) and "signature" in said else exported(said)
    return (json.dumps(shown, indent=1, ensure_ascii=False, sort_keys=True) + "\n").encode()


def file_name(day: date | None) -> str:
    """How the file is called: by the last day that is in the book."""
    return f"algorithm-audit-{day}.zip" if day else "algorithm-audit.zip"
