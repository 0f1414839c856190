"""Tasks about money that is on its way for too long: another kind, no change of the table."""

from django.db import migrations, models

KINDS = (
    ("liquidate", "Scope to liquidate"),
    ("deficit", "Scope in deficit"),
    ("price", "No valid price"),
    ("unpriced", "Position without a price"),
    ("no_agreement", "Account without an agreement"),
    ("uncovered", "Loss that nobody covered"),
    ("job", "Job that failed"),
    ("transit", "Money on its way for too long"),
)


class Migration(migrations.Migration):
    dependencies = [("margin", "0004_four_eyes")]

    operations = [
        migrations.AlterField(
            model_name="task",
            name="kind",
            field=models.CharField(choices=list(KINDS), max_length=16),
        ),
    ]
