"""Acts by the million: fewer questions, fewer indexes (SQL beside this file)."""

from pathlib import Path

from django.db import migrations, models
from django.db.models import Q, deletion

OWNERS = {"operator": "accounts.operator", "session": "accounts.operatorsession"}


class Migration(migrations.Migration):
    dependencies = [("accounts", "0007_bucket_roles")]

    operations = [
        migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text()),
        *(
            migrations.AlterField(
                "act",
                name,
                models.ForeignKey(
                    db_index=False, null=True, on_delete=deletion.PROTECT, related_name="+", to=to
                ),
            )
            for name, to in OWNERS.items()
        ),
        # A machine's act is filed under no person.
        *(
            migrations.AddIndex(
                "act",
                models.Index(
                    name=f"act_by_{name}",
                    fields=[name],
                    condition=Q(**{f"{name}__isnull": False}),
                ),
            )
            for name in OWNERS
        ),
    ]
