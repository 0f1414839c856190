"""Retention classes, holds and erasure (SQL beside this file)."""

from pathlib import Path

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("accounts", "0005_four_eyes")]

    operations = [migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text())]
