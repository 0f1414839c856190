"""Moves between buckets, individual segregation, transit, debts (SQL beside this file)."""

from pathlib import Path

import accounts.fields
import django.db.models.deletion
from django.db import migrations, models


PARTS = (
    "0008_buckets_moves.sql",
    "0008_buckets_individual.sql",
    "0008_buckets_debts.sql",
    "0008_buckets_transit.sql",
    "0008_buckets_blocks.sql",
)


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0007_bucket_roles"),
        ("ledger", "0007_two_times"),
    ]

    operations = [
        migrations.CreateModel(
            name="OutflowBlock",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "cause",
                    models.CharField(
                        choices=[("negative_account", "Negative account"), ("outage", "Outage")],
                        max_length=20,
                    ),
                ),
                ("detail", models.TextField()),
                ("begins_at", models.DateTimeField(db_default=accounts.fields.ClockTime())),
                ("lasts_until", models.DateTimeField()),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="BlockRule",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "cause",
                    models.CharField(
                        choices=[("negative_account", "Negative account"), ("outage", "Outage")],
                        max_length=20,
                    ),
                ),
                ("effective_from", models.DateField()),
                ("lasts_for", models.DurationField()),
                ("is_automatic", models.BooleanField()),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="BlockSweep",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("run_number", models.CharField(max_length=40)),
                ("scopes_swept", models.PositiveIntegerField()),
                ("scopes_negative", models.PositiveIntegerField()),
                ("swept_at", models.DateTimeField(db_default=accounts.fields.ClockTime())),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="ClientReconciliation",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("business_day", models.DateField()),
                ("number", models.PositiveIntegerField()),
                ("lines", models.JSONField()),
                ("open_breaks", models.PositiveIntegerField()),
                ("is_whole", models.BooleanField()),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="MoveRule",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "from_role",
                    models.CharField(
                        choices=[
                            ("FREE", "Free"),
                            ("INITIAL", "Initial margin"),
                            ("RESERVE", "Maintenance reserve"),
                            ("ISOLATED", "Isolated position"),
                            ("PLEDGED", "Pledged"),
                            ("LOCKED", "Locked or vesting"),
                            ("HOLD", "Withdrawal hold"),
                            ("FEES", "Fee reserve"),
                        ],
                        max_length=12,
                    ),
                ),
                (
                    "to_role",
                    models.CharField(
                        choices=[
                            ("FREE", "Free"),
                            ("INITIAL", "Initial margin"),
                            ("RESERVE", "Maintenance reserve"),
                            ("ISOLATED", "Isolated position"),
                            ("PLEDGED", "Pledged"),
                            ("LOCKED", "Locked or vesting"),
                            ("HOLD", "Withdrawal hold"),
                            ("FEES", "Fee reserve"),
                            ("OUTSIDE", "Out of the account"),
                        ],
                        max_length=12,
                    ),
                ),
                (
                    "guard",
                    models.CharField(
                        choices=[
                            ("free", "Free"),
                            ("margin_test", "Margin test"),
                            ("two_people", "Two people"),
                            ("never", "Never"),
                        ],
                        max_length=12,
                    ),
                ),
                ("effective_from", models.DateField()),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Obligation",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("reference", models.CharField(max_length=60)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("loan", "Loan"),
                            ("guarantee", "Guarantee"),
                            ("pledge", "Pledge"),
                        ],
                        max_length=10,
                    ),
                ),
                ("amount", accounts.fields.ExactField()),
                ("effective_on", models.DateField()),
                ("document_sha256", models.CharField(blank=True, max_length=64)),
                ("note", models.TextField(blank=True)),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="TransitRule",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("effective_from", models.DateField()),
                ("business_days", models.PositiveSmallIntegerField()),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
            ],
        ),
        migrations.RemoveConstraint(
            model_name="ledgeraccount",
            name="ledger_account_hangs_where_its_class_says",
        ),
        migrations.AlterField(
            model_name="kindleg",
            name="account_class",
            field=models.CharField(
                choices=[
                    ("custody", "Custody"),
                    ("delegated", "Custody delegated to a venue"),
                    ("mirrored", "Custody mirrored at a venue"),
                    ("claim", "Claim"),
                    ("position", "Position"),
                    ("unallocated", "Unidentified receipts"),
                    ("residual_interest", "Residual interest of the firm"),
                    ("shortfall", "Shortfall, due from the firm"),
                    ("own_equity", "Own equity"),
                    ("loan_receivable", "Loan receivable"),
                    ("in_transit", "In transit"),
                    ("opening", "Opening clearing"),
                ],
                max_length=20,
            ),
        ),
        migrations.AlterField(
            model_name="ledgeraccount",
            name="account_class",
            field=models.CharField(
                choices=[
                    ("custody", "Custody"),
                    ("delegated", "Custody delegated to a venue"),
                    ("mirrored", "Custody mirrored at a venue"),
                    ("claim", "Claim"),
                    ("position", "Position"),
                    ("unallocated", "Unidentified receipts"),
                    ("residual_interest", "Residual interest of the firm"),
                    ("shortfall", "Shortfall, due from the firm"),
                    ("own_equity", "Own equity"),
                    ("loan_receivable", "Loan receivable"),
                    ("in_transit", "In transit"),
                    ("opening", "Opening clearing"),
                ],
                max_length=20,
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgeraccount",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("account_class__in", ["claim", "position", "loan_receivable"]),
                        ("bucket__isnull", False),
                        ("location__isnull", True),
                    ),
                    models.Q(
                        ("account_class__in", ["custody", "delegated", "mirrored"]),
                        ("bucket__isnull", True),
                        ("location__isnull", False),
                    ),
                    models.Q(
                        models.Q(
                            (
                                "account_class__in",
                                [
                                    "claim",
                                    "position",
                                    "loan_receivable",
                                    "custody",
                                    "delegated",
                                    "mirrored",
                                ],
                            ),
                            _negated=True,
                        ),
                        ("bucket__isnull", True),
                        ("location__isnull", True),
                    ),
                    _connector="OR",
                ),
                name="ledger_account_hangs_where_its_class_says",
            ),
        ),
        migrations.AddField(
            model_name="outflowblock",
            name="client",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.client",
            ),
        ),
        migrations.AddField(
            model_name="outflowblock",
            name="group",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.accountgroup",
            ),
        ),
        migrations.AddField(
            model_name="outflowblock",
            name="legal_entity",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.legalentity",
            ),
        ),
        migrations.AddField(
            model_name="blockrule",
            name="approval",
            field=models.OneToOneField(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.approval",
            ),
        ),
        migrations.AddField(
            model_name="blockrule",
            name="legal_entity",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.legalentity",
            ),
        ),
        migrations.AddField(
            model_name="blocksweep",
            name="block",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="sweeps",
                to="ledger.outflowblock",
            ),
        ),
        migrations.CreateModel(
            name="ReconciliationSignature",
            fields=[
                (
                    "reconciliation",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="signature",
                        serialize=False,
                        to="ledger.clientreconciliation",
                    ),
                ),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
            ],
        ),
        migrations.AddField(
            model_name="clientreconciliation",
            name="client",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.client"
            ),
        ),
        migrations.AddField(
            model_name="moverule",
            name="approval",
            field=models.OneToOneField(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.approval",
            ),
        ),
        migrations.CreateModel(
            name="ObligationEnd",
            fields=[
                (
                    "obligation",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="end",
                        serialize=False,
                        to="ledger.obligation",
                    ),
                ),
                ("ended_on", models.DateField()),
                ("reason", models.TextField()),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
            ],
        ),
        migrations.AddField(
            model_name="obligation",
            name="approval",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.approval",
            ),
        ),
        migrations.AddField(
            model_name="obligation",
            name="asset",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="ledger.asset"
            ),
        ),
        migrations.AddField(
            model_name="obligation",
            name="bucket",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.bucket",
            ),
        ),
        migrations.AddField(
            model_name="obligation",
            name="by_account",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.marginaccount",
            ),
        ),
        migrations.AddField(
            model_name="obligation",
            name="by_client",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.client",
            ),
        ),
        migrations.AddField(
            model_name="obligation",
            name="by_entity",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.legalentity",
            ),
        ),
        migrations.AddField(
            model_name="obligation",
            name="legal_entity",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.legalentity",
            ),
        ),
        migrations.AddField(
            model_name="obligation",
            name="secures_account",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.marginaccount",
            ),
        ),
        migrations.AddField(
            model_name="obligation",
            name="to_account",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.marginaccount",
            ),
        ),
        migrations.AddField(
            model_name="obligation",
            name="to_client",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.client",
            ),
        ),
        migrations.AddField(
            model_name="obligation",
            name="to_entity",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.legalentity",
            ),
        ),
        migrations.AddField(
            model_name="transitrule",
            name="approval",
            field=models.OneToOneField(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.approval",
            ),
        ),
        migrations.AddField(
            model_name="transitrule",
            name="legal_entity",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.legalentity",
            ),
        ),
        migrations.CreateModel(
            name="BlockLift",
            fields=[
                (
                    "block",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="lift",
                        serialize=False,
                        to="ledger.outflowblock",
                    ),
                ),
                ("lifted_at", models.DateTimeField(db_default=accounts.fields.ClockTime())),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
                (
                    "sweep",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="ledger.blocksweep",
                    ),
                ),
            ],
        ),
        migrations.AddConstraint(
            model_name="outflowblock",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("group__isnull", True), ("client__isnull", True), _connector="OR"
                ),
                name="block_covers_one_thing",
            ),
        ),
        migrations.AddConstraint(
            model_name="blockrule",
            constraint=models.UniqueConstraint(
                fields=("legal_entity", "cause", "effective_from"),
                name="block_has_one_rule_a_day",
                nulls_distinct=False,
            ),
        ),
        migrations.AddConstraint(
            model_name="blockrule",
            constraint=models.CheckConstraint(
                condition=models.Q(("cause__in", ["negative_account", "outage"])),
                name="block_cause_is_known",
            ),
        ),
        migrations.AddField(
            model_name="reconciliationsignature",
            name="approval",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.approval",
            ),
        ),
        migrations.AddConstraint(
            model_name="clientreconciliation",
            constraint=models.UniqueConstraint(
                fields=("client", "business_day", "number"),
                name="client_reconciliation_has_its_number",
            ),
        ),
        migrations.AddConstraint(
            model_name="moverule",
            constraint=models.UniqueConstraint(
                fields=("from_role", "to_role", "effective_from"), name="move_has_one_rule_a_day"
            ),
        ),
        migrations.AddConstraint(
            model_name="moverule",
            constraint=models.CheckConstraint(
                condition=models.Q(("guard__in", ["free", "margin_test", "two_people", "never"])),
                name="move_guard_is_known",
            ),
        ),
        migrations.AddField(
            model_name="obligationend",
            name="approval",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.approval",
            ),
        ),
        migrations.AddConstraint(
            model_name="obligation",
            constraint=models.UniqueConstraint(
                fields=("legal_entity", "reference"), name="obligation_reference_is_unique"
            ),
        ),
        migrations.AddConstraint(
            model_name="obligation",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        models.Q(
                            ("by_account__isnull", False),
                            ("by_client__isnull", True),
                            ("by_entity__isnull", True),
                        ),
                        models.Q(
                            ("by_account__isnull", True),
                            ("by_client__isnull", False),
                            ("by_entity__isnull", True),
                        ),
                        models.Q(
                            ("by_account__isnull", True),
                            ("by_client__isnull", True),
                            ("by_entity__isnull", False),
                        ),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(
                            ("to_account__isnull", False),
                            ("to_client__isnull", True),
                            ("to_entity__isnull", True),
                        ),
                        models.Q(
                            ("to_account__isnull", True),
                            ("to_client__isnull", False),
                            ("to_entity__isnull", True),
                        ),
                        models.Q(
                            ("to_account__isnull", True),
                            ("to_client__isnull", True),
                            ("to_entity__isnull", False),
                        ),
                        _connector="OR",
                    ),
                ),
                name="obligation_has_two_sides",
            ),
        ),
        migrations.AddConstraint(
            model_name="obligation",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("by_account__isnull", True),
                        models.Q(("by_account", models.F("to_account")), _negated=True),
                        _connector="OR",
                    ),
                    models.Q(
                        ("by_client__isnull", True),
                        models.Q(("by_client", models.F("to_client")), _negated=True),
                        _connector="OR",
                    ),
                    models.Q(
                        ("by_entity__isnull", True),
                        models.Q(("by_entity", models.F("to_entity")), _negated=True),
                        _connector="OR",
                    ),
                ),
                name="nobody_owes_themselves",
            ),
        ),
        migrations.AddConstraint(
            model_name="obligation",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("bucket__isnull", False),
                        ("kind", "pledge"),
                        ("secures_account__isnull", False),
                    ),
                    models.Q(
                        ("bucket__isnull", True),
                        ("kind", "guarantee"),
                        ("secures_account__isnull", False),
                    ),
                    models.Q(
                        ("bucket__isnull", True),
                        ("kind", "loan"),
                        ("secures_account__isnull", True),
                    ),
                    _connector="OR",
                ),
                name="pledge_names_its_lot",
            ),
        ),
        migrations.AddConstraint(
            model_name="obligation",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("amount__gt", 0), ("amount__lt", 1000000000000000000000000000000)
                ),
                name="obligation_has_an_amount",
            ),
        ),
        migrations.AddConstraint(
            model_name="transitrule",
            constraint=models.UniqueConstraint(
                fields=("legal_entity", "effective_from"),
                name="transit_has_one_rule_a_day",
                nulls_distinct=False,
            ),
        ),
        *(migrations.RunSQL(Path(__file__).with_name(name).read_text()) for name in PARTS),
    ]
