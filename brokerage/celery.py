"""The job transport and all periodic work.

A broker may lose or repeat any message: the job row in PostgreSQL is the truth, messages carry
only its id. How the broker is reached stands in the settings (`CELERY_...`).
"""

import os
import warnings

import django
from celery import Celery
from celery.platforms import SecurityWarning
from celery.signals import worker_init
from django.db import connections

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "brokerage.settings")

# It warns of root because of pickled messages; ours are JSON and carry ids only.
warnings.filterwarnings("ignore", category=SecurityWarning, module="celery.platforms")

app = Celery("brokerage")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_init.connect  # type: ignore[untyped-decorator]
def refuse_unguarded(**kwargs: object) -> None:
    """Take no job on a database whose guards are not those of this version."""
    django.setup()
    from accounts.guards import GuardsChangedError, refuse_to_start_unguarded

    try:
        refuse_to_start_unguarded()
    except GuardsChangedError as changed:
        raise SystemExit(str(changed)) from changed
    finally:
        connections.close_all()  # the children that do the work open their own


def every(seconds: int, task: str) -> dict[str, object]:
    """A periodic task. A message that was not taken before the next one is due is dropped."""
    return {
        "task": f"brokerage.tasks.{task}",
        "schedule": seconds,
        "options": {"expires": seconds},
    }


# Two schedulers at once would be harmless: each task looks at the database first.
app.conf.beat_schedule = {
    "sweep jobs": every(5, "sweep_jobs"),
    "watch the inbox": every(30, "watch_inbox"),
    "watch for prices": every(2, "watch_prices"),
    "watch that margin is checked": every(10, "watch_coverage"),
    "watch switches of an incident": every(10, "watch_switches"),
    "store the horizon": every(60, "store_horizon"),
    "keep checkpoints": every(300, "keep_checkpoints"),
    "keep the clocks of calls": every(60, "keep_call_clocks"),
    "deliver notices": every(5, "deliver_notices"),
    "read what came back": every(60, "read_bounces"),
    "accrue interest": every(300, "accrue_interest"),
    "propose margin": every(300, "propose_margin"),
    "let go what is past its date": every(3600, "purge_records"),
    "seal history": every(60, "seal_history"),
    "prove the book": every(600, "prove_the_book"),
}
