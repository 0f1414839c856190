"""The job transport and all periodic work.

A broker may lose or repeat any message: the job row in PostgreSQL is the truth, messages carry
only its id. How the broker is reached stands in the settings (`CELERY_...`).
"""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "brokerage.settings")

app = Celery("brokerage")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
