"""The text of a template is looked at in words that a dump keeps as they are."""

from pathlib import Path

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("margin", "0026_run_days")]

    operations = [migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text())]
