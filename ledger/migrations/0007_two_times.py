"""Reading the book at any business date as known at any horizon (SQL beside this file)."""

from pathlib import Path

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("ledger", "0006_posting_paths")]

    operations = [migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text())]
