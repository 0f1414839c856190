"""Options as assets of the book: paid for at once, of either sign (SQL beside this file)."""

from pathlib import Path

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ledger", "0012_checkpoints")]

    operations = [
        migrations.AddField(
            "asset", "is_option", models.BooleanField(default=False, db_default=False)
        ),
        migrations.AddConstraint(
            "asset",
            models.CheckConstraint(
                name="option_is_a_derivative",
                condition=models.Q(is_option=False) | models.Q(kind="derivative"),
            ),
        ),
        migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text()),
    ]
