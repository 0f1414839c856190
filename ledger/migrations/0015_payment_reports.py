"""Status reports of banks on payment files (SQL beside this file)."""

from pathlib import Path

import accounts.fields
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0013_payees"),
        ("ledger", "0014_payments"),
    ]

    operations = [
        migrations.CreateModel(
            name="PaymentReport",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("version", models.CharField(blank=True, max_length=20)),
                ("message_id", models.CharField(blank=True, max_length=35)),
                ("original_message_id", models.CharField(blank=True, max_length=35)),
                ("rejection", models.CharField(blank=True, max_length=300)),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
                (
                    "file",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="ledger.statementfile",
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
                (
                    "payment_file",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="reports",
                        to="ledger.paymentfile",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="PaymentStatus",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("ordinal", models.PositiveIntegerField()),
                ("end_to_end_id", models.CharField(blank=True, max_length=35)),
                ("status", models.CharField(max_length=35)),
                ("reason_code", models.CharField(blank=True, max_length=35)),
                ("amount", accounts.fields.ExactField(null=True)),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("noted", "Noted"),
                            ("returned", "Claim restored"),
                            ("left", "Left to a person"),
                        ],
                        max_length=10,
                    ),
                ),
                ("detail", models.CharField(blank=True, max_length=300)),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
                (
                    "payment",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="statuses",
                        to="ledger.payment",
                    ),
                ),
                (
                    "report",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="statuses",
                        to="ledger.paymentreport",
                    ),
                ),
            ],
        ),
        migrations.AddConstraint(
            model_name="paymentreport",
            constraint=models.UniqueConstraint(
                fields=("legal_entity", "file"), name="payment_report_is_read_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="paymentstatus",
            constraint=models.UniqueConstraint(
                fields=("report", "ordinal"), name="payment_status_is_counted"
            ),
        ),
        migrations.AddConstraint(
            model_name="paymentstatus",
            constraint=models.UniqueConstraint(
                condition=models.Q(("outcome", "returned")),
                fields=("payment",),
                name="payment_is_rejected_once",
            ),
        ),
        migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text()),
    ]
