"""What the book cannot hold (SQL beside this file)."""

from pathlib import Path

from django.db import migrations

PARTS = ("0003_guards.sql", "0003_guards_entries.sql", "0003_guards_places.sql")


class Migration(migrations.Migration):
    dependencies = [("ledger", "0002_kinds")]

    operations = [migrations.RunSQL(Path(__file__).with_name(name).read_text()) for name in PARTS]
