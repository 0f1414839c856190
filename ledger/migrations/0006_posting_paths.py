"""Paths for one entry, for batches and for staged work (SQL beside this file)."""

from pathlib import Path

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("ledger", "0005_shortfall")]

    operations = [migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text())]
