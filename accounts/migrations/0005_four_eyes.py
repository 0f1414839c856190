"""Limits per role, four eyes on agreements, records that requests name (SQL beside this file)."""

from pathlib import Path

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import accounts.fields


class Migration(migrations.Migration):
    dependencies = [("accounts", "0004_seal_epochs")]

    operations = [
        migrations.CreateModel(
            name="ApprovalLimit",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "role",
                    models.CharField(
                        choices=[
                            ("operations", "Operations"),
                            ("risk", "Risk"),
                            ("treasury", "Treasury"),
                            ("compliance", "Compliance"),
                            ("principal", "Senior principal"),
                            ("auditor", "Auditor"),
                            ("administrator", "Administrator"),
                        ],
                        max_length=16,
                    ),
                ),
                ("asset", models.CharField(blank=True, max_length=40)),
                ("effective_from", models.DateField()),
                ("request_each", accounts.fields.ExactField(null=True)),
                ("request_day", accounts.fields.ExactField(null=True)),
                ("approve_each", accounts.fields.ExactField(null=True)),
                ("approve_day", accounts.fields.ExactField(null=True)),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="ApprovalRecord",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("record", models.CharField(db_index=True, max_length=120)),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="LimitUse",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "side",
                    models.CharField(
                        choices=[("request", "Asked for"), ("approve", "Agreed to")], max_length=8
                    ),
                ),
                (
                    "role",
                    models.CharField(
                        choices=[
                            ("operations", "Operations"),
                            ("risk", "Risk"),
                            ("treasury", "Treasury"),
                            ("compliance", "Compliance"),
                            ("principal", "Senior principal"),
                            ("auditor", "Auditor"),
                            ("administrator", "Administrator"),
                        ],
                        max_length=16,
                    ),
                ),
                ("asset", models.CharField(max_length=40)),
                ("amount", accounts.fields.ExactField()),
                ("on_day", models.DateField()),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
            ],
        ),
        migrations.RemoveConstraint(
            model_name="rolegrant",
            name="role_is_known",
        ),
        migrations.AlterField(
            model_name="rolegrant",
            name="role",
            field=models.CharField(
                choices=[
                    ("operations", "Operations"),
                    ("risk", "Risk"),
                    ("treasury", "Treasury"),
                    ("compliance", "Compliance"),
                    ("principal", "Senior principal"),
                    ("auditor", "Auditor"),
                    ("administrator", "Administrator"),
                ],
                max_length=16,
            ),
        ),
        migrations.AddIndex(
            model_name="approval",
            index=models.Index(
                condition=models.Q(("used_xid__isnull", False)),
                fields=["used_xid"],
                name="approval_by_use",
            ),
        ),
        migrations.AddConstraint(
            model_name="rolegrant",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "role__in",
                        [
                            "operations",
                            "risk",
                            "treasury",
                            "compliance",
                            "principal",
                            "auditor",
                            "administrator",
                        ],
                    )
                ),
                name="role_is_known",
            ),
        ),
        migrations.AddField(
            model_name="approvallimit",
            name="legal_entity",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.legalentity",
            ),
        ),
        migrations.AddField(
            model_name="approvalrecord",
            name="approval",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="records",
                to="accounts.approval",
            ),
        ),
        migrations.AddField(
            model_name="limituse",
            name="approval",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.approval",
            ),
        ),
        migrations.AddField(
            model_name="limituse",
            name="legal_entity",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.legalentity",
            ),
        ),
        migrations.AddField(
            model_name="limituse",
            name="operator",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddConstraint(
            model_name="approvallimit",
            constraint=models.UniqueConstraint(
                fields=("legal_entity", "role", "asset", "effective_from"),
                name="limit_is_set_once_a_day",
                nulls_distinct=False,
            ),
        ),
        migrations.AddConstraint(
            model_name="approvallimit",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("request_each__lt", 0), _negated=True),
                    models.Q(("request_day__lt", 0), _negated=True),
                    models.Q(("approve_each__lt", 0), _negated=True),
                    models.Q(("approve_day__lt", 0), _negated=True),
                ),
                name="limit_is_not_negative",
            ),
        ),
        migrations.AddConstraint(
            model_name="approvalrecord",
            constraint=models.UniqueConstraint(
                fields=("approval", "record"), name="request_names_a_record_once"
            ),
        ),
        migrations.AddIndex(
            model_name="limituse",
            index=models.Index(
                fields=["legal_entity", "role", "side", "asset", "on_day"], name="limit_use_by_day"
            ),
        ),
        migrations.AddConstraint(
            model_name="limituse",
            constraint=models.UniqueConstraint(
                fields=("approval", "side", "asset"), name="limit_is_used_once_a_side"
            ),
        ),
        migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text()),
    ]
