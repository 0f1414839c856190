from django.apps import AppConfig

from accounts.table_classes import SealedPart


class LedgerConfig(AppConfig):
    name = "ledger"
    default_auto_field = "django.db.models.BigAutoField"

    sealed_tables = (
        "ledger_accrual",
        "ledger_accrualcorrection",
        "ledger_accrualrun",
        "ledger_asset",
        "ledger_backdatedentry",
        "ledger_blocklift",
        "ledger_blockrule",
        "ledger_blocksweep",
        "ledger_breakevent",
        "ledger_clientreconciliation",
        "ledger_conductrule",
        "ledger_dailyrate",
        "ledger_dayclose",
        "ledger_entry",
        "ledger_holding",
        "ledger_horizon",
        "ledger_ledgeraccount",
        "ledger_letter",
        "ledger_letterdocument",
        "ledger_locationasset",
        "ledger_locationchange",
        "ledger_loss",
        "ledger_moverule",
        "ledger_obligation",
        "ledger_obligationend",
        "ledger_outflowblock",
        "ledger_paymentevent",
        "ledger_paymentreport",
        "ledger_paymentstatus",
        "ledger_paymentstep",
        "ledger_periodevent",
        "ledger_pool",
        "ledger_ratecurve",
        "ledger_rateversion",
        "ledger_receiptsettlement",
        "ledger_reconciliationsignature",
        "ledger_release",
        "ledger_releaseuse",
        "ledger_residualnotice",
        "ledger_residualtarget",
        "ledger_segregationstatement",
        "ledger_statement",
        "ledger_statementfile",
        "ledger_statementline",
        "ledger_statementmatch",
        "ledger_transitrule",
    )
    # An entry, its key and its postings are written as one and sealed as one.
    sealed_parts = (
        SealedPart("ledger_entrykey", whole="ledger_entry", link="entry_id"),
        SealedPart("ledger_posting", whole="ledger_entry", link="entry_id"),
    )
    asked_by_a_guard = {
        "ledger_entry": "entry_1_is_sound",
        "ledger_entrykey": "keys_are_watched",
        "ledger_posting": "posting_1_is_sound",
    }
    editable_tables = (
        "ledger_break",
        "ledger_entrykind",
        "ledger_kindleg",
        "ledger_location",
        "ledger_payment",
        "ledger_paymentfile",
        "ledger_paymentinfile",
    )
    derived_tables = {
        "ledger_balance": (
            "balance_is_its_last_posting_1",
            "balance_is_its_last_posting_2",
            "balance_is_kept",
            "balance_stays_with_its_account",
        ),
        "ledger_checkpoint": ("checkpoint_is_taken", "history_is_append_only"),
        "ledger_dailymovement": ("balance_is_kept", "movements_come_from_postings"),
        "ledger_locationuse": ("location_use_follows_its_letters", "row_is_kept"),
    }

    # What is being handed over, until it is posted.
    transient_tables = ("ledger_stageddraft",)

    def ready(self) -> None:
        """Say how requests for entries are shown and applied."""
        from ledger import (
            back_dating,
            blocks,
            bucket_moves,
            debts,
            entry_approvals,
            individual,
            locations,
            payment_files,
            periods,
            rates,
            residual,
            transit,
        )

        back_dating.register()
        entry_approvals.register()
        payment_files.register()
        periods.register()
        rates.register()
        blocks.register()
        bucket_moves.register()
        debts.register()
        individual.register()
        transit.register()
        locations.register()
        residual.register()
