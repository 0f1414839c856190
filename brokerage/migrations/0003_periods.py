"""Days close with what was known, and periods over days that are done (SQL beside this file)."""

from pathlib import Path

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("brokerage", "0002_guards"), ("ledger", "0007_two_times")]

    operations = [migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text())]
