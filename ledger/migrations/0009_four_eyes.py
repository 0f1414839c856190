"""Four eyes on locations, letters and receipts (SQL beside this file)."""

from pathlib import Path

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("ledger", "0008_buckets"), ("accounts", "0005_four_eyes")]

    operations = [migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text())]
