"""Margin rates that policies propose (SQL beside this file)."""

from pathlib import Path

import accounts.fields
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("ledger", "0011_one_entry"),
        ("margin", "0010_collateral"),
    ]

    operations = [
        migrations.CreateModel(
            name="MarginProposal",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("business_day", models.DateField()),
                ("effective_from", models.DateField()),
                ("inputs", models.JSONField()),
                ("before", models.JSONField()),
                ("after", models.JSONField()),
                ("affected", models.JSONField()),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
                (
                    "asset",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="ledger.asset",
                    ),
                ),
                (
                    "parameter_set",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="margin.parameterset",
                    ),
                ),
                (
                    "run",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="margin.marginrun",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("asset", "run", "parameter_set"),
                        name="rates_are_proposed_once_of_a_run",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("effective_from__gte", models.F("business_day"))),
                        name="proposal_gives_no_notice_backwards",
                    ),
                ],
            },
        ),
        migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text()),
    ]
