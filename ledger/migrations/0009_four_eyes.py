"""Four eyes on locations, letters, residual interest and receipts (SQL beside this file)."""

from pathlib import Path

import django.db.models.deletion
from django.db import migrations, models

import accounts.fields


class Migration(migrations.Migration):
    dependencies = [("ledger", "0008_buckets"), ("accounts", "0005_four_eyes")]

    operations = [
        migrations.CreateModel(
            name="LetterDocument",
            fields=[
                ("sha256", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=200)),
                ("media_type", models.CharField(max_length=60)),
                ("content", models.BinaryField()),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="LocationUse",
            fields=[
                (
                    "location",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="use",
                        serialize=False,
                        to="ledger.location",
                    ),
                ),
                ("usable_from", models.DateField()),
                ("usable_until", models.DateField()),
                ("closed_from", models.DateField()),
            ],
        ),
        migrations.AddField(
            model_name="location",
            name="account_title",
            field=models.CharField(blank=True, db_default="", max_length=200),
        ),
        migrations.AddField(
            model_name="location",
            name="keeper",
            field=models.CharField(blank=True, db_default="", max_length=200),
        ),
        migrations.AddField(
            model_name="location",
            name="keeper_address",
            field=models.CharField(blank=True, db_default="", max_length=300),
        ),
        migrations.CreateModel(
            name="ConductRule",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "code",
                    models.CharField(
                        choices=[
                            ("letter_void_days", "Days after a change until a letter is void"),
                            ("letter_warning_days", "Days before a letter runs out to warn"),
                            ("residual_share", "Share of residual interest without a principal"),
                            ("statement_days", "Days a week for which statements are made"),
                            ("receipt_alarm_days", "Days until a receipt without an owner alarms"),
                        ],
                        max_length=30,
                    ),
                ),
                ("regime", models.CharField(blank=True, max_length=20)),
                ("effective_from", models.DateField()),
                ("value", accounts.fields.ExactField()),
                ("source", models.CharField(max_length=200)),
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
                        fields=("code", "regime", "effective_from"),
                        name="conduct_rule_is_set_once_a_day",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("value__gte", 0)), name="conduct_rule_is_a_number"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="LocationChange",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("changed_on", models.DateField()),
                ("fields", models.CharField(max_length=200)),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
                (
                    "location",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="changes",
                        to="ledger.location",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="ReceiptSettlement",
            fields=[
                (
                    "entry",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="ledger.entry",
                    ),
                ),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
                (
                    "receipt",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="settlements",
                        to="ledger.entry",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Letter",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("reference", models.CharField(max_length=200)),
                ("signed_on", models.DateField(null=True)),
                ("expires_on", models.DateField(null=True)),
                ("is_declared", models.BooleanField()),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
                (
                    "location",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="letters",
                        to="ledger.location",
                    ),
                ),
                (
                    "document",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="ledger.letterdocument",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("document__isnull", True), ("is_declared", True)),
                            models.Q(
                                ("document__isnull", False),
                                ("is_declared", False),
                                ("signed_on__isnull", False),
                            ),
                            _connector="OR",
                        ),
                        name="letter_has_a_document_and_a_date",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("expires_on__isnull", True),
                            ("signed_on__isnull", True),
                            ("expires_on__gte", models.F("signed_on")),
                            _connector="OR",
                        ),
                        name="letter_expires_after_it_is_signed",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ResidualNotice",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("reasons", models.TextField()),
                ("recipients", models.TextField()),
                ("amount", accounts.fields.ExactField()),
                ("residual_interest", accounts.fields.ExactField()),
                ("representation", models.TextField()),
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
                        related_name="residual_notice",
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
                    "pool",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="ledger.pool",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("amount__gt", 0),
                            ("reasons__regex", "\\S.{8,}\\S"),
                            ("recipients__regex", "\\S"),
                            ("representation__regex", "\\S.{8,}\\S"),
                        ),
                        name="notice_has_its_five_items",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="ResidualTarget",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("effective_from", models.DateField()),
                ("amount", accounts.fields.ExactField()),
                ("analysis", models.TextField()),
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
                    "pool",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="ledger.pool",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("pool", "asset", "effective_from"),
                        name="residual_target_is_set_once_a_day",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("amount__gte", 0)),
                        name="residual_target_is_not_negative",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="SegregationStatement",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("business_day", models.DateField()),
                ("requirement", accounts.fields.ExactField()),
                ("resource", accounts.fields.ExactField()),
                ("unallocated", accounts.fields.ExactField()),
                ("residual_interest", accounts.fields.ExactField()),
                ("shortfall", accounts.fields.ExactField()),
                ("residual_seq", models.BigIntegerField()),
                ("stated_at", models.DateTimeField(db_default=accounts.fields.ClockTime())),
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
                    "pool",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="ledger.pool",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("pool", "asset", "business_day"),
                        name="segregation_is_stated_once_a_day",
                    )
                ],
            },
        ),
        *(
            migrations.RunSQL(Path(__file__).with_name(f"0009_four_eyes{part}.sql").read_text())
            for part in ("", "_places", "_acts")
        ),
    ]
