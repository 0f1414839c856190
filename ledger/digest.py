"""How the tables of the book enter the digest."""

from accounts.digest import BY_CLOCK, DigestedTable

ENTRY = "an entry's key stands for it"
RUN = "which transactions had committed"

TABLES = (
    DigestedTable("ledger_pool", key=("legal_entity_id", "code")),
    DigestedTable("ledger_asset", key=("code",)),
    DigestedTable("ledger_location", key=("code",)),
    DigestedTable("ledger_locationasset", key=("location_id", "asset_id")),
    DigestedTable(
        "ledger_ledgeraccount",
        key=("pool_id", "asset_id", "account_class", "bucket_id", "location_id"),
    ),
    DigestedTable("ledger_entrykind", key=("code",)),
    DigestedTable(
        "ledger_kindleg",
        key=("kind_id", "account_class", "owner_class", "asset_kind", "side"),
    ),
    DigestedTable(
        "ledger_entry",
        key_sql="SELECT k.key FROM ledger_entrykey k WHERE k.entry_id = w.id",
        left_out={"id": ENTRY},
    ),
    DigestedTable(
        "ledger_entrykey",
        key=("key",),
        left_out={
            "entry_id": ENTRY,
            "digest": "hash of a content that holds ids",
            "watches_to": "which entries were posted together",
        },
    ),
    DigestedTable("ledger_posting", key=("account_id", "account_seq")),
    DigestedTable("ledger_balance", key=("account_id",)),
    DigestedTable(
        "ledger_dailymovement",
        key=("account_id", "effective_on"),
        left_out=dict.fromkeys(
            ("first_seq", "amount_before", "first_xid"),
            "follows from the postings and their entries",
        ),
    ),
    DigestedTable("ledger_loss", key=("entry_id",)),
    DigestedTable("ledger_release", key=("bucket_id", "kind_id", "asset_id", "scope_version")),
    DigestedTable("ledger_releaseuse", key=("release_id",)),
    DigestedTable("ledger_ratecurve", key=("legal_entity_id", "asset_id", "side")),
    DigestedTable("ledger_rateversion", key=("curve_id", "version")),
    DigestedTable("ledger_accrualrun", key=("legal_entity_id", "day"), left_out={"snapshot": RUN}),
    DigestedTable("ledger_dailyrate", key=("run_id", "curve_id")),
    DigestedTable("ledger_accrual", key=("account_id", "run_id")),
    DigestedTable("ledger_accrualcorrection", key=("account_id", "run_id", "day")),
    DigestedTable(
        "ledger_statementfile",
        key=("sha256",),
        left_out={"content": "its sha256 stands for it"},
    ),
    DigestedTable("ledger_statement", key=("location_id", "business_day")),
    DigestedTable("ledger_statementline", key=("statement_id", "ordinal")),
    DigestedTable("ledger_holding", key=("business_day", "line")),
    DigestedTable("ledger_statementmatch", key=("line_id",)),
    DigestedTable(
        "ledger_break",
        key=("location_id", "business_day", "ordinal"),
        left_out={"closed_at": BY_CLOCK},
    ),
    DigestedTable("ledger_breakevent", key=("found_id", "event")),
    DigestedTable(
        "ledger_dayclose",
        key=("legal_entity_id", "day"),
        left_out={"horizon_id": "what was known then is told in transactions"},
    ),
    DigestedTable("ledger_periodevent", key=("legal_entity_id", "number")),
    DigestedTable("ledger_backdatedentry", key=("entry_id",)),
    DigestedTable("ledger_moverule", key=("from_role", "to_role", "effective_from")),
    DigestedTable("ledger_transitrule", key=("legal_entity_id", "effective_from")),
    DigestedTable("ledger_blockrule", key=("legal_entity_id", "cause", "effective_from")),
    DigestedTable("ledger_clientreconciliation", key=("client_id", "business_day", "number")),
    DigestedTable("ledger_reconciliationsignature", key=("reconciliation_id",)),
    DigestedTable("ledger_obligation", key=("legal_entity_id", "reference")),
    DigestedTable("ledger_obligationend", key=("obligation_id",)),
    DigestedTable("ledger_conductrule", key=("code", "regime", "effective_from")),
    DigestedTable(
        "ledger_letterdocument",
        key=("sha256",),
        left_out={"content": "its sha256 stands for it"},
    ),
    DigestedTable("ledger_letter", key=("location_id", "reference", "signed_on")),
    DigestedTable("ledger_segregationstatement", key=("pool_id", "asset_id", "business_day")),
    DigestedTable("ledger_residualtarget", key=("pool_id", "asset_id", "effective_from")),
    DigestedTable("ledger_residualnotice", key=("approval_id",)),
    DigestedTable("ledger_receiptsettlement", key=("entry_id",)),
    DigestedTable("ledger_paymentstep", key=("from_state", "to_state")),
    DigestedTable(
        "ledger_payment",
        key=("legal_entity_id", "key"),
        left_out={"end_to_end_id": "made of the surrogate id"},
    ),
    DigestedTable("ledger_paymentevent", key=("payment_id", "from_state", "to_state")),
)

LEFT_OUT = {
    "ledger_paymentfile": "holds references made of surrogate ids, and the time of writing",
    "ledger_paymentinfile": "which of those files carries a payment",
    "ledger_paymentreport": "names those files; what followed is in the payments' steps",
    "ledger_paymentstatus": "names payments by references made of surrogate ids",
    "ledger_checkpoint": "follows from the postings; where one ends is told in transactions",
    "ledger_stageddraft": "waits to be posted, and does not stay",
    "ledger_blocklift": "ends by the clock what began by the clock",
    "ledger_blocksweep": "a look by the clock at what a margin run found",
    "ledger_outflowblock": "begins and ends by the clock of whoever acted",
    "ledger_horizon": "committed horizons, one a minute",
    "ledger_locationchange": "days on the clock of whoever acted; the trail has the change",
    "ledger_locationuse": "follows from letters, changes and closings",
}
