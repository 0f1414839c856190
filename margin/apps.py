from django.apps import AppConfig


class MarginConfig(AppConfig):
    name = "margin"
    default_auto_field = "django.db.models.BigAutoField"

    sealed_tables = (
        "margin_bracket",
        "margin_calldecision",
        "margin_calldispute",
        "margin_calldisputeend",
        "margin_calldisputepart",
        "margin_callevent",
        "margin_callevidence",
        "margin_callincrement",
        "margin_callnotice",
        "margin_callpromise",
        "margin_callpromiseend",
        "margin_callrelief",
        "margin_callterms",
        "margin_calltransition",
        "margin_clienteligibility",
        "margin_contract",
        "margin_deliveryevent",
        "margin_deliverytransition",
        "margin_eligibilityrule",
        "margin_externalbreak",
        "margin_externalcomponent",
        "margin_externalmargin",
        "margin_haircut",
        "margin_haircutschedule",
        "margin_instrumentterms",
        "margin_levelevent",
        "margin_marginproposal",
        "margin_marginresult",
        "margin_marginrun",
        "margin_mark",
        "margin_marketrow",
        "margin_marketrule",
        "margin_modeldecision",
        "margin_noticecontact",
        "margin_noticetemplate",
        "margin_parameterset",
        "margin_price",
        "margin_pricefile",
        "margin_priceoverride",
        "margin_rejectedprice",
        "margin_remargin",
        "margin_resultcomponent",
        "margin_runblock",
        "margin_runexception",
        "margin_shadowresult",
        "margin_taskevent",
    )
    editable_tables = ("margin_delivery", "margin_margincall", "margin_task")

    def ready(self) -> None:
        """Say how requests of this app are shown and applied, and which codes it knows."""
        from accounts.agreement_checks import register_signature_look, register_terms_check
        from margin import (
            agreed_moves,
            agreement_codes,
            call_cures,
            call_decisions,
            call_disputes,
            call_reliefs,
            call_terms,
            contracts,
            eligibility,
            eligibility_checks,
            mark_corrections,
            market_rules,
            mode_switch,
            model_registry,
            notice_contacts,
            notice_texts,
            option_listing,
            overrides,
            parameters,
            payment_outcomes,
            retention,
            withdrawals,
        )

        agreed_moves.register()
        call_cures.register()
        call_decisions.register()
        call_disputes.register()
        call_reliefs.register()
        call_terms.register()
        contracts.register()
        eligibility.register()
        mark_corrections.register()
        market_rules.register()
        model_registry.register()
        notice_contacts.register()
        notice_texts.register()
        option_listing.register()
        overrides.register()
        parameters.register()
        payment_outcomes.register()
        retention.register()
        withdrawals.register()
        register_terms_check(agreement_codes.check_terms)
        register_terms_check(eligibility_checks.check_terms)
        register_signature_look(eligibility_checks.look_at_signature)
        register_signature_look(mode_switch.look_at_signature)
