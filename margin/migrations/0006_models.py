"""Models of portfolios in the register, in agreements and in runs (SQL beside this file)."""

from pathlib import Path

import accounts.fields
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0008_lean_acts"),
        ("ledger", "0011_one_entry"),
        ("margin", "0005_transit_tasks"),
    ]

    operations = [
        migrations.AddField(
            model_name="marginresult",
            name="binding",
            field=models.CharField(blank=True, db_default="", max_length=120),
        ),
        migrations.AlterField(
            model_name="resultcomponent",
            name="asset",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="ledger.asset",
            ),
        ),
        migrations.CreateModel(
            name="ModelDecision",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("model", models.CharField(max_length=40)),
                ("model_version", models.CharField(max_length=20)),
                ("code", models.CharField(max_length=40)),
                (
                    "standing",
                    models.CharField(
                        choices=[
                            ("shadow", "Shadow"),
                            ("production", "Production"),
                            ("retired", "Retired"),
                        ],
                        max_length=12,
                    ),
                ),
                ("effective_from", models.DateField()),
                ("model_sha256", models.CharField(max_length=64)),
                ("owner", models.CharField(max_length=120)),
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
                        fields=("model", "code", "effective_from"),
                        name="model_is_decided_once_a_day",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="ParameterSet",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("model", models.CharField(max_length=40)),
                ("code", models.CharField(max_length=40)),
                ("version", models.PositiveIntegerField()),
                ("effective_from", models.DateField()),
                ("values", models.JSONField()),
                ("sha256", models.CharField(max_length=64)),
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
                        fields=("model", "code", "version"), name="parameter_set_version_is_unique"
                    ),
                    models.UniqueConstraint(
                        fields=("model", "code", "effective_from"),
                        name="parameter_set_has_one_version_a_day",
                    ),
                ],
            },
        ),
        migrations.AddField(
            model_name="marginresult",
            name="parameter_set",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="margin.parameterset",
            ),
        ),
        migrations.CreateModel(
            name="Contract",
            fields=[
                (
                    "asset",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="contract",
                        serialize=False,
                        to="ledger.asset",
                    ),
                ),
                (
                    "form",
                    models.CharField(
                        choices=[
                            ("perpetual", "Perpetual"),
                            ("future", "Future"),
                            ("option", "Option"),
                        ],
                        max_length=10,
                    ),
                ),
                ("multiplier", accounts.fields.ExactField()),
                ("is_inverse", models.BooleanField()),
                ("expires_at", models.DateTimeField(null=True)),
                ("strike", accounts.fields.ExactField(null=True)),
                ("is_call", models.BooleanField(null=True)),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
                (
                    "underlying",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="ledger.asset",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("multiplier__gt", 0)),
                        name="contract_multiplier_is_positive",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("expires_at__isnull", True), ("form", "perpetual")),
                            models.Q(
                                models.Q(("form", "perpetual"), _negated=True),
                                ("expires_at__isnull", False),
                            ),
                            _connector="OR",
                        ),
                        name="contract_expires_unless_perpetual",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("form", "option"),
                                ("is_call__isnull", False),
                                ("is_inverse", False),
                                ("strike__gt", 0),
                            ),
                            models.Q(
                                models.Q(("form", "option"), _negated=True),
                                ("is_call__isnull", True),
                                ("strike__isnull", True),
                            ),
                            _connector="OR",
                        ),
                        name="only_options_have_a_strike",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ShadowResult",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("initial_margin", accounts.fields.ExactField(null=True)),
                ("maintenance_margin", accounts.fields.ExactField(null=True)),
                ("binding", models.CharField(blank=True, max_length=120)),
                ("refusal", models.TextField(blank=True)),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
                (
                    "parameter_set",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="margin.parameterset",
                    ),
                ),
                (
                    "run",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="shadows",
                        to="margin.marginrun",
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
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("run", "parameter_set", "scope"),
                        name="shadow_says_one_thing_of_a_scope",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            refusal="",
                            initial_margin__isnull=False,
                            maintenance_margin__isnull=False,
                        )
                        | (
                            ~models.Q(refusal="")
                            & models.Q(initial_margin__isnull=True, maintenance_margin__isnull=True)
                        ),
                        name="shadow_requires_or_says_why_not",
                    ),
                ],
            },
        ),
        migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text()),
    ]
