"""Views of lists and the clock of each person (SQL beside this file)."""

from pathlib import Path

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models import Q

from accounts import fields

NAME_OF_AN_ADDRESS = r"^[a-z0-9]+(-[a-z0-9]+)*$"


class Migration(migrations.Migration):
    dependencies = [("accounts", "0010_sign_in")]

    operations = [
        migrations.AddField(
            "operator", "time_zone", models.CharField(blank=True, db_default="", max_length=40)
        ),
        migrations.CreateModel(
            name="SavedView",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("list_name", models.CharField(max_length=60)),
                ("slug", models.CharField(max_length=60)),
                ("title", models.CharField(max_length=80)),
                ("query", models.CharField(blank=True, max_length=2000)),
                ("is_shared", models.BooleanField(default=False)),
                ("is_removed", models.BooleanField(default=False)),
                ("xid", fields.TransactionIdField(db_default=fields.CurrentTransaction())),
                (
                    "legal_entity",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.legalentity",
                    ),
                ),
                (
                    "owner",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        condition=Q(is_removed=False),
                        fields=("legal_entity", "list_name", "slug"),
                        name="view_name_is_unique",
                    ),
                    models.CheckConstraint(
                        condition=Q(slug__regex=NAME_OF_AN_ADDRESS)
                        & Q(list_name__regex=NAME_OF_AN_ADDRESS)
                        & ~Q(title=""),
                        name="view_name_fits_an_address",
                    ),
                ],
            },
        ),
        migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text()),
    ]
