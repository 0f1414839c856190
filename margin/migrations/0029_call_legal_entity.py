"""Calls say the legal entity of their account (SQL beside this)."""

from pathlib import Path

import django.db.models.deletion
from django.db import migrations, models


def at_legal_entity(*, null: bool) -> models.ForeignKey:
    return models.ForeignKey(
        db_index=False,
        null=null,
        on_delete=django.db.models.deletion.PROTECT,
        related_name="+",
        to="accounts.legalentity",
    )


class Migration(migrations.Migration):
    dependencies = [("margin", "0028_moving_levels"), ("accounts", "0017_provider_sessions")]

    operations = [
        migrations.AddField("margincall", "legal_entity", at_legal_entity(null=True)),
        migrations.RunSQL(
            Path(__file__).with_suffix(".sql").read_text(),
            state_operations=[
                migrations.AlterField("margincall", "legal_entity", at_legal_entity(null=False))
            ],
        ),
    ]
