"""Since when agreements are known (SQL beside this file)."""

from pathlib import Path

from django.db import migrations

import accounts.fields

TABLES = ("agreementversion", "accountagreement")


def _known() -> accounts.fields.TransactionIdField:
    return accounts.fields.TransactionIdField(db_default=accounts.fields.CurrentTransaction())


class Migration(migrations.Migration):
    dependencies = [("accounts", "0008_lean_acts")]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[migrations.AddField(table, "xid", _known()) for table in TABLES],
            database_operations=[
                migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text()),
            ],
        ),
    ]
