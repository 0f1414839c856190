"""Attacks by those who lack the right: the program beside its door, the auditor, the broker.

What the owner of the tables could do to the guards themselves is here too, where the server keeps
them on.
"""

from brokerage.attacks.forms import Attack, by_nobody, without_right

RUNTIME, AUDITOR, BROKER = "rights_of_the_program", "rights_of_the_auditor", "rights_of_the_broker"

POSTED = (
    "ledger_entry", "ledger_posting", "ledger_entrykey", "ledger_balance", "ledger_dailymovement",
    "ledger_checkpoint",
    "ledger_ledgeraccount", "ledger_loss", "ledger_releaseuse", "ledger_entrykind",
    "ledger_kindleg", "accounts_act", "accounts_auditrow", "accounts_approval",
    "accounts_approvalaction", "accounts_rolegrant", "accounts_operatorsession",
)  # fmt: skip
STATEMENTS = {
    "the owner's role": "SET ROLE bo_owner",
    "a superuser's session": "SET SESSION AUTHORIZATION postgres",
    "triggers that do not fire": "SET session_replication_role = replica",
    "an id of an entry": "SELECT nextval('ledger_entry_id')",
    "ids that begin again": "SELECT setval('ledger_entry_id', 1)",
    "a table in front of another": "CREATE TEMPORARY TABLE ledger_balance (account_id bigint)",
    "a table of its own": "CREATE TABLE public.mine (id bigint)",
    "a schema of its own": "CREATE SCHEMA mine",
    "a function of its own": "CREATE FUNCTION public.mine() RETURNS void LANGUAGE sql AS 'SELECT'",
    "another rounding": "CREATE OR REPLACE FUNCTION ledger.half_even(value numeric,"
    " decimals integer) RETURNS numeric LANGUAGE sql IMMUTABLE AS 'SELECT value'",
    "another search path": "ALTER FUNCTION ledger.post_entries(jsonb) SET search_path = mine",
    "no guard": "DROP FUNCTION ledger.posting_is_sound() CASCADE",
    "a large object of a file": "SELECT lo_import('/etc/hostname')",
    "a file of the server": "SELECT pg_read_file('/etc/hostname')",
    "a program on the server": "COPY (SELECT 1) TO PROGRAM 'true'",
    "a bank in another pool": "UPDATE ledger_location SET pool_id = $house",
    "a break with another amount": "UPDATE ledger_break SET ledger_amount = 0",
    "a release of another amount": "UPDATE ledger_release SET amount = 0",
    "schema history": "DELETE FROM django_migrations",
    "superpowers": "ALTER ROLE bo_runtime SUPERUSER",
    "membership": "GRANT bo_owner TO bo_runtime",
    "a table that only grows": "SELECT accounts.make_append_only('ledger_break')",
}
PROGRAM = [
    *(
        without_right(RUNTIME, f"{what} in {table}", statement.format(table))
        for table in POSTED
        for what, statement in (
            ("rows written", "INSERT INTO {0} SELECT * FROM {0}"),
            ("rows deleted", "DELETE FROM {0}"),
            ("rows held", "SELECT * FROM {0} FOR UPDATE"),
            ("all rows cut off", "TRUNCATE {0}"),
            ("triggers off", "ALTER TABLE {0} DISABLE TRIGGER ALL"),
        )
    ),
    *(without_right(RUNTIME, what, said) for what, said in STATEMENTS.items()),
]
READERS = [
    *(
        without_right(AUDITOR, what, statement, who="auditor")
        for what, statement in {
            "an entry": "SELECT ledger.post_entries('[]')",
            "a lock": "SELECT ledger.lock_balances('{}', '{}')",
            "an account": "SELECT ledger.open_accounts('[]')",
            "a row": "INSERT INTO ledger_horizon (purpose) VALUES ('x')",
            "a name for what is done": "SELECT accounts.act('system:x', NULL, 'x', '', 'x')",
            "a person's key": "SELECT key FROM accounts_personkey",
            "a password": "SELECT password FROM accounts_operator",
        }.items()
    ),
    *(
        without_right(BROKER, f"a look at {table}", f"SELECT * FROM public.{table}", who="broker")
        for table in ("ledger_posting", "accounts_client", "accounts_operator")
    ),
    without_right(BROKER, "an entry", "SELECT ledger.post_entries('[]')", who="broker"),
]

KEPT_ON = "guards_stay_on"
GUARDS = [
    by_nobody(KEPT_ON, what, statement)
    for what, statement in {
        "a guard dropped": "DROP TRIGGER posting_6_is_carried ON ledger_posting",
        "a guard switched off": "ALTER TABLE ledger_posting DISABLE TRIGGER posting_1_is_sound",
        "all guards switched off": "ALTER TABLE ledger_posting DISABLE TRIGGER ALL",
        "a guard that replicas skip": "ALTER TABLE ledger_entry ENABLE TRIGGER entry_1_is_sound",
        "a guard that does nothing": "CREATE OR REPLACE FUNCTION ledger.posting_is_sound()"
        " RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "a rule dropped": "ALTER TABLE ledger_entrykey DROP CONSTRAINT key_is_used_once CASCADE",
        "a right given away": "GRANT UPDATE ON ledger_balance TO bo_runtime",
        "a row that is swallowed": "CREATE RULE swallow AS ON INSERT TO accounts_auditrow"
        " DO INSTEAD NOTHING",
    }.items()
]
RIGHTS: tuple[Attack, ...] = (*PROGRAM, *READERS, *GUARDS)
