"""Tasks about payments."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("margin", "0018_call_claims"),
    ]

    operations = [
        migrations.AlterField(
            model_name="task",
            name="kind",
            field=models.CharField(
                choices=[
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
                    ("payment", "Payment to look after"),
                ],
                max_length=16,
            ),
        ),
    ]
