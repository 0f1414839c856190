"""A call ends where its account joins a group (SQL beside this file)."""

from pathlib import Path

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("margin", "0022_coverage"), ("accounts", "0014_groups")]

    operations = [migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text())]
