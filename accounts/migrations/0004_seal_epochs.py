"""Epochs of the sealed history (SQL beside this file)."""

from pathlib import Path

from django.db import migrations, models

import accounts.fields


class Migration(migrations.Migration):
    dependencies = [("accounts", "0003_guard_list")]

    operations = [
        migrations.CreateModel(
            name="SealEpoch",
            fields=[
                ("number", models.PositiveIntegerField(primary_key=True, serialize=False)),
                (
                    "cause",
                    models.CharField(
                        choices=[
                            ("first", "First"),
                            ("restore", "Restore"),
                            ("upgrade", "Upgrade"),
                        ],
                        max_length=8,
                    ),
                ),
                ("began_at", models.DateTimeField()),
                ("after_number", models.BigIntegerField()),
                ("after_head", models.BinaryField()),
                ("highest_xid", accounts.fields.TransactionIdField()),
                ("given_up", models.JSONField()),
                ("server", models.CharField(max_length=60)),
                ("public_key", models.BinaryField()),
                ("signature", models.BinaryField()),
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
