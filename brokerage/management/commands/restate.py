"""A past margin run restated with what is known now, and the calls it would have made otherwise."""

from json import dumps
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.audit import Actor
from accounts.clock import utc_stamp
from accounts.figures import plain
from margin.calls.affected import AffectedCall, affected_calls
from margin.models import MarginRun, RunException
from margin.restatement import Restated, differing_exceptions, differing_results, restate


class Command(BaseCommand):
    help = (
        "Compute a past margin run again, as of its instant, with what is known now; keep it beside"
        " the original and say which calls would be others. Changes no call."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", metavar="RUN", help="number of the run, as MR-180206-1")
        parser.add_argument("--reason", default="Restated by command", help="why; it is kept")
        parser.add_argument("--json", action="store_true", help="as one JSON object")

    def handle(self, *args: object, run: str, reason: str, json: bool, **options: object) -> None:
        try:
            found = restate(run, actor=Actor.command("restate"), reason=reason)
        except MarginRun.DoesNotExist as unknown:
            raise CommandError(f"There is no run {run}.", returncode=2) from unknown
        self.stdout.write(dumps(as_json(found), indent=2) if json else in_words(found))


def as_json(found: Restated) -> dict[str, Any]:
    """The two runs, how many scopes differ, and every call that would be another."""
    said: dict[str, Any] = {
        "run": found.original.number,
        "as_of": utc_stamp(found.original.as_of),
        "restated": None if found.run is None else found.run.number,
        "new": found.is_new,
        "scopes_differing": 0,
        "calls": [],
        "not_computed": [],
        "computed_now": [],
    }
    if found.run is not None:
        lost, gained = differing_exceptions(found.run)
        said |= {
            "scopes_differing": differing_results(found.run).count(),
            "calls": [call_json(each) for each in affected_calls(found.run)],
            "not_computed": [exception_json(each) for each in lost],
            "computed_now": [exception_json(each) for each in gained],
        }
    return said


def call_json(each: AffectedCall) -> dict[str, Any]:
    """One scope of which the two runs call for something else."""
    bucket = each.scope.bucket
    assert bucket is not None, "runs compute buckets"
    return {
        "account": bucket.account.code,
        "bucket": bucket.code,
        "call": None if each.call is None else each.call.number,
        "state": None if each.call is None else each.call.state,
        "effect": str(each.effect),
        "called": plain(each.called),
        "should_be": None if each.should_be is None else plain(each.should_be),
        "decision": None if each.decision is None else each.decision.verdict,
    }


def exception_json(each: RunException) -> dict[str, str]:
    """A scope that one of the runs could not compute."""
    return {"account": each.account.code, "bucket": each.bucket_code, "reason": each.reason}


def in_words(found: Restated) -> str:
    """One sentence, and one for each call."""
    if found.run is None:
        return f"Nothing that is known now changes {found.original.number}."
    said = as_json(found)
    word = "is restated as" if found.is_new else "was restated already as"
    lines = [
        f"{found.original.number} {word} {found.run.number}:"
        f" {said['scopes_differing']} scopes differ, {len(said['calls'])} calls."
    ]
    for each in affected_calls(found.run):
        row = call_json(each)
        lines.append(
            f"{row['account']}/{row['bucket']} {row['call'] or 'no call'}:"
            f" {each.effect.label.lower()}, {row['called']} to {row['should_be']}"
        )
    return "\n".join(lines)
