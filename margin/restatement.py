"""A past run computed again with what is known now, kept beside the original.

Trades that were cancelled, amended or came late, marks that were corrected, terms that became
known: all of it counts by the day on which it took effect. The original is never touched and
replays as it was.
"""

from dataclasses import dataclass
from typing import Final

from django.db import connection
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from accounts.audit import Actor, acting
from ledger.horizons import current_horizon
from margin.book import read_inputs, read_inputs_of
from margin.models import MarginResult, MarginRun, RunException
from margin.preview import Figures, figures_of
from margin.run_rows import INCREMENTAL
from margin.runs import Computed, computed, keep_run

RESTATEMENT: Final = "restatement"


@dataclass(frozen=True, slots=True)
class Restated:
    """What became of a restatement.

    Attributes:
        original: the run as it was made.
        run: the newest restatement; None where all that is known now gives the original's figures.
        is_new: whether it was made by this request.
    """

    original: MarginRun
    run: MarginRun | None
    is_new: bool


def restate(number: str, *, actor: Actor, reason: str, request_id: str = "") -> Restated:
    """Compute a run again as of its instant, with what is known now; changes no call.

    Asked again while nothing became known that changes it, it gives the restatement there is. A
    restatement is restated by restating its original, so that every one stands beside the same run.
    Of a run of some scopes everything is computed again; what differs is asked of its scopes.

    Args:
        number: of the run.
        actor: who asks.
        reason: why.
        request_id: of the web request.

    Raises:
        MarginRun.DoesNotExist: there is no such run.
        RefusedError: the session has ended.
    """
    asked = MarginRun.objects.select_related("restates").get(number=number)
    original = asked.restates or asked
    horizon = current_horizon(RESTATEMENT)
    done = computed(
        read_inputs(
            horizon_id=horizon.pk, as_of=original.as_of, is_restated=True, days=original.days
        )
    )
    stood = _hashes_by_rows(original, done)
    with acting(actor, reason=reason, request_id=request_id):
        _one_at_a_time(original)
        newest = newest_restatement(original)
        # Restated runs are made by rows, whatever their original was.
        stands = stood if newest is None else (newest.inputs_sha256, newest.result_sha256)
        is_same = stands == (done.inputs_sha256, done.result_sha256)
        if is_same or (newest is not None and newest.horizon_id > horizon.pk):
            return Restated(original, newest, is_new=False)
        run = keep_run(
            done, business_day=original.business_day, purpose=RESTATEMENT, restates=original
        )
    return Restated(original, run, is_new=True)


def differing_results(restated: MarginRun) -> "QuerySet[MarginResult]":
    """Results of a restated run that are not those of its original; one query.

    Rows carry `was_equity`, `was_initial`, `was_maintenance`, `was_state` and `was_called`.
    """
    fields = {
        "was_equity": "equity",
        "was_initial": "initial_margin",
        "was_maintenance": "maintenance_margin",
        "was_state": "state",
        "was_called": "call_amount",
    }
    differs = Q()
    for was, field in fields.items():
        differs |= Q(**{f"{field}__gt": F(was)}) | Q(**{f"{field}__lt": F(was)})
    return (
        MarginResult.objects.filter(run=restated, scope__results__run=restated.restates_id)
        .annotate(**{was: F(f"scope__results__{field}") for was, field in fields.items()})
        .filter(differs)
        .select_related("scope__bucket__account")
    )


def differing_exceptions(
    restated: MarginRun,
) -> "tuple[QuerySet[RunException], QuerySet[RunException]]":
    """Scopes that only the restated run could not compute, and those that only its original."""
    original = restated.restates
    assert original is not None, "the run restates another"

    def only(run: MarginRun, other: MarginRun) -> "QuerySet[RunException]":
        same = RunException.objects.filter(
            run=other, account=OuterRef("account"), bucket_code=OuterRef("bucket_code")
        )
        rows = RunException.objects.filter(~Exists(same), run=run)
        return rows.select_related("account").order_by("account__code", "bucket_code")

    lost = only(restated, original)
    if original.purpose == INCREMENTAL:
        spoken_of = MarginResult.objects.filter(
            run=original,
            scope__bucket__account=OuterRef("account"),
            scope__bucket__code=OuterRef("bucket_code"),
        )
        lost = lost.filter(Exists(spoken_of))
    return lost, only(original, restated)


def newest_restatement(original: MarginRun) -> MarginRun | None:
    """The last that was said of a run since it was made."""
    return MarginRun.objects.filter(restates=original).order_by("-pk").first()


def _hashes_by_rows(run: MarginRun, done: Computed) -> tuple[str, str]:
    """The hashes of inputs and results of a run as one by rows has them.

    Those of a run in columns are of its columns. Where it says what is computed now, its inputs are
    read again by rows as it knew them; else its own hashes differ from those of any run by rows.
    """
    if run.layout == MarginRun.Layout.COLUMNS and _says_the_same(done, run):
        then = computed(read_inputs_of(run))
        return then.inputs_sha256, then.result_sha256
    return run.inputs_sha256, run.result_sha256


def _says_the_same(done: Computed, run: MarginRun) -> bool:
    """Whether a run kept what was computed, scope by scope."""
    rows = run.results.values_list("scope_id", *Figures._fields)
    kept = {scope: Figures(*figures) for scope, *figures in rows}
    said = figures_of(done)
    if run.purpose == INCREMENTAL:
        said = {scope: figures for scope, figures in said.items() if scope in kept}
    return said == kept


def _one_at_a_time(original: MarginRun) -> None:
    """Let restatements of one run wait for each other until the act ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [f"restate {original.number}"])
