"""Runs kept in columns: blocks of parts, references looked at once a statement (SQL beside)."""

from pathlib import Path

import accounts.fields
import django.contrib.postgres.indexes
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0008_lean_acts"),
        ("margin", "0007_overrides"),
    ]

    operations = [
        migrations.AddField(
            model_name="marginrun",
            name="layout",
            field=models.CharField(
                choices=[
                    ("rows", "A row for each part"),
                    ("columns", "Columns for thousands of scopes"),
                ],
                db_default="rows",
                max_length=10,
            ),
        ),
        migrations.AlterField(
            model_name="marginresult",
            name="agreement_version",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.agreementversion",
            ),
        ),
        migrations.AlterField(
            model_name="marginresult",
            name="parameter_set",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="margin.parameterset",
            ),
        ),
        migrations.AlterField(
            model_name="marginresult",
            name="run",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="results",
                to="margin.marginrun",
            ),
        ),
        migrations.AlterField(
            model_name="marginresult",
            name="scope",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="results",
                to="accounts.scope",
            ),
        ),
        migrations.RemoveConstraint(
            model_name="marginresult", name="run_says_one_thing_of_a_scope"
        ),
        migrations.AddConstraint(
            model_name="marginresult",
            constraint=models.UniqueConstraint(
                fields=("scope", "run"), name="run_says_one_thing_of_a_scope"
            ),
        ),
        migrations.AddIndex(
            model_name="marginresult",
            index=django.contrib.postgres.indexes.BrinIndex(
                fields=["run"], name="result_by_run", pages_per_range=16
            ),
        ),
        migrations.CreateModel(
            name="RunBlock",
            fields=[
                (
                    "id",
                    models.BigAutoField(primary_key=True, serialize=False),
                ),
                ("ordinal", models.PositiveIntegerField()),
                ("first_scope", models.BigIntegerField()),
                ("last_scope", models.BigIntegerField()),
                ("scope_count", models.PositiveIntegerField()),
                ("content", models.BinaryField()),
                ("content_sha256", models.CharField(max_length=64)),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
                (
                    "run",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="blocks",
                        to="margin.marginrun",
                    ),
                ),
            ],
        ),
        migrations.AddConstraint(
            model_name="runblock",
            constraint=models.UniqueConstraint(
                fields=("run", "ordinal"), name="block_has_its_place"
            ),
        ),
        migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text()),
    ]
