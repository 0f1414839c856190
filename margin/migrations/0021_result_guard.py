"""What results name is looked at in less time (SQL beside this file)."""

from pathlib import Path

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("margin", "0020_notices")]

    operations = [migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text())]
