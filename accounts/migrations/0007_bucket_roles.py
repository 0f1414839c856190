"""Roles of buckets, and four eyes on individual segregation (SQL beside this file)."""

from pathlib import Path

from django.db import migrations, models
from django.db.models import Q

ROLES = (
    ("FREE", "Free"),
    ("INITIAL", "Initial margin"),
    ("RESERVE", "Maintenance reserve"),
    ("ISOLATED", "Isolated position"),
    ("PLEDGED", "Pledged"),
    ("LOCKED", "Locked or vesting"),
    ("HOLD", "Withdrawal hold"),
    ("FEES", "Fee reserve"),
)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0006_retention")]

    operations = [
        migrations.AlterField(
            model_name="bucket",
            name="role",
            field=models.CharField(choices=list(ROLES), max_length=12),
        ),
        migrations.AddConstraint(
            model_name="bucket",
            constraint=models.CheckConstraint(
                name="bucket_role_is_known",
                condition=Q(role__in=[code for code, _ in ROLES]),
            ),
        ),
        migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text()),
    ]
