"""What the book cannot hold (SQL beside this file)."""

from pathlib import Path

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("ledger", "0002_kinds")]

    operations = [migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text())]
