"""Margin of others beside ours, and who may be under a portfolio model (SQL beside this file)."""

from pathlib import Path

import accounts.fields
import django.db.models.deletion
import django.db.models.expressions
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0008_lean_acts"),
        ("margin", "0011_proposals"),
    ]

    operations = [
        migrations.AlterField(
            model_name="task",
            name="kind",
            field=models.CharField(
                choices=[
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
                ],
                max_length=16,
            ),
        ),
        migrations.CreateModel(
            name="EligibilityRule",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("model", models.CharField(blank=True, max_length=40)),
                ("version", models.PositiveIntegerField()),
                ("effective_from", models.DateField()),
                ("minimum_equity", accounts.fields.ExactField()),
                ("needs_approved_client", models.BooleanField()),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("model", "version"), name="eligibility_version_is_unique"
                    ),
                    models.UniqueConstraint(
                        fields=("model", "effective_from"), name="eligibility_has_one_version_a_day"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("minimum_equity__gte", 0)),
                        name="minimum_equity_is_not_negative",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ExternalMargin",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("source", models.CharField(max_length=60)),
                ("business_day", models.DateField()),
                (
                    "kind",
                    models.CharField(
                        choices=[("statement", "Statement"), ("commitment", "Commitment")],
                        max_length=12,
                    ),
                ),
                ("currency", models.CharField(blank=True, max_length=20)),
                ("sha256", models.CharField(max_length=64)),
                ("received_at", models.DateTimeField(db_default=accounts.fields.ClockTime())),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
                (
                    "opens",
                    models.OneToOneField(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="opened_by",
                        to="margin.externalmargin",
                    ),
                ),
                (
                    "scope",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.scope",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="ExternalComponent",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("total", models.CharField(max_length=20)),
                ("component", models.CharField(max_length=120)),
                ("amount", accounts.fields.ExactField()),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
                (
                    "statement",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="components",
                        to="margin.externalmargin",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="ExternalBreak",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("total", models.CharField(max_length=20)),
                ("component", models.CharField(max_length=120)),
                ("ours", accounts.fields.ExactField(null=True)),
                ("theirs", accounts.fields.ExactField(null=True)),
                ("difference", accounts.fields.ExactField()),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
                (
                    "run",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="margin.marginrun",
                    ),
                ),
                (
                    "statement",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="breaks",
                        to="margin.externalmargin",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="ClientEligibility",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("version", models.PositiveIntegerField()),
                ("effective_from", models.DateField()),
                ("is_approved", models.BooleanField()),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
                (
                    "client",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.client",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("client", "version"), name="client_eligibility_version_is_unique"
                    ),
                    models.UniqueConstraint(
                        fields=("client", "effective_from"), name="client_is_approved_once_a_day"
                    ),
                ],
            },
        ),
        migrations.AddConstraint(
            model_name="externalmargin",
            constraint=models.UniqueConstraint(
                fields=("source", "scope", "business_day", "kind", "sha256"),
                name="external_margin_is_received_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="externalmargin",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("kind", "statement"), models.Q(("currency", ""), _negated=True)),
                    models.Q(("currency", ""), ("kind", "commitment"), ("opens__isnull", True)),
                    _connector="OR",
                ),
                name="external_margin_kind_is_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="externalcomponent",
            constraint=models.UniqueConstraint(
                fields=("statement", "total", "component"), name="external_component_is_said_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="externalcomponent",
            constraint=models.CheckConstraint(
                condition=models.Q(("total__in", ["initial_margin", "maintenance_margin"])),
                name="external_component_is_of_a_requirement",
            ),
        ),
        migrations.AddConstraint(
            model_name="externalbreak",
            constraint=models.UniqueConstraint(
                fields=("statement", "run", "total", "component"),
                name="external_break_is_found_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="externalbreak",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("difference", 0), _negated=True),
                    models.Q(
                        models.Q(
                            ("difference", models.F("theirs")),
                            ("ours__isnull", True),
                            ("theirs__isnull", False),
                        ),
                        models.Q(
                            (
                                "ours",
                                django.db.models.expressions.CombinedExpression(
                                    models.F("difference"), "*", models.Value(-1)
                                ),
                            ),
                            ("ours__isnull", False),
                            ("theirs__isnull", True),
                        ),
                        models.Q(
                            (
                                "difference",
                                django.db.models.expressions.CombinedExpression(
                                    models.F("theirs"), "-", models.F("ours")
                                ),
                            ),
                            ("ours__isnull", False),
                            ("theirs__isnull", False),
                        ),
                        _connector="OR",
                    ),
                ),
                name="external_break_is_a_difference",
            ),
        ),
        migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text()),
    ]
