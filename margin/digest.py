"""How the tables of margin enter the digest."""

from accounts.digest import BY_CLOCK, DigestedTable

# A mark lists the prices behind it by their ids; a price's line in its file stands for it.
PRICES_BY_LINE = """
    SELECT jsonb_agg((u - 'price_id') || jsonb_build_object('line', p.line) ORDER BY nth)
    FROM jsonb_array_elements(w.{column}) WITH ORDINALITY AS e(u, nth)
    LEFT JOIN margin_price p ON p.id = (u ->> 'price_id')::bigint
"""
# A person's own steps carry the clock, and so do those because a run was restated; those of a run
# carry its `as_of`.
OF_A_RUN = (
    "CASE WHEN w.run_id IS NOT NULL AND w.event NOT IN ('amended', 'withdrawn', 'notified')"
    " THEN w.occurred_at END"
)
# Blocks and the hashes of runs in columns name rows by their ids; what such runs say of each scope
# stands in its result, and `verify` adds up the parts in the blocks to it.
OF_THIS_DATABASE = "made of ids of this database"
BLOCK_COLUMNS = ("first_scope", "last_scope", "content", "content_sha256")
OF_ROWS = "CASE WHEN w.layout = 'rows' THEN w.{column} END"
# A notice is sealed anew for each book, and its message says when it was made and by which id.
SEALED_ANEW = "sealed under a key of this book"
OF_THIS_BOOK = "says the id and the moment of this book"
# Tasks about jobs and deliveries name them by ids of this book.
NO_JOBS = "w.kind NOT IN ('job', 'notice')"

