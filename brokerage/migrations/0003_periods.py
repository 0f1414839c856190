"""Closed periods (SQL beside this file)."""

from pathlib import Path

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("brokerage", "0002_guards")]

    operations = [migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text())]
