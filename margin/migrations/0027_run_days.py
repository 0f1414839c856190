"""Runs say which past days their models looked back on; those of before keep their own rule."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("margin", "0022_coverage")]

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
    ]
