"""Corrected marks, and what becomes of calls when a run is restated (SQL beside this file)."""

from pathlib import Path

from django.db import migrations, models
from django.db.models import deletion

import accounts.fields


def _known() -> accounts.fields.TransactionIdField:
    return accounts.fields.TransactionIdField(db_default=accounts.fields.CurrentTransaction())


VERDICTS = [("keep", "Keep"), ("amend", "Amend"), ("cancel", "Cancel")]


class Migration(migrations.Migration):
    dependencies = [("margin", "0012_reports")]

    operations = [
        migrations.AddField(
            "mark", "revision", models.PositiveSmallIntegerField(default=0, db_default=0)
        ),
        migrations.AddField(
            "mark",
            "corrects",
            models.OneToOneField(
                "margin.mark", deletion.PROTECT, null=True, related_name="correction"
            ),
        ),
        migrations.AddField("mark", "note", models.TextField(blank=True, db_default="")),
        migrations.RemoveConstraint("mark", "mark_is_composed_once"),
        migrations.AddConstraint(
            "mark",
            models.UniqueConstraint(
                name="mark_is_composed_once", fields=["asset", "as_of", "revision"]
            ),
        ),
        migrations.CreateModel(
            name="CallDecision",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "run",
                    models.ForeignKey(
                        "margin.marginrun", deletion.PROTECT, related_name="call_decisions"
                    ),
                ),
                (
                    "call",
                    models.ForeignKey(
                        "margin.margincall", deletion.PROTECT, related_name="decisions"
                    ),
                ),
                ("verdict", models.CharField(max_length=8, choices=VERDICTS)),
                ("amount_before", accounts.fields.ExactField()),
                ("amount_after", accounts.fields.ExactField()),
                ("reason", models.TextField()),
                ("xid", _known()),
            ],
        ),
        migrations.AddConstraint(
            "calldecision",
            models.UniqueConstraint(
                name="call_is_decided_once_a_restatement", fields=["run", "call"]
            ),
        ),
        migrations.CreateModel(
            name="CallNotice",
            fields=[
                (
                    "decision",
                    models.OneToOneField(
                        "margin.calldecision",
                        deletion.PROTECT,
                        primary_key=True,
                        serialize=False,
                        related_name="notice",
                    ),
                ),
                ("channel", models.CharField(max_length=20)),
                ("name", models.CharField(max_length=200)),
                ("text", models.TextField()),
                ("sha256", models.CharField(max_length=64)),
                ("xid", _known()),
            ],
        ),
        migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text()),
    ]
