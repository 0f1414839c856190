"""What is promised of margin checks is a rule of two people, and one that does not come a task."""

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
]
RULES = [
    ("price", "Prices of an asset"),
    ("feed", "A feed"),
    ("calendar", "A trading calendar"),
    ("surface", "Volatilities of an underlying"),
    ("check", "Checks of scopes"),
]


class Migration(migrations.Migration):
    dependencies = [("margin", "0021_result_guard")]

    operations = [
        migrations.AlterField("marketrule", "kind", models.CharField(max_length=10, choices=RULES)),
        migrations.AlterField("task", "kind", models.CharField(max_length=16, choices=TASKS)),
    ]
