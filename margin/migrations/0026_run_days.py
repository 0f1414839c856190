"""Runs say which past days their models looked back on; those of before keep their own rule.

What others compute otherwise is a task.
"""

from django.db import migrations, models

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
    ("call", "Margin call that needs somebody"),
    ("payment", "Payment to look after"),
    ("check", "Margin not checked in time"),
    ("notice", "Notice that needs somebody"),
    ("external", "Margin of others that differs"),
    ("switch", "Switch that needs somebody"),
]


class Migration(migrations.Migration):
    dependencies = [("margin", "0025_mail_bounces")]

    operations = [
        migrations.AddField(
            model_name="marginrun",
            name="days",
            field=models.CharField(
                choices=[
                    ("common", "Days that everything held under models has in common"),
                    ("own", "Days that everything a scope holds has in common"),
                ],
                db_default="common",
                max_length=10,
            ),
        ),
        migrations.AlterField("task", "kind", models.CharField(max_length=16, choices=TASKS)),
    ]
