"""Notices: texts, where they go, and what became of each delivery (SQL beside this file)."""

from pathlib import Path

import accounts.fields
import django.contrib.postgres.fields
import django.db.models.deletion
import uuid
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0009_agreement_xid"),
        ("margin", "0019_payment_tasks"),
    ]

    operations = [
        migrations.AlterField(
            model_name="task",
            name="kind",
            field=models.CharField(
                choices=[
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
                    ("notice", "Notice that needs somebody"),
                ],
                max_length=16,
            ),
        ),
        migrations.CreateModel(
            name="DeliveryTransition",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("from_state", models.CharField(blank=True, max_length=12)),
                ("to_state", models.CharField(max_length=12)),
                ("step", models.CharField(max_length=12)),
                (
                    "channels",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=8), size=None
                    ),
                ),
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
                        fields=("from_state", "to_state", "step"),
                        name="delivery_transition_is_listed_once",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="NoticeContact",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("version", models.PositiveIntegerField()),
                ("language", models.CharField(max_length=8)),
                ("channels", models.JSONField()),
                (
                    "kinds",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=16), size=None
                    ),
                ),
                ("addressed", models.BinaryField()),
                ("after_event", models.BigIntegerField()),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
                (
                    "client",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="notice_contacts",
                        to="accounts.client",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="NoticeTemplate",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("issued", "Issued"),
                            ("raised", "Raised"),
                            ("lowered", "Lowered"),
                            ("cancelled", "Cancelled"),
                            ("partially_met", "Partially met"),
                            ("met", "Met"),
                            ("extended", "Extended"),
                            ("expired", "Expired"),
                            ("liquidating", "Liquidating"),
                        ],
                        max_length=16,
                    ),
                ),
                ("language", models.CharField(max_length=8)),
                ("version", models.PositiveIntegerField()),
                ("subject", models.CharField(max_length=200)),
                ("body", models.TextField()),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
                (
                    "legal_entity",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.legalentity",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Delivery",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("issued", "Issued"),
                            ("raised", "Raised"),
                            ("lowered", "Lowered"),
                            ("cancelled", "Cancelled"),
                            ("partially_met", "Partially met"),
                            ("met", "Met"),
                            ("extended", "Extended"),
                            ("expired", "Expired"),
                            ("liquidating", "Liquidating"),
                        ],
                        max_length=16,
                    ),
                ),
                (
                    "channel",
                    models.CharField(
                        choices=[
                            ("email", "E-mail"),
                            ("webhook", "Webhook"),
                            ("letter", "Letter"),
                            ("outbox", "File in the outbox"),
                        ],
                        max_length=8,
                    ),
                ),
                ("sent_to", models.BinaryField()),
                ("sent_bytes", models.BinaryField()),
                ("sha256", models.CharField(max_length=64)),
                ("made_at", models.DateTimeField()),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "Waiting"),
                            ("sending", "Sending"),
                            ("printed", "Printed"),
                            ("delivered", "Delivered"),
                            ("undelivered", "Undelivered"),
                            ("bounced", "Bounced"),
                            ("dropped", "Dropped"),
                        ],
                        max_length=12,
                    ),
                ),
                ("attempts", models.PositiveIntegerField(default=0)),
                ("next_at", models.DateTimeField(null=True)),
                (
                    "call",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="deliveries",
                        to="margin.margincall",
                    ),
                ),
                (
                    "event",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="deliveries",
                        to="margin.callevent",
                    ),
                ),
                (
                    "person_key",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.personkey",
                    ),
                ),
                (
                    "contact",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="margin.noticecontact",
                    ),
                ),
                (
                    "template",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="margin.noticetemplate",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="DeliveryEvent",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("number", models.PositiveIntegerField()),
                ("step", models.CharField(max_length=12)),
                ("from_state", models.CharField(blank=True, max_length=12)),
                ("to_state", models.CharField(max_length=12)),
                ("at", models.DateTimeField()),
                ("text", models.TextField(blank=True)),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
                (
                    "delivery",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="events",
                        to="margin.delivery",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("delivery", "number"), name="delivery_event_is_numbered"
                    )
                ],
            },
        ),
        migrations.AddConstraint(
            model_name="noticecontact",
            constraint=models.UniqueConstraint(
                fields=("client", "version"), name="notice_contact_version_is_unique"
            ),
        ),
        migrations.AddConstraint(
            model_name="noticetemplate",
            constraint=models.UniqueConstraint(
                fields=("legal_entity", "kind", "language", "version"),
                name="notice_template_version_is_unique",
                nulls_distinct=False,
            ),
        ),
        migrations.AddIndex(
            model_name="delivery",
            index=models.Index(
                condition=models.Q(("next_at__isnull", False)),
                fields=["next_at"],
                name="delivery_that_is_due",
            ),
        ),
        migrations.AddIndex(
            model_name="delivery",
            index=models.Index(fields=["-made_at", "id"], name="delivery_by_time"),
        ),
        migrations.AddConstraint(
            model_name="delivery",
            constraint=models.UniqueConstraint(
                fields=("event", "channel", "contact"),
                name="notice_goes_once_each_way",
                nulls_distinct=False,
            ),
        ),
        migrations.AddConstraint(
            model_name="delivery",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("next_at__isnull", True),
                    ("state__in", ["waiting", "sending", "printed"]),
                    _connector="OR",
                ),
                name="delivery_that_is_over_waits_for_nothing",
            ),
        ),
        migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text()),
    ]
