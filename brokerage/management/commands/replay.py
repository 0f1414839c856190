"""A past margin run, computed again from what it was computed from."""

import sys
from json import dumps

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.clock import utc_stamp
from margin.engine.rejected import RejectedInputError
from margin.models import MarginRun
from margin.runs import Replay, replay


class Command(BaseCommand):
    help = "Compute a past margin run again from its pinned inputs; exit 1 if anything differs."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", metavar="RUN", help="number of the run, as MR-180206-1")
        parser.add_argument("--json", action="store_true", help="as one JSON object")

    def handle(self, *args: object, run: str, json: bool, **options: object) -> None:
        try:
            replayed = replay(run)
        except MarginRun.DoesNotExist as unknown:
            raise CommandError(f"There is no run {run}.", returncode=2) from unknown
        except RejectedInputError as refused:
            raise CommandError(
                f"{run} cannot be repeated: {refused}, which was no parameter then.", returncode=1
            ) from refused
        self.stdout.write(dumps(as_json(replayed), indent=2) if json else in_words(replayed))
        if not replayed.is_same:
            sys.exit(1)


def as_json(replayed: Replay) -> dict[str, object]:
    """Stored and recomputed hashes beside each other."""
    run = replayed.run
    return {
        "run": run.number,
        "as_of": utc_stamp(run.as_of),
        "scopes": run.scope_count,
        "inputs_sha256": {"stored": run.inputs_sha256, "now": replayed.inputs_sha256},
        "result_sha256": {"stored": run.result_sha256, "now": replayed.result_sha256},
        "balances_not_proved": list(replayed.unproved),
        "same_inputs": replayed.has_same_inputs,
        "same": replayed.is_same,
    }


def in_words(replayed: Replay) -> str:
    """One sentence."""
    number = replayed.run.number
    if replayed.is_same:
        return f"{number} gives the same result for {replayed.run.scope_count} scopes."
    if replayed.unproved:
        accounts = ", ".join(map(str, replayed.unproved[:5]))
        return f"{number} cannot be repeated: the postings of accounts {accounts} do not add up."
    if not replayed.has_same_inputs:
        return f"{number} cannot be repeated: its inputs read differently now."
    return f"{number} gives another result from the same inputs."
