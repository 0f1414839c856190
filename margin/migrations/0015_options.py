"""Options are listed by two people, with what they are written on (SQL beside this file)."""

from pathlib import Path

from django.db import migrations, models
from django.db.models import Q

STYLES = [("european", "European"), ("american", "American")]
TASKS = [
    ("liquidate", "Scope to liquidate"),
    ("deficit", "Scope in deficit"),
    ("price", "No valid price"),
    ("unpriced", "Position without a price"),
    ("no_agreement", "Account without an agreement"),
    ("uncovered", "Loss that nobody covered"),
    ("job", "Job that failed"),
    ("transit", "Money on its way for too long"),
    ("eligibility", "Account not eligible for its model"),
    ("dislocation", "One source far from the others"),
    ("feed", "Feed later than promised"),
    ("option_expiry", "Option over and not settled"),
]
SETTLEMENTS = [("cash", "Cash"), ("physical", "Physical")]


class Migration(migrations.Migration):
    dependencies = [("margin", "0014_price_files"), ("ledger", "0013_options")]

    operations = [
        migrations.AddField(
            "contract",
            "style",
            models.CharField(max_length=10, choices=STYLES, blank=True, db_default=""),
        ),
        migrations.AddField(
            "contract",
            "settlement",
            models.CharField(max_length=10, choices=SETTLEMENTS, blank=True, db_default=""),
        ),
        migrations.AddConstraint(
            "contract",
            models.CheckConstraint(
                name="only_options_have_a_style",
                condition=(Q(form="option") & ~Q(style="") & ~Q(settlement=""))
                | (~Q(form="option") & Q(style="", settlement="")),
            ),
        ),
        migrations.AlterField(
            model_name="task",
            name="kind",
            field=models.CharField(choices=TASKS, max_length=16),
        ),
        migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text()),
    ]
