"""Moves between buckets, individual segregation, transit, debts (SQL beside this file)."""

from pathlib import Path

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("ledger", "0007_two_times")]

    operations = [migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text())]
