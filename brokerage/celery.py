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
