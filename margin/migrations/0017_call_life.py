"""The life of a call as data: transitions, increments, clocks and reliefs (SQL beside this file)."""

from pathlib import Path

from django.db import migrations, models
from django.db.models import Q, deletion

import accounts.fields


def _known() -> accounts.fields.TransactionIdField:
    return accounts.fields.TransactionIdField(db_default=accounts.fields.CurrentTransaction())


def _key() -> models.BigAutoField:
    return models.BigAutoField(primary_key=True, serialize=False)


KINDS = [
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
    ("call", "Margin call that needs somebody"),
]
RELIEFS = [("extend", "More time"), ("waive", "Nothing due")]


class Migration(migrations.Migration):
    dependencies = [
        ("margin", "0016_result_index"),
        ("accounts", "0009_agreement_xid"),
    ]

    operations = [
        migrations.AlterField("task", "kind", models.CharField(max_length=16, choices=KINDS)),
        migrations.CreateModel(
            name="CallTransition",
            fields=[
                ("id", _key()),
                ("from_state", models.CharField(max_length=14)),
                ("to_state", models.CharField(max_length=14)),
                ("act", models.CharField(max_length=20)),
                ("xid", _known()),
            ],
        ),
        migrations.AddConstraint(
            "calltransition",
            models.UniqueConstraint(
                name="call_transition_is_listed_once", fields=["from_state", "to_state"]
            ),
        ),
        migrations.CreateModel(
            name="CallIncrement",
            fields=[
                ("id", _key()),
                (
                    "call",
                    models.ForeignKey(
                        "margin.margincall", deletion.PROTECT, related_name="increments"
                    ),
                ),
                ("number", models.PositiveIntegerField()),
                ("amount", accounts.fields.ExactField()),
                ("issued_at", models.DateTimeField()),
                ("due_at", models.DateTimeField()),
                (
                    "run",
                    models.ForeignKey("margin.marginrun", deletion.PROTECT, related_name="+"),
                ),
                ("xid", _known()),
            ],
        ),
        migrations.AddConstraint(
            "callincrement",
            models.UniqueConstraint(name="call_increment_is_numbered", fields=["call", "number"]),
        ),
        migrations.AddConstraint(
            "callincrement",
            models.CheckConstraint(
                name="call_increment_asks_for_more",
                condition=Q(amount__gt=0) & Q(due_at__gte=models.F("issued_at")),
            ),
        ),
        migrations.CreateModel(
            name="CallTerms",
            fields=[
                ("id", _key()),
                (
                    "agreement",
                    models.ForeignKey("accounts.agreement", deletion.PROTECT, related_name="+"),
                ),
                ("version", models.PositiveIntegerField()),
                ("effective_from", models.DateField()),
                ("values", models.JSONField()),
                ("xid", _known()),
            ],
        ),
        migrations.AddConstraint(
            "callterms",
            models.UniqueConstraint(
                name="call_terms_version_is_unique", fields=["agreement", "version"]
            ),
        ),
        migrations.CreateModel(
            name="CallRelief",
            fields=[
                ("id", _key()),
                (
                    "call",
                    models.ForeignKey(
                        "margin.margincall", deletion.PROTECT, related_name="reliefs"
                    ),
                ),
                ("kind", models.CharField(max_length=8, choices=RELIEFS)),
                ("amount", accounts.fields.ExactField()),
                ("until", models.DateTimeField(null=True)),
                ("reason", models.TextField()),
                ("xid", _known()),
            ],
        ),
        migrations.AddConstraint(
            "callrelief",
            models.CheckConstraint(
                name="more_time_says_until_when",
                condition=Q(kind="extend", until__isnull=False)
                | Q(kind="waive", until__isnull=True),
            ),
        ),
        migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text()),
    ]
