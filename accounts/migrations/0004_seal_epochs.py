"""Epochs of the sealed history (SQL beside this file)."""

from pathlib import Path

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("accounts", "0003_guard_list")]

    operations = [migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text())]
