"""Guards and rights of margin's tables (SQL beside this file)."""

from pathlib import Path

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("margin", "0001_initial"), ("ledger", "0004_posting")]

    operations = [migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text())]
