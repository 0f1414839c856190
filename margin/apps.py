from django.apps import AppConfig


class MarginConfig(AppConfig):
    name = "margin"
    default_auto_field = "django.db.models.BigAutoField"
