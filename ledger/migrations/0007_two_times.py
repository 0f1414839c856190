"""Reading the book at any business date as known at any horizon (SQL beside this file)."""

from pathlib import Path

from django.db import migrations, models
from django.db.models import Q, deletion

from accounts import fields

PARTS = ("0007_two_times_balances.sql", "0007_two_times.sql", "0007_two_times_periods.sql")


class Migration(migrations.Migration):
    dependencies = [("ledger", "0006_posting_paths")]

    operations = [
        migrations.AddField(
            model_name="dailymovement",
            name="first_seq",
            field=models.BigIntegerField(null=True),
        ),
        migrations.CreateModel(
            name="DayClose",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("day", models.DateField()),
                ("xid", fields.TransactionIdField(db_default=fields.CurrentTransaction())),
                (
                    "horizon",
                    models.ForeignKey(
                        on_delete=deletion.PROTECT, related_name="+", to="ledger.horizon"
                    ),
                ),
                (
                    "legal_entity",
                    models.ForeignKey(
                        on_delete=deletion.PROTECT, related_name="+", to="accounts.legalentity"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(name="day_closes_once", fields=["legal_entity", "day"])
                ],
            },
        ),
        migrations.CreateModel(
            name="PeriodEvent",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("number", models.PositiveIntegerField()),
                (
                    "event",
                    models.CharField(
                        max_length=8, choices=[("closed", "Closed"), ("reopened", "Reopened")]
                    ),
                ),
                ("closed_through", models.DateField(null=True)),
                ("reason", models.TextField()),
                ("recorded_at", models.DateTimeField(db_default=fields.ClockTime())),
                ("xid", fields.TransactionIdField(db_default=fields.CurrentTransaction())),
                (
                    "approval",
                    models.OneToOneField(
                        null=True,
                        on_delete=deletion.PROTECT,
                        related_name="+",
                        to="accounts.approval",
                    ),
                ),
                (
                    "legal_entity",
                    models.ForeignKey(
                        on_delete=deletion.PROTECT, related_name="+", to="accounts.legalentity"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        name="period_event_has_its_place", fields=["legal_entity", "number"]
                    ),
                    models.CheckConstraint(
                        name="period_is_reopened_with_four_eyes",
                        condition=Q(
                            event="closed", approval__isnull=True, closed_through__isnull=False
                        )
                        | Q(event="reopened", approval__isnull=False),
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="BackDatedEntry",
            fields=[
                (
                    "entry",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=deletion.PROTECT,
                        primary_key=True,
                        related_name="back_dated",
                        serialize=False,
                        to="ledger.entry",
                    ),
                ),
                ("effective_on", models.DateField()),
                ("overtaken_on", models.DateField()),
                ("broken_rule", models.CharField(blank=True, max_length=60)),
                ("broken_on", models.DateField(null=True)),
                ("balance", fields.ExactField(null=True)),
                ("xid", fields.TransactionIdField(db_default=fields.CurrentTransaction())),
                (
                    "account",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=deletion.PROTECT,
                        related_name="+",
                        to="ledger.ledgeraccount",
                    ),
                ),
                (
                    "approval",
                    models.OneToOneField(
                        null=True,
                        on_delete=deletion.PROTECT,
                        related_name="+",
                        to="accounts.approval",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        name="broken_floor_has_its_approval",
                        condition=Q(
                            broken_rule="",
                            account__isnull=True,
                            broken_on__isnull=True,
                            balance__isnull=True,
                            approval__isnull=True,
                        )
                        | ~Q(broken_rule="")
                        & Q(
                            account__isnull=False,
                            broken_on__isnull=False,
                            balance__isnull=False,
                            approval__isnull=False,
                        ),
                    )
                ],
            },
        ),
        *(migrations.RunSQL(Path(__file__).with_name(name).read_text()) for name in PARTS),
    ]
