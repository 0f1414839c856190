"""Price files taken during a day, and what they brought about (SQL beside this file)."""

from pathlib import Path

from django.db import migrations, models
from django.db.models import deletion

import accounts.fields


def _known() -> accounts.fields.TransactionIdField:
    return accounts.fields.TransactionIdField(db_default=accounts.fields.CurrentTransaction())


class Migration(migrations.Migration):
    dependencies = [("margin", "0013_restatements")]

    operations = [
        migrations.CreateModel(
            name="PriceFile",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("sha256", models.CharField(max_length=64, unique=True)),
                ("key", models.CharField(max_length=120, blank=True)),
                ("name", models.CharField(max_length=200)),
                ("as_of", models.DateTimeField(unique=True)),
                ("business_day", models.DateField()),
                ("row_count", models.PositiveIntegerField()),
                ("content", models.BinaryField()),
                ("received_at", models.DateTimeField(db_default=accounts.fields.ClockTime())),
                ("xid", _known()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        name="price_file_key_is_used_once",
                        fields=["key"],
                        condition=models.Q(("key", ""), _negated=True),
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="RejectedPrice",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "price_file",
                    models.ForeignKey(
                        "margin.pricefile",
                        deletion.PROTECT,
                        related_name="rejected",
                        db_index=False,
                    ),
                ),
                ("line", models.PositiveIntegerField()),
                ("field", models.CharField(max_length=60)),
                ("reason", models.CharField(max_length=60)),
                ("xid", _known()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        name="price_row_is_rejected_once", fields=["price_file", "line"]
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Remargin",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "price_file",
                    models.ForeignKey(
                        "margin.pricefile",
                        deletion.PROTECT,
                        related_name="remargins",
                        db_index=False,
                    ),
                ),
                (
                    "since",
                    models.ForeignKey(
                        "margin.marginrun",
                        deletion.PROTECT,
                        null=True,
                        related_name="+",
                        db_index=False,
                    ),
                ),
                (
                    "run",
                    models.OneToOneField(
                        "margin.marginrun", deletion.PROTECT, null=True, related_name="remargin"
                    ),
                ),
                ("xid", _known()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        name="price_file_is_run_once",
                        fields=["price_file", "since"],
                        nulls_distinct=False,
                    ),
                ],
            },
        ),
        migrations.AddField(
            "price",
            "price_file",
            models.ForeignKey(
                "margin.pricefile", deletion.PROTECT, null=True, related_name="prices"
            ),
        ),
        migrations.RemoveConstraint("price", "price_line_is_unique"),
        migrations.AddConstraint(
            "price",
            models.UniqueConstraint(
                name="price_line_is_unique",
                fields=["file_sha256", "line", "price_file"],
                nulls_distinct=False,
            ),
        ),
        migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text()),
    ]
