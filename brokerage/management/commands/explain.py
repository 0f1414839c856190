"""Why a past run said what it said of one scope."""

from csv import writer
from json import dumps

from django.core.management.base import BaseCommand, CommandError, CommandParser

from margin.engine.explain import Explanation, ExplanationError, Node, figure
from margin.explanation import (
    UnknownScopeError,
    as_json,
    as_rows,
    explain_result,
    find_result,
    stored_parts,
)
from margin.model_trees import model_trees


class Command(BaseCommand):
    help = "Show the tree behind the requirement of one scope in one margin run."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", metavar="RUN", help="number of the run, as MR-180206-1")
        parser.add_argument("scope", metavar="SCOPE", help="account and bucket, as A00015/FREE")
        form = parser.add_mutually_exclusive_group()
        form.add_argument("--json", action="store_true", help="as one JSON object")
        form.add_argument("--csv", action="store_true", help="as a table, one line a node")

    def handle(
        self, *args: object, run: str, scope: str, json: bool, csv: bool, **options: object
    ) -> None:
        try:
            result = find_result(run, scope)
        except UnknownScopeError as unknown:
            raise CommandError(str(unknown), returncode=2) from unknown
        try:
            if json:
                self.stdout.write(dumps(as_json(result), indent=2, ensure_ascii=False))
            elif csv:
                writer(self.stdout, lineterminator="\n").writerows(as_rows(result))
            else:
                self.stdout.write(in_words(explain_result(result, stored_parts(result))))
                trees = model_trees(result)
                if trees is not None:
                    lines = indented(trees.initial_margin) + indented(trees.maintenance_margin)
                    self.stdout.write("\n".join(lines))
        except ExplanationError as broken:
            raise CommandError(
                f"{scope} in {run} does not hold: {broken}", returncode=1
            ) from broken


def in_words(explanation: Explanation) -> str:
    """The tree, indented, with the tests that led to the state."""
    lines: list[str] = []
    for root in (explanation.equity, explanation.initial_margin, explanation.maintenance_margin):
        lines += indented(root)
    lines += [
        f"{'*' if test.holds else '-'} {test.state}: {test.figures}" for test in explanation.tests
    ]
    return "\n".join([*lines, *explanation.steps])


def indented(node: Node, *, depth: int = 0) -> list[str]:
    """A node and what is beneath it, a line each."""
    line = f"{'  ' * depth}{node.label}: {figure(node.amount)} = {node.how}"
    return [line, *(below for child in node.children for below in indented(child, depth=depth + 1))]
