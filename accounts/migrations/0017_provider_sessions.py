"""Sessions say by whose identity they were opened, and the provider can end them (SQL beside
this file)."""

from pathlib import Path

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0016_redactable")]

    operations = [
        migrations.CreateModel(
            name="ProviderLogout",
            fields=[
                ("token", models.BinaryField(primary_key=True, serialize=False)),
                ("issuer", models.CharField(max_length=200)),
                ("subject", models.CharField(blank=True, max_length=255)),
                ("sid", models.CharField(blank=True, max_length=255)),
                ("said_at", models.DateTimeField()),
                ("kept_until", models.DateTimeField()),
            ],
        ),
        migrations.AddField(
            model_name="operatorsession",
            name="issuer",
            field=models.CharField(blank=True, db_default="", max_length=200),
        ),
        migrations.AddField(
            model_name="operatorsession",
            name="subject",
            field=models.CharField(blank=True, db_default="", max_length=255),
        ),
        migrations.AddField(
            model_name="operatorsession",
            name="sid",
            field=models.CharField(blank=True, db_default="", max_length=255),
        ),
        migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text()),
    ]
