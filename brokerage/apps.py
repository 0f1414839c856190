from django.apps import AppConfig


class BrokerageConfig(AppConfig):
    name = "brokerage"
    default_auto_field = "django.db.models.BigAutoField"

    sealed_tables = (
        "brokerage_case",
        "brokerage_casenote",
        "brokerage_dayfile",
        "brokerage_daystep",
        "brokerage_firm",
        "brokerage_inboxevent",
        "brokerage_rejectedrow",
        "brokerage_reportfile",
    )
    editable_tables = ("brokerage_businessday",)
    transient_tables = ("brokerage_job",)
