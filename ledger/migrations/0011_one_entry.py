"""A way of its own for one entry, and guards that know one when they see it (SQL beside this file)."""

from pathlib import Path

from django.db import migrations, models
from django.db.models import deletion

HERE = Path(__file__)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0008_lean_acts"), ("ledger", "0010_interest")]

    operations = [
        # The guard of postings knows the kinds; a foreign key makes every writer of a kind hold the
        # same row.
        migrations.AlterField(
            "entry",
            "kind",
            models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=deletion.PROTECT,
                related_name="+",
                to="ledger.entrykind",
            ),
        ),
        # Keys are looked up whole, never by how they begin.
        migrations.RunSQL("DROP INDEX ledger_entrykey_key_577da17e_like"),
        migrations.RunSQL(HERE.with_name(f"{HERE.stem}_guards.sql").read_text()),
        migrations.RunSQL(HERE.with_suffix(".sql").read_text()),
    ]
