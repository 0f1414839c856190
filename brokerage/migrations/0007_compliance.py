"""Compliance of an emergency that is over opens no case (SQL beside this file)."""

from pathlib import Path

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("brokerage", "0006_cases"),
        ("accounts", "0015_people"),
    ]

    operations = [migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text())]
