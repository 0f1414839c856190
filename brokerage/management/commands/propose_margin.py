"""`manage.py propose_margin [--run RUN] --json`: the rates that policies make of a run's closes."""

from json import dumps

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.audit import Actor
from margin.dynamic import propose
from margin.run_rows import day_runs


class Command(BaseCommand):
    """Proposes; nothing changes before two people agree. Of one run it proposes once."""

    help = "Propose margin rates of instruments whose policy follows volatility and liquidity."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--run", metavar="RUN", help="number of the run; the newest if left out"
        )
        parser.add_argument("--json", action="store_true", help="as one JSON object")

    def handle(self, *args: object, run: str | None, json: bool, **options: object) -> None:
        runs = day_runs().order_by("-as_of", "-pk")
        found = (runs if run is None else runs.filter(number=run)).first()
        if found is None:
            raise CommandError(
                "There is no run yet." if run is None else f"There is no run {run}.", returncode=2
            )
        said = propose(found, actor=Actor.command("propose_margin"))
        self.stdout.write(dumps(said, indent=2) if json else in_words(said))


def in_words(said: dict[str, object]) -> str:
    """One line an instrument."""
    proposed, unchanged, refused = said["proposed"], said["unchanged"], said["refused"]
    assert isinstance(proposed, list)
    assert isinstance(unchanged, list)
    assert isinstance(refused, dict)
    lines = [
        f"{each['asset']}: initial {each['before'][0]['initial_rate']} to"
        f" {each['after'][0]['initial_rate']} from {each['effective_from']};"
        f" {each['affected']['called']} called."
        for each in proposed
    ]
    lines += [f"{code}: stays." for code in unchanged]
    lines += [f"{code}: {why}." for code, why in refused.items()]
    return "\n".join(lines) or "No instrument has a policy."
