"""Paths for one entry, for batches and for staged work (SQL beside this file)."""

from pathlib import Path

from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models

from accounts.fields import ExactField

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
                ("draft", models.JSONField(null=True)),
                *(
                    (name, models.TextField(default="", db_default=""))
                    for name in ("key", "kind", "effective_at", "reference", "narrative")
                ),
                ("accounts", ArrayField(models.BigIntegerField(), null=True)),
                ("amounts", ArrayField(ExactField(), null=True)),
            ],
        ),
        migrations.RunSQL("ALTER TABLE ledger_stageddraft SET UNLOGGED"),
        *(
            migrations.RunSQL(HERE.with_name(f"{HERE.stem}_{part}.sql").read_text())
            for part in PARTS
        ),
        migrations.RunSQL(HERE.with_suffix(".sql").read_text()),
        migrations.RunSQL(HERE.with_name(f"{HERE.stem}_staged.sql").read_text()),
    ]
