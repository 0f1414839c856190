"""Retention classes, holds and erasure (SQL beside this file)."""

from pathlib import Path
from uuid import uuid4

from django.db import migrations, models
from django.db.models import deletion

from accounts import fields


class Migration(migrations.Migration):
    dependencies = [("accounts", "0005_four_eyes")]

    operations = [
        migrations.CreateModel(
            name="RetentionClass",
            fields=[
                ("code", models.CharField(max_length=40, primary_key=True, serialize=False)),
                ("title", models.CharField(max_length=120)),
                ("clock", models.CharField(max_length=120)),
                ("xid", fields.TransactionIdField(db_default=fields.CurrentTransaction())),
            ],
        ),
        migrations.CreateModel(
            name="RetentionRule",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("effective_from", models.DateField()),
                ("keep_for", models.DurationField()),
                ("gone_after", models.DurationField(null=True)),
                ("basis", models.CharField(max_length=200)),
                ("xid", fields.TransactionIdField(db_default=fields.CurrentTransaction())),
                (
                    "record",
                    models.ForeignKey(
                        on_delete=deletion.PROTECT,
                        related_name="rules",
                        to="accounts.retentionclass",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("record", "effective_from"), name="retention_changes_once_a_day"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("gone_after__isnull", True),
                            ("gone_after__gte", models.F("keep_for")),
                            _connector="OR",
                        ),
                        name="records_are_kept_before_they_go",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="LegalHold",
            fields=[
                ("id", models.UUIDField(default=uuid4, primary_key=True, serialize=False)),
                ("reason", models.TextField()),
                ("placed_xid", fields.TransactionIdField()),
                ("lifted_reason", models.TextField(blank=True)),
                ("lifted_xid", fields.TransactionIdField(null=True)),
                (
                    "client",
                    models.ForeignKey(
                        on_delete=deletion.PROTECT, related_name="holds", to="accounts.client"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Erasure",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("kept_until", models.DateField(null=True)),
                ("lawful_reason", models.TextField(blank=True)),
                ("is_again", models.BooleanField()),
                ("xid", fields.TransactionIdField(db_default=fields.CurrentTransaction())),
                (
                    "client",
                    models.OneToOneField(
                        on_delete=deletion.PROTECT, related_name="erasure", to="accounts.client"
                    ),
                ),
                (
                    "person_key",
                    models.OneToOneField(
                        on_delete=deletion.PROTECT, related_name="erasure", to="accounts.personkey"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Redaction",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("table_name", models.CharField(max_length=63)),
                ("row_key", models.TextField()),
                ("columns", models.JSONField()),
                ("leaf_sealed", models.BinaryField(null=True)),
                ("leaf_now", models.BinaryField(null=True)),
                ("xid", fields.TransactionIdField(db_default=fields.CurrentTransaction())),
                (
                    "erasure",
                    models.ForeignKey(
                        on_delete=deletion.PROTECT, related_name="redactions", to="accounts.erasure"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Purge",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("before", models.DateTimeField()),
                ("rows", models.PositiveIntegerField()),
                ("xid", fields.TransactionIdField(db_default=fields.CurrentTransaction())),
                (
                    "record",
                    models.ForeignKey(
                        on_delete=deletion.PROTECT, related_name="+", to="accounts.retentionclass"
                    ),
                ),
            ],
        ),
        migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text()),
    ]
