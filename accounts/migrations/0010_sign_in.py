"""Second factors, sessions that say what was proved, conflicts of duties as data, emergencies
(SQL beside this file)."""

from pathlib import Path

import accounts.fields
import django.contrib.postgres.fields
import django.db.models.deletion
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0009_agreement_xid"),
    ]

    operations = [
        migrations.CreateModel(
            name="DutyConflict",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("first", models.CharField(max_length=80)),
                ("second", models.CharField(max_length=80)),
                ("is_forbidden", models.BooleanField()),
                ("reason", models.CharField(max_length=200)),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="EmergencyReview",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("words", models.CharField(max_length=2000)),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="EmergencyRule",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "holder",
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
                ("minutes_max", models.PositiveSmallIntegerField()),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="RecoveryCode",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("digest", models.BinaryField(unique=True)),
                ("made_at", models.DateTimeField()),
                ("used_at", models.DateTimeField(null=True)),
                ("void_at", models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="SecondFactor",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                (
                    "kind",
                    models.CharField(
                        choices=[("totp", "Code generator"), ("passkey", "Passkey")], max_length=8
                    ),
                ),
                ("label", models.CharField(max_length=60)),
                ("secret", models.BinaryField(null=True)),
                ("credential_id", models.BinaryField(null=True, unique=True)),
                ("public_key", models.BinaryField(null=True)),
                ("step", models.BigIntegerField(default=0)),
                ("added_at", models.DateTimeField()),
                ("confirmed_at", models.DateTimeField(null=True)),
                ("removed_at", models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="SignInRule",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "second_factor_for",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(
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
                        size=None,
                    ),
                ),
                ("proof_minutes", models.PositiveSmallIntegerField()),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
            ],
        ),
        migrations.AddField(
            model_name="operatorsession",
            name="address",
            field=models.CharField(blank=True, db_default="", max_length=60),
        ),
        migrations.AddField(
            model_name="operatorsession",
            name="agent",
            field=models.CharField(blank=True, db_default="", max_length=200),
        ),
        migrations.AddField(
            model_name="operatorsession",
            name="factors",
            field=models.CharField(db_default="password", max_length=40),
        ),
        migrations.AddField(
            model_name="operatorsession",
            name="proved_at",
            field=models.DateTimeField(db_default=accounts.fields.ClockTime()),
        ),
        migrations.AddField(
            model_name="rolegrant",
            name="expires_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="rolegrant",
            name="reason",
            field=models.CharField(blank=True, db_default="", max_length=2000),
        ),
        migrations.AddConstraint(
            model_name="rolegrant",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("expires_at__isnull", True), ("reason", "")),
                    models.Q(
                        ("expires_at__isnull", False), models.Q(("reason", ""), _negated=True)
                    ),
                    _connector="OR",
                ),
                name="emergency_has_a_reason",
            ),
        ),
        migrations.AddField(
            model_name="dutyconflict",
            name="legal_entity",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.legalentity",
            ),
        ),
        migrations.AddField(
            model_name="emergencyreview",
            name="grant",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="review",
                to="accounts.rolegrant",
            ),
        ),
        migrations.AddField(
            model_name="emergencyreview",
            name="operator",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddConstraint(
            model_name="emergencyrule",
            constraint=models.UniqueConstraint(
                fields=("holder", "role"), name="emergency_rule_is_unique"
            ),
        ),
        migrations.AddField(
            model_name="recoverycode",
            name="operator",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="recovery_codes",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="secondfactor",
            name="operator",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="factors",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="signinrule",
            name="legal_entity",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.legalentity",
            ),
        ),
        migrations.AddConstraint(
            model_name="dutyconflict",
            constraint=models.CheckConstraint(
                condition=models.Q(("first__lt", models.F("second"))),
                name="conflict_names_two_rights_in_order",
            ),
        ),
        migrations.AddConstraint(
            model_name="secondfactor",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("credential_id__isnull", True),
                        ("kind", "totp"),
                        ("public_key__isnull", True),
                    ),
                    models.Q(
                        ("credential_id__isnull", False),
                        ("kind", "passkey"),
                        ("secret__isnull", True),
                    ),
                    _connector="OR",
                ),
                name="factor_is_of_a_kind",
            ),
        ),
        migrations.AddConstraint(
            model_name="secondfactor",
            constraint=models.UniqueConstraint(
                condition=models.Q(("confirmed_at__isnull", False), ("removed_at__isnull", True)),
                fields=("operator", "label"),
                name="factor_label_is_unique",
            ),
        ),
        migrations.AddConstraint(
            model_name="signinrule",
            constraint=models.CheckConstraint(
                condition=models.Q(("proof_minutes__gte", 1), ("proof_minutes__lte", 60)),
                name="proof_lasts_one_to_sixty_minutes",
            ),
        ),
        migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text()),
    ]
