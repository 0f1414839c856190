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
        "margin_heldcall",
        "margin_instrumentterms",
        "margin_levelevent",
        "margin_mailbounce",
        "margin_marginproposal",
        "margin_marginresult",
        "margin_marginrun",
        "margin_mark",
        "margin_marketrow",
        "margin_marketrule",
        "margin_modeldecision",
        "margin_movedlevels",
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
        "margin_switch",
        "margin_taskevent",
    )
    editable_tables = ("margin_delivery", "margin_margincall", "margin_task")

    def ready(self) -> None:
        """Say how requests of this app are shown and applied, and which codes it knows."""
        from accounts.agreement_checks import register_signature_look, register_terms_check
        from margin import (
            agreed_moves,
            agreement_codes,
            contracts,
            eligibility,
            eligibility_checks,
            group_standing,
            mode_switch,
            model_registry,
            option_listing,
            parameters,
            retention,
            switches,
        )
        from margin.calls import cures, decisions, disputes, reliefs, terms
        from margin.market import corrections, overrides, rules
        from margin.notices import contacts, texts
        from margin.payments import outcomes, withdrawals

        for noun in (agreed_moves, contracts, eligibility, model_registry, option_listing):
            noun.register()
        for noun in (cures, decisions, disputes, reliefs, terms):
            noun.register()
        for noun in (corrections, overrides, rules, contacts, texts, outcomes, withdrawals):
            noun.register()
        group_standing.register()
        parameters.register()
        retention.register()
        switches.register()
        register_terms_check(agreement_codes.check_terms)
        register_terms_check(eligibility_checks.check_terms)
        register_signature_look(eligibility_checks.look_at_signature)
        register_signature_look(mode_switch.look_at_signature)
