"""Payments and payment files (SQL beside this file)."""

from pathlib import Path

import accounts.fields
import django.db.models.deletion
import uuid
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0013_payees"),
        ("ledger", "0013_options"),
    ]

    operations = [
        migrations.CreateModel(
            name="Payment",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                ("key", models.CharField(max_length=120)),
                ("amount", accounts.fields.ExactField()),
                ("pay_on", models.DateField()),
                ("end_to_end_id", models.CharField(max_length=16)),
                ("reason", models.TextField()),
                ("requested_at", models.DateTimeField(db_default=accounts.fields.ClockTime())),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("requested", "Requested"),
                            ("refused", "Refused"),
                            ("released", "Released"),
                            ("approved", "Approved"),
                            ("in_file", "In a file"),
                            ("sent", "Sent"),
                            ("confirmed", "Confirmed"),
                            ("returned", "Returned"),
                            ("cancelled", "Cancelled"),
                        ],
                        default="requested",
                        max_length=10,
                    ),
                ),
                ("binding_term", models.CharField(blank=True, max_length=40)),
                ("free_amount", accounts.fields.ExactField(null=True)),
                ("terms", models.JSONField(default=list)),
                ("price_snapshot", models.CharField(blank=True, max_length=64)),
                ("note", models.TextField(blank=True)),
                ("return_code", models.CharField(blank=True, max_length=40)),
                (
                    "approval",
                    models.OneToOneField(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.approval",
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
                    "bucket",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.bucket",
                    ),
                ),
                (
                    "hold",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.bucket",
                    ),
                ),
                (
                    "hold_entry",
                    models.OneToOneField(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="ledger.entry",
                    ),
                ),
                (
                    "instruction",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.paymentinstruction",
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
                    "line",
                    models.OneToOneField(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="confirms_payment",
                        to="ledger.statementline",
                    ),
                ),
                (
                    "location",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="ledger.location",
                    ),
                ),
                (
                    "paid_entry",
                    models.OneToOneField(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="ledger.entry",
                    ),
                ),
                (
                    "return_entry",
                    models.OneToOneField(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="ledger.entry",
                    ),
                ),
                (
                    "return_line",
                    models.OneToOneField(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="returns_payment",
                        to="ledger.statementline",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="PaymentEvent",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("from_state", models.CharField(blank=True, max_length=10)),
                ("to_state", models.CharField(max_length=10)),
                ("text", models.TextField(blank=True)),
                ("recorded_at", models.DateTimeField(db_default=accounts.fields.ClockTime())),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
                (
                    "entry",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="ledger.entry",
                    ),
                ),
                (
                    "payment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="events",
                        to="ledger.payment",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="PaymentFile",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("message_id", models.CharField(max_length=35)),
                ("pay_on", models.DateField()),
                (
                    "format",
                    models.CharField(
                        choices=[
                            ("pain.001", "pain.001.001.09 (XML)"),
                            ("csv", "CSV, for entry by hand"),
                        ],
                        max_length=10,
                    ),
                ),
                ("content", models.BinaryField()),
                ("sha256", models.CharField(max_length=64)),
                ("payment_count", models.PositiveIntegerField()),
                ("control_sum", accounts.fields.ExactField()),
                ("written_at", models.DateTimeField(db_default=accounts.fields.ClockTime())),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("written", "Written"),
                            ("sent", "Sent"),
                            ("abandoned", "Abandoned"),
                        ],
                        default="written",
                        max_length=10,
                    ),
                ),
                ("note", models.TextField(blank=True)),
                ("placed_at", models.DateTimeField(null=True)),
                ("ended_at", models.DateTimeField(null=True)),
                (
                    "location",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="payment_files",
                        to="ledger.location",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="PaymentInFile",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("ordinal", models.PositiveIntegerField()),
                ("is_live", models.BooleanField(default=True)),
                (
                    "file",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="carried",
                        to="ledger.paymentfile",
                    ),
                ),
                (
                    "payment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="files",
                        to="ledger.payment",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="PaymentStep",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("from_state", models.CharField(blank=True, max_length=10)),
                ("to_state", models.CharField(max_length=10)),
                ("moves", models.CharField(blank=True, max_length=10)),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("from_state", "to_state"), name="payment_step_is_unique"
                    )
                ],
            },
        ),
        migrations.AddIndex(
            model_name="payment",
            index=models.Index(fields=["state", "pay_on"], name="payment_by_state"),
        ),
        migrations.AddIndex(
            model_name="payment",
            index=models.Index(
                condition=models.Q(("state__in", ["approved", "in_file", "sent"])),
                fields=["hold", "asset"],
                name="payment_that_is_held",
            ),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.UniqueConstraint(
                fields=("legal_entity", "key"), name="payment_key_is_unique"
            ),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.UniqueConstraint(
                fields=("end_to_end_id",), name="payment_has_its_own_reference"
            ),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount__gt", 0)), name="payment_is_an_amount"
            ),
        ),
        migrations.AddConstraint(
            model_name="paymentfile",
            constraint=models.UniqueConstraint(
                fields=("message_id",), name="payment_message_has_its_own_id"
            ),
        ),
        migrations.AddConstraint(
            model_name="paymentfile",
            constraint=models.CheckConstraint(
                condition=models.Q(("control_sum__gt", 0), ("payment_count__gt", 0)),
                name="payment_file_holds_payments",
            ),
        ),
        migrations.AddConstraint(
            model_name="paymentinfile",
            constraint=models.UniqueConstraint(
                condition=models.Q(("is_live", True)),
                fields=("payment",),
                name="payment_is_in_one_file",
            ),
        ),
        migrations.AddConstraint(
            model_name="paymentinfile",
            constraint=models.UniqueConstraint(
                fields=("file", "ordinal"), name="payment_file_counts_its_payments"
            ),
        ),
        migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text()),
    ]
