"""Limits per role and four eyes on agreements (SQL beside this file)."""

from pathlib import Path

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("accounts", "0004_seal_epochs")]

    operations = [migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text())]
