"""The list of everything that guards history (SQL beside this file)."""

from pathlib import Path

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_trail")]

    operations = [migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text())]
