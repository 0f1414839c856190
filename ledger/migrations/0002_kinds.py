"""Why value may move (SQL beside this file)."""

from pathlib import Path

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("ledger", "0001_initial"), ("accounts", "0002_trail")]

    operations = [migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text())]
