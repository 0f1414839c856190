"""Haircuts with tiers (SQL beside this file)."""

from pathlib import Path

import accounts.fields
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("ledger", "0011_one_entry"),
        ("margin", "0009_market_states"),
    ]

    operations = [
        migrations.CreateModel(
            name="HaircutSchedule",
            fields=[
                (
                    "haircut",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="schedule",
                        serialize=False,
                        to="margin.haircut",
                    ),
                ),
                ("values", models.JSONField()),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
            ],
        ),
        migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text()),
    ]
