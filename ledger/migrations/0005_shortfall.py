"""A pool that lacks money keeps the firm's own money in it (SQL beside this file)."""

from pathlib import Path

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("ledger", "0004_posting")]

    operations = [migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text())]
