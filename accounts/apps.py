from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "accounts"
    default_auto_field = "django.db.models.BigAutoField"

    sealed_tables = (
        "accounts_erasure",
        "accounts_purge",
        "accounts_redaction",
        "accounts_retentionclass",
        "accounts_retentionrule",
        "accounts_act",
        "accounts_approvallimit",
        "accounts_approvalrecord",
        "accounts_auditrow",
        "accounts_dutyconflict",
        "accounts_emergencyreview",
        "accounts_emergencyrule",
        "accounts_instructionrule",
        "accounts_limituse",
        "accounts_paymentinstruction",
        "accounts_signinbinding",
        "accounts_signinrule",
        "accounts_sealblock",
        "accounts_sealepoch",
    )
    editable_tables = (
        "accounts_legalhold",
        "accounts_accountagreement",
        "accounts_accountgroup",
        "accounts_agreement",
        "accounts_agreementversion",
        "accounts_approval",
        "accounts_approvalaction",
        "accounts_bucket",
        "accounts_client",
        "accounts_emergencytask",
        "accounts_groupmember",
        "accounts_legalentity",
        "accounts_marginaccount",
        "accounts_operator",
        "accounts_personkey",
        "accounts_recoverycode",
        "accounts_rolegrant",
        "accounts_savedview",
        "accounts_scope",
        "accounts_secondfactor",
    )
    # The root of a block covers its leaves.
    derived_tables = {"accounts_sealleaf": ("history_is_append_only", "leaf_is_of_the_next_block")}
    transient_tables = (
        "accounts_operatorsession",
        "accounts_providerlogout",
        "accounts_signinfailure",
        "accounts_spentticket",
        "auth_group",
        "auth_group_permissions",
        "auth_permission",
        "django_content_type",
        "django_migrations",
        "django_session",
    )

    def ready(self) -> None:
        """Say how requests of this app are shown and applied."""
        from accounts import (
            agreements,
            bindings,
            duties,
            group_changes,
            limits,
            payees,
            people,
            retention,
            sign_in_rules,
        )

        agreements.register()
        bindings.register()
        duties.register()
        group_changes.register()
        limits.register()
        payees.register()
        people.register()
        retention.register()
        sign_in_rules.register()
