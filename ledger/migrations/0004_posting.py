"""The one door for value (SQL beside this file)."""

from pathlib import Path

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("ledger", "0003_guards")]

    operations = [migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text())]
