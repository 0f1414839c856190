"""Restores on record (SQL beside this file)."""

from pathlib import Path

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("brokerage", "0003_periods")]

    operations = [migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text())]
