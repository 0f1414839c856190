"""Four eyes on parameters (SQL beside this file)."""

from pathlib import Path

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("margin", "0003_balances"), ("accounts", "0005_four_eyes")]

    operations = [
        migrations.AlterField(
            model_name="task",
            name="owner_role",
            field=models.CharField(
                choices=[
                    ("operations", "Operations"),
                    ("risk", "Risk"),
                    ("treasury", "Treasury"),
                    ("compliance", "Compliance"),
                    ("principal", "Senior principal"),
                    ("auditor", "Auditor"),
                    ("administrator", "Administrator"),
                ],
                max_length=16,
            ),
        ),
        migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text()),
    ]
