from django.apps import AppConfig


class MarginConfig(AppConfig):
    name = "margin"
    default_auto_field = "django.db.models.BigAutoField"

    sealed_tables = (
        "margin_bracket",
        "margin_callevent",
        "margin_haircut",
        "margin_instrumentterms",
        "margin_marginresult",
        "margin_marginrun",
        "margin_mark",
        "margin_price",
        "margin_resultcomponent",
        "margin_runexception",
        "margin_taskevent",
    )
    editable_tables = ("margin_margincall", "margin_task")
