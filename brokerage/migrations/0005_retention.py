"""Words of history from which the name of an erased person can be taken (SQL beside this file)."""

from pathlib import Path

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("brokerage", "0004_backup"),
        ("margin", "0004_four_eyes"),
        ("ledger", "0010_interest"),
    ]

    operations = [migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text())]
