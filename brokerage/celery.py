"""The job transport and all periodic work.

A broker may lose or repeat any message: the job row in PostgreSQL is the truth, messages carry
only its id. How the broker is reached stands in the settings (`CELERY_...`).
"""

import os
import warnings

from celery import Celery
from celery.platforms import SecurityWarning

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "brokerage.settings")

# It warns of root because of pickled messages; ours are JSON and carry ids only.
warnings.filterwarnings("ignore", category=SecurityWarning, module="celery.platforms")

app = Celery("brokerage")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


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
    "store the horizon": every(60, "store_horizon"),
    "seal history": every(60, "seal_history"),
}
