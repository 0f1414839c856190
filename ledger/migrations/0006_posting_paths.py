"""Paths for one entry, for batches and for staged work (SQL beside this file)."""

from pathlib import Path

from django.db import migrations, models

HERE = Path(__file__)
PARTS = ("guards", "entries")


class Migration(migrations.Migration):
    dependencies = [("ledger", "0005_shortfall")]

    operations = [
        migrations.AddField(
            "entrykey", "watches_to", models.BigIntegerField(db_default=0, default=0, null=True)
        ),
        migrations.CreateModel(
            name="StagedDraft",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "batch",
                        "ordinal",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("batch", models.UUIDField()),
                ("ordinal", models.BigIntegerField()),
                ("draft", models.JSONField()),
            ],
        ),
        migrations.RunSQL("ALTER TABLE ledger_stageddraft SET UNLOGGED"),
        *(
            migrations.RunSQL(HERE.with_name(f"{HERE.stem}_{part}.sql").read_text())
            for part in PARTS
        ),
        migrations.RunSQL(HERE.with_suffix(".sql").read_text()),
    ]
