"""Promises, disputes and the levels that scopes cross (SQL beside this file)."""

from pathlib import Path

import accounts.fields
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0009_agreement_xid"),
        ("ledger", "0013_options"),
        ("margin", "0017_call_life"),
    ]

    operations = [
        migrations.CreateModel(
            name="CallDispute",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "why",
                    models.CharField(
                        choices=[
                            ("price", "Price or mark"),
                            ("position", "Position"),
                            ("collateral", "Collateral or cash"),
                            ("model", "Requirement"),
                            ("terms", "Terms of the agreement"),
                            ("other", "Something else"),
                        ],
                        max_length=10,
                    ),
                ),
                ("reason", models.TextField()),
                ("called", accounts.fields.ExactField()),
                ("undisputed", accounts.fields.ExactField()),
                ("file_name", models.CharField(blank=True, max_length=200)),
                ("content", models.BinaryField(default=b"")),
                ("sha256", models.CharField(blank=True, max_length=64)),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
                (
                    "call",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="disputes",
                        to="margin.margincall",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="CallPromise",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("promise", "Promise to pay"),
                            ("transfer", "Transfer on its way"),
                        ],
                        max_length=8,
                    ),
                ),
                ("amount", accounts.fields.ExactField()),
                ("reference", models.CharField(blank=True, max_length=80)),
                ("pay_by", models.DateTimeField()),
                ("words", models.TextField()),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
                (
                    "call",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="promises",
                        to="margin.margincall",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="CallDisputeEnd",
            fields=[
                (
                    "dispute",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="end",
                        serialize=False,
                        to="margin.calldispute",
                    ),
                ),
                ("agreed", accounts.fields.ExactField()),
                ("reason", models.TextField()),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="CallDisputePart",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("total", models.CharField(max_length=20)),
                ("component", models.CharField(max_length=120)),
                ("ours", accounts.fields.ExactField(null=True)),
                ("theirs", accounts.fields.ExactField(null=True)),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
                (
                    "dispute",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="parts",
                        to="margin.calldispute",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="CallEvidence",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=200)),
                ("content", models.BinaryField()),
                ("sha256", models.CharField(max_length=64)),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
                (
                    "dispute",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="evidence",
                        to="margin.calldispute",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="CallPromiseEnd",
            fields=[
                (
                    "promise",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="end",
                        serialize=False,
                        to="margin.callpromise",
                    ),
                ),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("kept", "Kept"),
                            ("broken", "Broken"),
                            ("withdrawn", "Withdrawn"),
                        ],
                        max_length=10,
                    ),
                ),
                ("at", models.DateTimeField()),
                ("text", models.TextField(blank=True)),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="LevelEvent",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "level",
                    models.CharField(
                        choices=[
                            ("notice", "Notice"),
                            ("call", "Call"),
                            ("close_only", "Close only"),
                            ("liquidate", "Liquidate"),
                        ],
                        max_length=10,
                    ),
                ),
                (
                    "way",
                    models.CharField(
                        choices=[("dropped", "Fell below"), ("restored", "Restored")], max_length=8
                    ),
                ),
                ("ratio", accounts.fields.ExactField(null=True)),
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
                    "scope",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.scope",
                    ),
                ),
            ],
        ),
        migrations.AddConstraint(
            model_name="calldispute",
            constraint=models.CheckConstraint(
                condition=models.Q(("undisputed__gte", 0), ("undisputed__lt", models.F("called"))),
                name="dispute_leaves_a_part_of_the_call",
            ),
        ),
        migrations.AddConstraint(
            model_name="calldisputepart",
            constraint=models.UniqueConstraint(
                fields=("dispute", "total", "component"), name="dispute_has_a_component_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="callevidence",
            constraint=models.UniqueConstraint(
                fields=("dispute", "sha256"), name="evidence_is_attached_once"
            ),
        ),
        migrations.AddField(
            model_name="callpromiseend",
            name="entry",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="ledger.entry",
            ),
        ),
        migrations.AddConstraint(
            model_name="callpromise",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("amount__gt", 0),
                    models.Q(
                        ("kind", "promise"),
                        models.Q(("reference", ""), _negated=True),
                        _connector="OR",
                    ),
                ),
                name="promise_is_of_something",
            ),
        ),
        migrations.AddIndex(
            model_name="levelevent",
            index=models.Index(fields=["scope", "level", "-id"], name="level_event_by_scope"),
        ),
        migrations.AddConstraint(
            model_name="levelevent",
            constraint=models.UniqueConstraint(
                fields=("run", "scope", "level"), name="level_is_crossed_once_a_run"
            ),
        ),
        migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text()),
    ]
