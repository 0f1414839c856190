"""Levels that move by session and volatility, kept with the run that used them (SQL beside this)."""

from pathlib import Path

import accounts.fields
import django.db.models.deletion
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("margin", "0027_plain_template")]

    operations = [
        migrations.CreateModel(
            name="MovedLevels",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("session", accounts.fields.ExactField()),
                ("volatility", accounts.fields.ExactField()),
                ("volatility_before", accounts.fields.ExactField()),
                ("inputs", models.JSONField()),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
                (
                    "agreement_version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.agreementversion",
                    ),
                ),
                (
                    "call_terms",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="margin.callterms",
                    ),
                ),
                (
                    "run",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="moved_levels",
                        to="margin.marginrun",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        name="levels_move_once_a_run", fields=["run", "agreement_version"]
                    ),
                    models.CheckConstraint(
                        name="levels_move_up_alone",
                        condition=Q(session__gte=0, volatility__gte=0, volatility_before__gte=0),
                    ),
                ],
            },
        ),
        migrations.AddField(
            model_name="marginresult",
            name="moved",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="margin.movedlevels",
            ),
        ),
        migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text()),
    ]