TABLES = (
    DigestedTable("margin_haircut", key=("asset_id", "version")),
    DigestedTable("margin_haircutschedule", key=("haircut_id",)),
    DigestedTable("margin_instrumentterms", key=("asset_id", "version")),
    DigestedTable("margin_bracket", key=("terms_id", "floor")),
    DigestedTable("margin_contract", key=("asset_id",)),
    DigestedTable("margin_parameterset", key=("model", "code", "version")),
    DigestedTable("margin_marginproposal", key=("asset_id", "run_id", "parameter_set_id")),
    DigestedTable("margin_modeldecision", key=("model", "code", "effective_from")),
    DigestedTable("margin_eligibilityrule", key=("model", "version")),
    DigestedTable("margin_clienteligibility", key=("client_id", "version")),
    DigestedTable(
        "margin_externalmargin",
        key=("source", "scope_id", "business_day", "kind", "sha256"),
        left_out={"received_at": BY_CLOCK},
    ),
    DigestedTable("margin_externalcomponent", key=("statement_id", "total", "component")),
    DigestedTable("margin_externalbreak", key=("statement_id", "run_id", "total", "component")),
    DigestedTable("margin_shadowresult", key=("run_id", "parameter_set_id", "scope_id")),
    DigestedTable(
        "margin_priceoverride",
        key=("asset_id", "begins_at", "ends_at", "price"),
        left_out={"begins_at": BY_CLOCK},
    ),
    DigestedTable("margin_marketrule", key=("kind", "name", "version")),
    DigestedTable("margin_marketrow", key=("file_sha256", "line")),
    DigestedTable(
        "margin_pricefile",
        key=("sha256",),
        left_out={"content": "its sha256 stands for it", "received_at": BY_CLOCK},
    ),
    DigestedTable("margin_rejectedprice", key=("price_file_id", "line")),
    DigestedTable(
        "margin_price",
        key=("file_sha256", "line"),
        left_out={"price_file_id": "its file_sha256 names it, and books of before had none"},
    ),
    DigestedTable(
        "margin_mark",
        key=("asset_id", "as_of", "revision"),
        said={
            "used": PRICES_BY_LINE.format(column="used"),
            "dropped": PRICES_BY_LINE.format(column="dropped"),
        },
    ),
    DigestedTable(
        "margin_marginrun",
        key=("number",),
        left_out={"horizon_id": "committed horizon"},
        said={name: OF_ROWS.format(column=name) for name in ("inputs_sha256", "result_sha256")},
    ),
    DigestedTable("margin_movedlevels", key=("run_id", "agreement_version_id")),
    DigestedTable("margin_remargin", key=("price_file_id", "since_id")),
    DigestedTable("margin_marginresult", key=("run_id", "scope_id")),
    DigestedTable(
        "margin_resultcomponent",
        key=("result_id", "ordinal"),
        refers={"ledger_account_id": "ledger_ledgeraccount"},
    ),
    DigestedTable(
        "margin_runblock",
        key=("run_id", "ordinal"),
        left_out=dict.fromkeys(BLOCK_COLUMNS, OF_THIS_DATABASE),
    ),
    DigestedTable("margin_runexception", key=("run_id", "account_id", "bucket_code", "reason")),
    DigestedTable(
        "margin_margincall",
        key=("number",),
        left_out={
            "acknowledged_at": BY_CLOCK,
            "legal_entity_id": "its scope says it, and calls of before had none",
        },
    ),
    DigestedTable(
        "margin_callevent",
        key=("call_id", "run_id", "event", "to_state"),
        said={"occurred_at": OF_A_RUN},
    ),
    DigestedTable("margin_calldecision", key=("run_id", "call_id")),
    DigestedTable("margin_callnotice", key=("decision_id",)),
    DigestedTable("margin_noticetemplate", key=("legal_entity_id", "kind", "language", "version")),
    DigestedTable(
        "margin_noticecontact",
        key=("client_id", "version"),
        left_out={"addressed": SEALED_ANEW, "after_event": OF_THIS_DATABASE},
    ),
    DigestedTable("margin_deliverytransition", key=("from_state", "to_state", "step")),
    DigestedTable(
        "margin_delivery",
        key=("event_id", "channel", "contact_id"),
        left_out={
            "id": OF_THIS_BOOK,
            "person_key_id": SEALED_ANEW,
            "sent_to": SEALED_ANEW,
            "sent_bytes": SEALED_ANEW,
            "made_at": BY_CLOCK,
            "next_at": BY_CLOCK,
        },
        said={"sha256": "CASE WHEN w.channel = 'outbox' THEN w.sha256 END"},
    ),
    DigestedTable(
        "margin_deliveryevent",
        key=("delivery_id", "number"),
        left_out={"at": BY_CLOCK, "text": OF_THIS_BOOK},
    ),
    DigestedTable(
        "margin_callpromise",
        key=("call_id", "kind", "amount", "reference", "words"),
        left_out={"pay_by": BY_CLOCK},
    ),
    DigestedTable("margin_callpromiseend", key=("promise_id",), left_out={"at": BY_CLOCK}),
    DigestedTable(
        "margin_calldispute",
        key=("call_id", "called", "undisputed", "reason"),
        left_out={"content": "its sha256 stands for it"},
    ),
    DigestedTable("margin_calldisputepart", key=("dispute_id", "total", "component")),
    DigestedTable("margin_calldisputeend", key=("dispute_id",)),
    DigestedTable(
        "margin_callevidence",
        key=("dispute_id", "sha256"),
        left_out={"content": "its sha256 stands for it"},
    ),
    DigestedTable("margin_levelevent", key=("run_id", "scope_id", "level")),
    DigestedTable("margin_calltransition", key=("from_state", "to_state")),
    DigestedTable("margin_callincrement", key=("call_id", "number")),
    DigestedTable("margin_callterms", key=("agreement_id", "version")),
    DigestedTable(
        "margin_callrelief",
        key=("call_id", "kind", "amount", "reason"),
        left_out={"until": BY_CLOCK},
    ),
    DigestedTable(
        "margin_switch",
        key=("legal_entity_id", "what", "version"),
        left_out={"until": BY_CLOCK},
    ),
    DigestedTable("margin_heldcall", key=("result_id",)),
    DigestedTable(
        "margin_task",
        key=("kind", "key", "opened_at"),
        where=NO_JOBS,
        left_out={"closed_at": BY_CLOCK},
        said={"is_closed": "w.closed_at IS NOT NULL"},
    ),
    DigestedTable(
        "margin_taskevent",
        key=("task_id", "event"),
        where="EXISTS (SELECT FROM margin_task t WHERE t.id = w.task_id"
        " AND t.kind NOT IN ('job', 'notice'))",
        left_out={"occurred_at": BY_CLOCK},
    ),
)

LEFT_OUT: dict[str, str] = {
    "margin_mailbounce": "names messages by ids of this book; what followed is in deliveries",
}
