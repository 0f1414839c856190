"""Header rows, append-only and audited tables, sessions, four eyes (SQL beside this file)."""

from pathlib import Path

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial"), ("sessions", "0001_initial")]

    operations = [
        migrations.RunSQL(
            Path(__file__).with_suffix(".sql").read_text(), "DROP SCHEMA accounts CASCADE"
        )
    ]
