"""A table is made redactable once, however often that is asked for."""

from pathlib import Path

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("accounts", "0015_people")]

    operations = [migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text())]
