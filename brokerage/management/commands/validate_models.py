"""Whether the models may be relied on: published cases, laws, slow twins, past days; signed."""

import json
from pathlib import Path
from typing import Any, cast

from django.core.management.base import BaseCommand, CommandError, CommandParser

from brokerage.signed import signed
from brokerage.validation_evidence import FORMAT, keep_report
from margin.engine.closes import History, history_of, synthetic_history
from margin.engine.models import MODELS
from margin.engine.parameters import read_parameters
from margin.engine.rejected import RejectedInputError
from margin.engine.validation import (
    BACKTEST_DAYS,
    LOOK_BACK_DAYS,
    ModelReport,
    as_json,
    validate,
)
from margin.published.checked import FileReport, check_path, totals

WORLDS = 25
DAYS = BACKTEST_DAYS + LOOK_BACK_DAYS


class Command(BaseCommand):
    help = (
        "Check every model against its laws, its slow implementation, published cases and past "
        "days, and sign what was found; exit 1 if anything failed. Needs no database."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--model", action="append", choices=sorted(MODELS), help="only these")
        parser.add_argument(
            "--parameters", action="append", default=[], metavar="MODEL=FILE",
            help="a set of parameters as JSON, in place of the standard one",
        )  # fmt: skip
        parser.add_argument("--worlds", type=int, default=WORLDS, help="random worlds for each law")
        parser.add_argument("--closes", type=Path, help="closes of past days; synthetic without")
        parser.add_argument("--vectors", type=Path, nargs="*", default=[], help="published cases")
        parser.add_argument("--out", type=Path, help="write the signed report here as well")
        parser.add_argument(
            "--keep", action="store_true", help="keep it as evidence for the audit file"
        )
        parser.add_argument("--json", action="store_true", help="print one object")

    def handle(self, *args: object, **options: Any) -> None:  # noqa: ANN401
        try:
            sets = _sets(options["model"] or sorted(MODELS), options["parameters"])
            history = _history(options["closes"])
        except (RejectedInputError, OSError, ValueError) as refusal:
            raise CommandError(str(refusal), returncode=2) from refusal
        reports = [
            validate(MODELS[model], values, name=name, worlds=options["worlds"], history=history)
            for model, (name, values) in sets.items()
        ]
        cases = [found for path in options["vectors"] for found in check_path(path)]
        said = signed(_said(reports, cases, history))
        if options["out"] is not None:
            cast("Path", options["out"]).write_text(json.dumps(said, indent=2), encoding="utf-8")
        if options["keep"]:
            kept = keep_report(said)
            if not options["json"]:
                self.stdout.write(f"Kept as {kept}.")
        if options["json"]:
            self.stdout.write(json.dumps(said, indent=2, allow_nan=False))
        else:
            self._tell(said)
        if not said["passed"]:
            raise SystemExit(1)

    def _tell(self, said: dict[str, Any]) -> None:
        for model in said["models"]:
            verdict = "passed" if model["passed"] else "FAILED"
            self.stdout.write(
                f"{model['model']} {model['version']} {model['parameters']}: {verdict}"
            )
            for check in model["checks"]:
                mark = "ok" if check["passed"] else "!!"
                self.stdout.write(f"  {mark} {check['name']}: {check['detail']}")
        self.stdout.write(f"Past days: {said['history']}. Published cases: {said['published']}.")


def _sets(names: list[str], given: list[str]) -> dict[str, tuple[str, Any]]:
    """The parameters of each model: its standard set, or what a file says."""
    sets: dict[str, tuple[str, Any]] = {name: ("standard", MODELS[name].proven) for name in names}
    for each in given:
        name, _, file = each.partition("=")
        if name not in MODELS or not file:
            raise RejectedInputError(f"--parameters {each}: MODEL=FILE is needed")
        values = json.loads(Path(file).read_text(encoding="utf-8"))
        sets[name] = (Path(file).name, read_parameters(MODELS[name].parameters, values))
    return sets


def _history(path: Path | None) -> History:
    return synthetic_history(days=DAYS) if path is None else history_of(path, days=DAYS)


def _said(reports: list[ModelReport], cases: list[FileReport], history: History) -> dict[str, Any]:
    published = totals(cases) if cases else None
    return {
        "format": FORMAT,
        "passed": all(report.passed for report in reports)
        and all(report.is_matched for report in cases),
        "history": {
            "label": history.label,
            "names": list(history.names),
            "days": len(history.returns),
            "notes": list(history.notes),
        },
        "published": published,
        "models": as_json(reports),
    }
