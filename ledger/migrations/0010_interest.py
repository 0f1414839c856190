"""Rate curves and accruals (SQL beside this file)."""

from pathlib import Path
from uuid import uuid4

from django.db import migrations, models
from django.db.models import deletion

from accounts import fields


HERE = Path(__file__)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0006_retention"), ("ledger", "0009_four_eyes")]

    operations = [
        migrations.CreateModel(
            name="RateCurve",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "side",
                    models.CharField(
                        choices=[("borrow", "On loans"), ("credit", "On credit balances")],
                        max_length=6,
                    ),
                ),
                ("xid", fields.TransactionIdField(db_default=fields.CurrentTransaction())),
                (
                    "asset",
                    models.ForeignKey(
                        on_delete=deletion.PROTECT, related_name="+", to="ledger.asset"
                    ),
                ),
                (
                    "legal_entity",
                    models.ForeignKey(
                        on_delete=deletion.PROTECT, related_name="+", to="accounts.legalentity"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="RateVersion",
            fields=[
                ("id", models.UUIDField(default=uuid4, primary_key=True, serialize=False)),
                ("version", models.PositiveIntegerField()),
                ("effective_from", models.DateField()),
                (
                    "day_count",
                    models.CharField(
                        choices=[
                            ("ACT/365F", "Actual/365 fixed"),
                            ("ACT/360", "Actual/360"),
                            ("ACT/ACT", "Actual/actual (ISDA)"),
                            ("30/360", "30/360 (bond basis)"),
                            ("30E/360", "30E/360 (Eurobond basis)"),
                        ],
                        max_length=8,
                    ),
                ),
                ("points", models.JSONField()),
                ("tenor", models.JSONField()),
                ("floor", fields.ExactField(null=True)),
                ("cap", fields.ExactField(null=True)),
                (
                    "charged",
                    models.CharField(
                        choices=[("daily", "Each day"), ("monthly", "At the end of each month")],
                        max_length=8,
                    ),
                ),
                ("compounds", models.BooleanField()),
                (
                    "paid_from",
                    models.CharField(
                        choices=[
                            ("claim", "The client's money, then the loan"),
                            ("loan", "The loan"),
                        ],
                        max_length=5,
                    ),
                ),
                ("repays_from_free_money", models.BooleanField()),
                ("account_cap", fields.ExactField(null=True)),
                ("pool_cap", fields.ExactField(null=True)),
                ("utilisation_cap", fields.ExactField(null=True)),
                ("xid", fields.TransactionIdField(db_default=fields.CurrentTransaction())),
                (
                    "curve",
                    models.ForeignKey(
                        on_delete=deletion.PROTECT, related_name="versions", to="ledger.ratecurve"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="AccrualRun",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("day", models.DateField()),
                ("snapshot", fields.SnapshotField(db_default=fields.CurrentSnapshot())),
                ("xid", fields.TransactionIdField(db_default=fields.CurrentTransaction())),
                (
                    "legal_entity",
                    models.ForeignKey(
                        on_delete=deletion.PROTECT, related_name="+", to="accounts.legalentity"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="DailyRate",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "run_id",
                        "curve_id",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("lent", fields.ExactField()),
                ("lendable", fields.ExactField()),
                ("utilisation", fields.ExactField()),
                ("rate", fields.ExactField()),
                ("xid", fields.TransactionIdField(db_default=fields.CurrentTransaction())),
                (
                    "run",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=deletion.PROTECT,
                        related_name="rates",
                        to="ledger.accrualrun",
                    ),
                ),
                (
                    "curve",
                    models.ForeignKey(
                        on_delete=deletion.PROTECT, related_name="daily", to="ledger.ratecurve"
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        on_delete=deletion.PROTECT, related_name="+", to="ledger.rateversion"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Accrual",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "account_id",
                        "run_id",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("closing", fields.ExactField()),
                ("since", models.DateField(null=True)),
                ("withheld", fields.ExactField()),
                ("base", fields.ExactField()),
                ("rate", fields.ExactField()),
                ("days", models.SmallIntegerField()),
                ("year", models.SmallIntegerField()),
                ("numerator", fields.ExactField()),
                ("corrected", fields.ExactField()),
                ("cumulative", fields.ExactField()),
                ("paid_before", fields.ExactField()),
                ("due", fields.ExactField()),
                ("xid", fields.TransactionIdField(db_default=fields.CurrentTransaction())),
                (
                    "account",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=deletion.PROTECT,
                        related_name="+",
                        to="ledger.ledgeraccount",
                    ),
                ),
                (
                    "run",
                    models.ForeignKey(
                        on_delete=deletion.PROTECT, related_name="accruals", to="ledger.accrualrun"
                    ),
                ),
                (
                    "curve",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=deletion.PROTECT,
                        related_name="+",
                        to="ledger.ratecurve",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="AccrualCorrection",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "account_id",
                        "run_id",
                        "day",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("day", models.DateField()),
                ("closing", fields.ExactField()),
                ("base", fields.ExactField()),
                ("rate", fields.ExactField()),
                ("days", models.SmallIntegerField()),
                ("year", models.SmallIntegerField()),
                ("numerator", fields.ExactField()),
                ("xid", fields.TransactionIdField(db_default=fields.CurrentTransaction())),
                (
                    "account",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=deletion.PROTECT,
                        related_name="+",
                        to="ledger.ledgeraccount",
                    ),
                ),
                (
                    "run",
                    models.ForeignKey(
                        on_delete=deletion.PROTECT,
                        related_name="corrections",
                        to="ledger.accrualrun",
                    ),
                ),
            ],
        ),
        migrations.AddConstraint(
            model_name="accrualrun",
            constraint=models.UniqueConstraint(
                fields=("legal_entity", "day"), name="day_is_accrued_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="ratecurve",
            constraint=models.UniqueConstraint(
                fields=("legal_entity", "asset", "side"), name="asset_has_one_curve_a_side"
            ),
        ),
        migrations.AddConstraint(
            model_name="ratecurve",
            constraint=models.CheckConstraint(
                condition=models.Q(("side__in", ["borrow", "credit"])), name="curve_has_a_side"
            ),
        ),
        migrations.AddConstraint(
            model_name="rateversion",
            constraint=models.UniqueConstraint(
                fields=("curve", "version"), name="rate_version_is_unique"
            ),
        ),
        migrations.AddConstraint(
            model_name="rateversion",
            constraint=models.UniqueConstraint(
                fields=("curve", "effective_from"), name="curve_has_one_version_a_day"
            ),
        ),
        migrations.AddConstraint(
            model_name="rateversion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("charged__in", ["daily", "monthly"]),
                    ("day_count__in", ["ACT/365F", "ACT/360", "ACT/ACT", "30/360", "30E/360"]),
                    ("paid_from__in", ["claim", "loan"]),
                ),
                name="rate_version_is_of_a_known_form",
            ),
        ),
        migrations.AddConstraint(
            model_name="rateversion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("floor__isnull", True),
                    ("cap__isnull", True),
                    ("floor__lte", models.F("cap")),
                    _connector="OR",
                ),
                name="rate_floor_is_below_its_cap",
            ),
        ),
        migrations.AddConstraint(
            model_name="rateversion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("account_cap__isnull", True), ("account_cap__gte", 0), _connector="OR"
                    ),
                    models.Q(("pool_cap__isnull", True), ("pool_cap__gte", 0), _connector="OR"),
                    models.Q(
                        ("utilisation_cap__isnull", True),
                        models.Q(("utilisation_cap__gte", 0), ("utilisation_cap__lte", 1)),
                        _connector="OR",
                    ),
                ),
                name="borrow_caps_are_amounts",
            ),
        ),
        migrations.RunSQL(HERE.with_suffix(".sql").read_text()),
        migrations.RunSQL(HERE.with_name(f"{HERE.stem}_entries.sql").read_text()),
    ]
