"""Cases of compliance and their notes (SQL beside this file)."""

from pathlib import Path

import accounts.fields
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0013_payees"),
        ("brokerage", "0005_retention"),
    ]

    operations = [
        migrations.CreateModel(
            name="Case",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("first_day", models.DateField()),
                ("last_day", models.DateField()),
                ("subject", models.CharField(max_length=200)),
                ("reason", models.TextField()),
                ("opened_at", models.DateTimeField(db_default=accounts.fields.ClockTime())),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="CaseNote",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "kind",
                    models.CharField(
                        choices=[("note", "Note"), ("closed", "Closed")], max_length=6
                    ),
                ),
                ("text", models.TextField()),
                ("written_at", models.DateTimeField(db_default=accounts.fields.ClockTime())),
                (
                    "xid",
                    accounts.fields.TransactionIdField(
                        db_default=accounts.fields.CurrentTransaction()
                    ),
                ),
            ],
        ),
        migrations.AddIndex(
            model_name="reportfile",
            index=models.Index(fields=["name", "business_day"], name="report_file_by_day"),
        ),
        migrations.AddField(
            model_name="case",
            name="account",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.marginaccount",
            ),
        ),
        migrations.AddField(
            model_name="case",
            name="bucket",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.bucket",
            ),
        ),
        migrations.AddField(
            model_name="case",
            name="client",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.client",
            ),
        ),
        migrations.AddField(
            model_name="case",
            name="legal_entity",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.legalentity",
            ),
        ),
        migrations.AddField(
            model_name="casenote",
            name="case",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="notes",
                to="brokerage.case",
            ),
        ),
        migrations.AddConstraint(
            model_name="case",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("account__isnull", True),
                        ("bucket__isnull", True),
                        ("client__isnull", False),
                    ),
                    models.Q(
                        ("account__isnull", False),
                        ("bucket__isnull", True),
                        ("client__isnull", True),
                    ),
                    models.Q(
                        ("account__isnull", True),
                        ("bucket__isnull", False),
                        ("client__isnull", True),
                    ),
                    _connector="OR",
                ),
                name="case_is_about_one_thing",
            ),
        ),
        migrations.AddConstraint(
            model_name="case",
            constraint=models.CheckConstraint(
                condition=models.Q(("last_day__gte", models.F("first_day"))),
                name="case_period_goes_forward",
            ),
        ),
        migrations.AddConstraint(
            model_name="casenote",
            constraint=models.UniqueConstraint(
                condition=models.Q(("kind", "closed")), fields=("case",), name="case_is_closed_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="casenote",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", ["note", "closed"])),
                name="case_note_is_of_a_known_kind",
            ),
        ),
        migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text()),
    ]
