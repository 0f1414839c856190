"""Balances at any past instant without a look at each account (SQL beside this file)."""

from pathlib import Path

from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models

from accounts import fields

PARTS = (
    "0012_checkpoints_movements.sql",
    "0012_checkpoints.sql",
    "0012_checkpoints_balances.sql",
)


class Migration(migrations.Migration):
    dependencies = [("ledger", "0011_one_entry")]

    operations = [
        migrations.AddField("dailymovement", "amount_before", fields.ExactField(null=True)),
        migrations.AddField("dailymovement", "first_xid", fields.TransactionIdField(null=True)),
        migrations.CreateModel(
            name="Checkpoint",
            fields=[
                (
                    "below",
                    fields.TransactionIdField(primary_key=True, serialize=False),
                ),
                ("since", fields.TransactionIdField(unique=True)),
                ("postings", models.BigIntegerField()),
                ("newest_on", models.DateField()),
                ("first_entry", models.BigIntegerField()),
                ("last_entry", models.BigIntegerField()),
                ("account_ids", ArrayField(models.BigIntegerField())),
                ("account_seqs", ArrayField(models.BigIntegerField())),
                ("amounts", ArrayField(fields.ExactField())),
            ],
        ),
        *(migrations.RunSQL(Path(__file__).with_name(name).read_text()) for name in PARTS),
    ]
