"""States of prices, the rules behind them, and market data beside prices (SQL beside this file)."""

from pathlib import Path

import accounts.fields
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("ledger", "0011_one_entry"),
        ("margin", "0008_run_columns"),
    ]

    operations = [
        migrations.AddField(
            model_name="mark",
            name="basis",
            field=accounts.fields.ExactField(null=True),
        ),
        migrations.AddField(
            model_name="mark",
            name="confidence",
            field=accounts.fields.ExactField(null=True),
        ),
        migrations.AddField(
            model_name="mark",
            name="contingency",
            field=accounts.fields.ExactField(null=True),
        ),
        migrations.AddField(
            model_name="mark",
            name="facts",
            field=models.JSONField(null=True),
        ),
        migrations.AlterField(
            model_name="mark",
            name="state",
            field=models.CharField(
                choices=[
                    ("VALID", "Valid"),
                    ("INSUFFICIENT", "Insufficient"),
                    ("STALE", "Stale"),
                    ("DISLOCATED", "Dislocated"),
                    ("MARKET_CLOSED", "Market closed"),
                    ("OVERRIDDEN", "Overridden"),
                    ("NON_POSITIVE", "Not positive"),
                    ("TOO_VOLATILE", "Too volatile"),
                    ("TOO_UNCERTAIN", "Too uncertain"),
                ],
                max_length=16,
            ),
        ),
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
                    ("dislocation", "One source far from the others"),
                    ("feed", "Feed later than promised"),
                ],
                max_length=16,
            ),
        ),
        migrations.CreateModel(
            name="MarketRule",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("price", "Prices of an asset"),
                            ("feed", "A feed"),
                            ("calendar", "A trading calendar"),
                            ("surface", "Volatilities of an underlying"),
                        ],
                        max_length=10,
                    ),
                ),
                ("name", models.CharField(max_length=60)),
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
                        fields=("kind", "name", "version"), name="market_rule_version_is_unique"
                    ),
                    models.UniqueConstraint(
                        fields=("kind", "name", "effective_from"),
                        name="market_rule_has_one_version_a_day",
                    ),
                ],
            },
        ),
        migrations.AddField(
            model_name="mark",
            name="rule",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="margin.marketrule",
            ),
        ),
        migrations.CreateModel(
            name="MarketRow",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("volatility", "Implied volatility"),
                            ("rate", "Interest rate"),
                            ("volume", "Volume of a day"),
                            ("open_interest", "Open interest"),
                            ("depth", "Depth of the book"),
                            ("funding", "Funding rate"),
                            ("confidence", "Confidence in a price"),
                        ],
                        max_length=14,
                    ),
                ),
                ("source", models.CharField(max_length=60)),
                ("observed_at", models.DateTimeField()),
                ("received_at", models.DateTimeField(db_default=accounts.fields.ClockTime())),
                ("expires_at", models.DateTimeField(null=True)),
                ("strike", accounts.fields.ExactField(null=True)),
                ("tenor_days", models.PositiveIntegerField(null=True)),
                ("value", accounts.fields.ExactField(null=True)),
                ("bid", accounts.fields.ExactField(null=True)),
                ("ask", accounts.fields.ExactField(null=True)),
                ("file_sha256", models.CharField(max_length=64)),
                ("line", models.PositiveIntegerField()),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
                (
                    "asset",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="ledger.asset",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        fields=["asset", "kind", "observed_at"], name="market_row_by_asset"
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("file_sha256", "line"), name="market_line_is_unique"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                models.Q(
                                    models.Q(("bid__gt", 0), ("ask__gt", 0), _connector="OR"),
                                    ("expires_at__isnull", False),
                                    ("kind", "volatility"),
                                    ("strike__gt", 0),
                                    ("tenor_days__isnull", True),
                                    ("value__isnull", True),
                                ),
                                models.Q(
                                    ("ask__isnull", True),
                                    ("bid__isnull", True),
                                    ("expires_at__isnull", True),
                                    ("kind", "rate"),
                                    ("strike__isnull", True),
                                    ("tenor_days__gt", 0),
                                    ("value__isnull", False),
                                ),
                                models.Q(
                                    models.Q(("kind__in", ["volatility", "rate"]), _negated=True),
                                    ("ask__isnull", True),
                                    ("bid__isnull", True),
                                    ("expires_at__isnull", True),
                                    ("strike__isnull", True),
                                    ("tenor_days__isnull", True),
                                    ("value__isnull", False),
                                ),
                                _connector="OR",
                            )
                        ),
                        name="market_row_says_what_its_kind_says",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("kind__in", ["rate", "funding"]),
                            ("value__isnull", True),
                            ("value__gte", 0),
                            _connector="OR",
                        ),
                        name="market_amount_is_not_negative",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("kind", "confidence"), _negated=True),
                            ("value__lte", 1),
                            _connector="OR",
                        ),
                        name="confidence_is_a_share",
                    ),
                ],
            },
        ),
        migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text()),
    ]
