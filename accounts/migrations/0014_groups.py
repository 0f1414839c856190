"""Groups that are margined: their account, their guarantee, since when members are known."""

from pathlib import Path

import django.db.models.deletion
from django.db import migrations, models

import accounts.fields


class Migration(migrations.Migration):
    dependencies = [("accounts", "0013_payees")]

    operations = [
        migrations.AddField(
            "accountgroup",
            "account",
            models.OneToOneField(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="margin_group",
                to="accounts.marginaccount",
            ),
        ),
        migrations.AddField("accountgroup", "guarantee_dated_on", models.DateField(null=True)),
        migrations.AddField(
            "accountgroup",
            "guarantee_sha256",
            models.CharField(blank=True, default="", max_length=64),
            preserve_default=False,
        ),
        migrations.AddConstraint(
            "accountgroup",
            models.CheckConstraint(
                condition=models.Q(
                    ("guarantee_dated_on__isnull", True),
                    models.Q(("guarantee_reference", ""), _negated=True),
                    _connector="OR",
                ),
                name="guarantee_has_a_day",
            ),
        ),
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AddField(
                    "groupmember",
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
            ],
            database_operations=[
                migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text()),
            ],
        ),
    ]
