"""Switches that two people set in an incident, and calls that were held back (SQL beside)."""

from pathlib import Path

import accounts.fields
import django.db.models.deletion
from django.db import migrations, models

TASKS = [
    ("liquidate", "Scope to liquidate"),
    ("deficit", "Scope in deficit"),
    ("price", "No valid price"),
    ("unpriced", "Position without a price"),
    ("no_agreement", "Account without an agreement"),
    ("uncovered", "Loss that nobody covered"),
    ("job", "Job that failed"),
    ("transit", "Money on its way for too long"),
    ("eligibility", "Account not eligible for its model"),
    ("dislocation", "One source far from the others"),
    ("feed", "Feed later than promised"),
    ("option_expiry", "Option over and not settled"),
    ("call", "Margin call that needs somebody"),
    ("payment", "Payment to look after"),
    ("check", "Margin not checked in time"),
    ("notice", "Notice that needs somebody"),
    ("switch", "Switch that needs somebody"),
]


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0014_groups"),
        ("ledger", "0014_payments"),
        ("margin", "0023_groups"),
    ]

    operations = [
        migrations.AlterField("task", "kind", models.CharField(max_length=16, choices=TASKS)),
        migrations.CreateModel(
            name="Switch",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "what",
                    models.CharField(
                        choices=[
                            ("calls", "Automatic calls"),
                            ("withdrawals", "Withdrawals"),
                            ("liquidation", "Liquidation"),
                        ],
                        max_length=12,
                    ),
                ),
                ("version", models.PositiveIntegerField()),
                ("is_stopped", models.BooleanField()),
                ("until", models.DateTimeField(null=True)),
                ("reason", models.TextField()),
                ("set_at", models.DateTimeField(db_default=accounts.fields.ClockTime())),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
                (
                    "approval",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.approval",
                    ),
                ),
                (
                    "legal_entity",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.legalentity",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="HeldCall",
            fields=[
                (
                    "result",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="held_call",
                        serialize=False,
                        to="margin.marginresult",
                    ),
                ),
                ("amount", accounts.fields.ExactField()),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
                (
                    "call",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="margin.margincall",
                    ),
                ),
            ],
        ),
        migrations.AddConstraint(
            model_name="switch",
            constraint=models.UniqueConstraint(
                fields=("legal_entity", "what", "version"), name="switch_version_is_unique"
            ),
        ),
        migrations.AddConstraint(
            model_name="switch",
            constraint=models.CheckConstraint(
                condition=models.Q(("what__in", ["calls", "withdrawals", "liquidation"])),
                name="switch_is_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="switch",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("is_stopped", True), ("until__isnull", False)),
                    models.Q(("is_stopped", False), ("until__isnull", True)),
                    _connector="OR",
                ),
                name="stopped_switch_says_until_when",
            ),
        ),
        migrations.AddConstraint(
            model_name="heldcall",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount__gt", 0)), name="held_call_asks_for_something"
            ),
        ),
        migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text()),
    ]
