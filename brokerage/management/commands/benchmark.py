"""Figures of this machine, with the baseline measured in the same run."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from brokerage.benchmarks import BENCHMARKS
from brokerage.benchmarks.scratch import BenchmarkRefusedError, is_scratch, run_in_scratch

# Of these the number of accounts can be said.
SIZED = ("margin", "price_to_browser", "what_if")


class Command(BaseCommand):
    help = (
        "Measure the product on this machine, in a cluster made for it and removed after; the "
        "firm's own database is not touched."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", choices=sorted(BENCHMARKS))
        parser.add_argument("--json", action="store_true", help="print one object")
        parser.add_argument("--quick", action="store_true", help="a minute's worth")
        parser.add_argument(
            "--accounts", type=int, help="so many accounts, where a benchmark has them"
        )

    def handle(self, *args: object, **options: Any) -> None:  # noqa: ANN401
        name, quick, accounts = options["name"], options["quick"], options["accounts"]
        if accounts is not None and (name not in SIZED or accounts < 1):
            detail = f"--accounts is a number above 0, of {' and '.join(SIZED)} only."
            raise CommandError(detail, returncode=2)
        if is_scratch():
            sized = {} if accounts is None else {"accounts": accounts}
            self.stdout.write(json.dumps(BENCHMARKS[name](quick, **sized)))
            return
        again = ["--quick"] if quick else []
        again += [] if accounts is None else ["--accounts", str(accounts)]
        try:
            result = json.loads(run_in_scratch("benchmark", name, "--json", *again))
        except BenchmarkRefusedError as refusal:
            raise CommandError(str(refusal), returncode=2) from refusal
        self.stdout.write(json.dumps(result) if options["json"] else _told(result))


def _told(result: dict[str, Any], indent: str = "") -> str:
    lines = []
    for name, value in result.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}:", _told(value, indent + "  ")]
        else:
            shown = f"{value:,.3f}" if isinstance(value, float) else str(value)
            lines.append(f"{indent}{name}: {shown}")
    return "\n".join(lines)
