"""Wiring, and what spans the apps. Nobody imports this package."""

from brokerage.celery import app as celery_app

# Imported here so that every `shared_task` binds to our broker, not to a default one.
__all__ = ["celery_app"]
