"""Names of erased persons can be taken out of the words of every table that there is now."""

from pathlib import Path

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0016_redactable"),
        ("ledger", "0016_payment_reports"),
        ("margin", "0028_plain_template"),
        ("brokerage", "0008_compliance"),
    ]

    operations = [migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text())]
