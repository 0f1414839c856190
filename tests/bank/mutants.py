"""Books that are broken on purpose, one guard, lock or key each.

A mutant is SQL that a superuser runs on a scratch clone: statements, and texts exchanged in
functions as the database has them. What does not fit any more is refused, so that no mutant goes
on doing nothing after the book was written anew. Where a function may be rewritten altogether, the
mutant stands in front of it instead of inside.
"""

from dataclasses import dataclass
from typing import Any

import psycopg

Connection = psycopg.Connection[Any]


class MutantDoesNotFitError(Exception):
    """The book has changed so that this mutant would change nothing."""


@dataclass(frozen=True)
class Mutant:
    """One way to break the book.

    Attributes:
        name: what is missing or wrong.
        statements: run in order; each fails if what it takes away is not there.
        rewrites: function, text in it, and the text that takes its place.
    """

    name: str
    statements: tuple[str, ...] = ()
    rewrites: tuple[tuple[str, str, str], ...] = ()

    def apply(self, superuser: Connection) -> None:
        """Break the book.

        Raises:
            MutantDoesNotFitError: there is nothing of this to break.
        """
        try:
            for statement in self.statements:
                superuser.execute(statement)
            for function, old, new in self.rewrites:
                self._rewrite(superuser, function, old, new)
        except psycopg.errors.ProgrammingError as error:
            raise MutantDoesNotFitError(f"{self.name}: {error}") from error

    def _rewrite(self, superuser: Connection, function: str, old: str, new: str) -> None:
        row = superuser.execute("SELECT pg_get_functiondef(%s::regprocedure)", [function])
        (definition,) = row.fetchone() or ("",)
        if old not in definition:
            raise MutantDoesNotFitError(f"{self.name}: {function} does not say {old!r}")
        superuser.execute(definition.replace(old, new))


def without_trigger(table: str, trigger: str) -> Mutant:
    """The book without one of its guards."""
    return Mutant(f"without {trigger} of {table}", (f"DROP TRIGGER {trigger} ON {table}",))


def without_rule(table: str, constraint: str) -> Mutant:
    """The book without one of its keys or checks."""
    return Mutant(
        f"without {constraint} of {table}",
        (f"ALTER TABLE {table} DROP CONSTRAINT {constraint} CASCADE",),
    )


def in_front_of_posting(name: str, body: str) -> Mutant:
    """The posting function behind another that changes what goes in or what comes out."""
    return Mutant(
        name,
        (
            "ALTER FUNCTION ledger.post_entries(jsonb) RENAME TO post_entries_right",
            "CREATE FUNCTION ledger.post_entries(batch jsonb)"
            " RETURNS TABLE (ordinal integer, entry_id bigint, is_new boolean)"
            f" LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $${body}$$",
            "GRANT EXECUTE ON FUNCTION ledger.post_entries(jsonb) TO bo_runtime",
        ),
    )


def each_draft(change: str) -> str:
    """The batch with every entry `e.value` changed."""
    return (
        "SELECT * FROM ledger.post_entries_right((SELECT jsonb_agg(" + change + " ORDER BY e.ord)"
        " FROM jsonb_array_elements(batch) WITH ORDINALITY AS e(value, ord)))"
    )


def lock_balances(how: str) -> tuple[str, ...]:
    """The function that holds balances, with another last line."""
    return (
        "CREATE OR REPLACE FUNCTION ledger.lock_balances(account_ids bigint[], bucket_ids bigint[])"
        " RETURNS TABLE (account_id bigint, amount numeric, seq bigint, average_cost numeric)"
        " LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$ BEGIN"
        " RETURN QUERY SELECT b.account_id, b.amount, b.seq, b.average_cost FROM ledger_balance b"
        " WHERE b.account_id = ANY (account_ids || ARRAY(SELECT a.id FROM ledger_ledgeraccount a"
        f" WHERE a.bucket_id = ANY (bucket_ids))) {how}; END $$",
    )


def that_loses(table: str, event: str, share: str) -> tuple[str, ...]:
    """A trigger that lets some rows of a table get lost."""
    return (
        "CREATE FUNCTION public.lose() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN IF random() < {share} THEN RETURN NULL; END IF; RETURN NEW; END $$",
        f"CREATE TRIGGER a_row_is_lost BEFORE {event} ON {table}"
        " FOR EACH ROW EXECUTE FUNCTION public.lose()",
    )


def without_check(name: str, *arguments: str) -> Mutant:
    """The book in which one check of entries finds nothing."""
    said = ", ".join(arguments) or "entries bigint[]"
    return Mutant(
        f"{name} finds nothing",
        (
            f"SELECT 'ledger.{name}'::regproc",
            f"CREATE OR REPLACE FUNCTION ledger.{name}({said}) RETURNS void"
            " LANGUAGE plpgsql AS 'BEGIN END'",
        ),
    )


def beyond_doubt(what: str, test: str) -> Mutant:
    """The quick pass over postings without one of its tests."""
    return Mutant(
        f"the quick pass does not look at {what}",
        rewrites=(("ledger.posting_is_sound()", test, "true"),),
    )


def plain_beyond_doubt(what: str, test: str) -> Mutant:
    """The look at one entry without one of its tests."""
    return Mutant(
        f"the look at one entry does not see {what}",
        rewrites=(("ledger.is_plain_entry(bigint)", test, "true"),),
    )


ENTRIES, WRITTEN = "entries bigint[]", "written bigint[]"
GUARDS = [
    *(
        without_trigger("ledger_posting", name)
        for name in (
            "posting_1_is_sound",
            "posting_6_is_carried",
            "history_is_append_only",
        )
    ),
    without_trigger("ledger_entry", "entry_1_is_sound"),
    without_trigger("ledger_entry", "history_is_append_only"),
    *(
        without_trigger("ledger_balance", name)
        for name in (
            "balance_is_its_last_posting_2",
            "balance_is_kept",
            "balance_stays_with_its_account",
        )
    ),
    without_trigger("ledger_dailymovement", "movements_come_from_postings"),
    without_trigger("ledger_entrykey", "key_has_its_entry"),
    without_trigger("ledger_releaseuse", "release_is_for_this"),
    without_trigger("ledger_loss", "loss_is_settled_in_order"),
    without_trigger("accounts_approval", "approval_is_decided_once"),
    without_trigger("accounts_sealblock", "block_follows_the_chain"),
    *(
        without_check(f"check_{name}")
        for name in (
            "postings",
            "running",
            "zero",
            "kinds",
            "trades",
            "valuation",
            "approvals",
            "reversals",
            "losses",
            "shortfall",
        )
    ),
    without_check("check_releases", ENTRIES, WRITTEN),
    without_check("check_first", ENTRIES, WRITTEN),
    without_check("check_openings", "pools smallint[]"),
    beyond_doubt("sums", "sum(l.amount) = 0"),
    beyond_doubt("running balances", "i.balance_after = a.amount + sum(i.amount) OVER running"),
    beyond_doubt("the order of an account", "i.account_seq = a.seq + row_number() OVER running"),
    beyond_doubt(
        "floors",
        "ledger.broken_floor(a.account_class, a.asset_kind, i.balance_after) IS NULL",
    ),
    Mutant(
        "the quick pass does not look at the kinds of legs",
        rewrites=(
            (
                "ledger.posting_is_sound()",
                "IF ledger.is_plain_shape(",
                "IF true OR ledger.is_plain_shape(",
            ),
        ),
    ),
    beyond_doubt("how many postings there are", "e.posting_count = w.legs"),
    Mutant(
        "postings of another statement are not counted",
        rewrites=(("ledger.posting_is_sound()", "<> seen.postings", "< 0"),),
    ),
    plain_beyond_doubt("sums", "sum(i.amount) = 0"),
    plain_beyond_doubt("pools", "min(i.pool_id) = max(i.pool_id)"),
    plain_beyond_doubt("running balances", "i.balance_after = b.amount + i.amount"),
    plain_beyond_doubt("the order of an account", "i.account_seq = b.seq + 1"),
    plain_beyond_doubt("accounts", "i.pool_id = a.pool_id AND i.asset_id = a.asset_id"),
    plain_beyond_doubt("assets", "i.amount = trunc(i.amount, a.scale)"),
    plain_beyond_doubt(
        "floors", "ledger.broken_floor(a.account_class, a.asset_kind, i.balance_after) IS NULL"
    ),
    plain_beyond_doubt("how many postings there are", "count(*) = min(e.posting_count)"),
    Mutant(
        "movements are not carried",
        rewrites=(
            (
                "ledger.posting_is_carried()",
                "DO UPDATE SET debit = d.debit + excluded.debit,",
                "DO UPDATE SET debit = d.debit,",
            ),
        ),
    ),
]
KEYS = [
    without_rule("ledger_entrykey", "key_is_used_once"),
    without_rule("ledger_entry", "entry_is_reversed_once"),
    without_rule("ledger_releaseuse", "release_is_used_once"),
    without_rule("ledger_loss", "loss_is_recorded_once"),
    without_rule("ledger_posting", "posting_moves_something"),
    in_front_of_posting(
        "a key that is another each time",
        each_draft("e.value || jsonb_build_object('key', (e.value ->> 'key') || random())"),
    ),
    in_front_of_posting(
        "a repeated key gets no first entry",
        "SELECT * FROM ledger.post_entries_right(batch) p WHERE p.is_new",
    ),
    in_front_of_posting(
        "the content of a repeated key is not compared",
        "SELECT d.ord::integer, coalesce(k.entry_id, p.entry_id), coalesce(p.is_new, false)"
        " FROM jsonb_array_elements(batch) WITH ORDINALITY AS d(value, ord)"
        " LEFT JOIN ledger_entrykey k ON k.key = d.value ->> 'key'"
        " LEFT JOIN LATERAL ledger.post_entries_right("
        "   CASE WHEN k.key IS NULL THEN jsonb_build_array(d.value) ELSE '[]' END) p ON true",
    ),
    in_front_of_posting(
        "the digest leaves the reference out",
        each_draft("e.value || jsonb_build_object('reference', '')"),
    ),
    in_front_of_posting("the digest leaves the narrative out", each_draft("e.value - 'narrative'")),
    in_front_of_posting(
        "the digest leaves the time out",
        each_draft("e.value || jsonb_build_object('effective_at', '2026-02-20T00:00:00Z')"),
    ),
    in_front_of_posting(
        "every entry is said to be new",
        "SELECT p.ordinal, p.entry_id, true FROM ledger.post_entries_right(batch) p",
    ),
]
NAIVE = (
    "ALTER TABLE ledger_posting DROP CONSTRAINT ledger_posting_pkey CASCADE",
    "DROP TRIGGER posting_1_is_sound ON ledger_posting",
    "DROP TRIGGER balance_is_its_last_posting_2 ON ledger_balance",
)
LOCKS = [
    Mutant("balances are not held", lock_balances("")),
    Mutant("balances are held in no order", lock_balances("ORDER BY random() FOR UPDATE")),
    Mutant(
        "one entry holds no balance",
        rewrites=(("ledger.post_one(jsonb)", "FOR UPDATE OF b", ""),),
    ),
    Mutant(
        "a batch holds no balance",
        rewrites=(
            ("ledger.post_drafts(jsonb[], uuid, bigint)", "ORDER BY n.account_id FOR UPDATE", ""),
        ),
    ),
    Mutant("looks, then writes, and nobody checks", (*NAIVE, *lock_balances(""))),
]
RULES = [
    Mutant(
        "no floor",
        (
            "CREATE OR REPLACE FUNCTION ledger.broken_floor(account_class text, asset_kind text,"
            " balance numeric) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS"
            " 'SELECT NULL::text'",
        ),
    ),
    Mutant(
        "an entry adds up, its pools do not",
        (
            "CREATE OR REPLACE FUNCTION ledger.check_zero(entries bigint[]) RETURNS void"
            " LANGUAGE plpgsql SET search_path = public, pg_temp AS $$ BEGIN"
            " IF EXISTS (SELECT FROM ledger_posting WHERE entry_id = ANY (entries)"
            " GROUP BY entry_id HAVING sum(amount) <> 0) THEN"
            " PERFORM accounts.refuse('entry_balances_in_each_pool', ''); END IF; END $$",
        ),
    ),
    Mutant(
        "the average cost is the last price",
        (
            "ALTER FUNCTION ledger.trade_effect(numeric, numeric, numeric, numeric, integer)"
            " RENAME TO trade_effect_right",
            "CREATE FUNCTION ledger.trade_effect(quantity numeric, average numeric,"
            " change numeric, price numeric, scale integer, OUT average_after numeric,"
            " OUT realised numeric) LANGUAGE sql IMMUTABLE AS"
            " 'SELECT CASE WHEN e.average_after = 0 THEN 0 ELSE round(price, 8) END, e.realised"
            "  FROM ledger.trade_effect_right(quantity, average, change, price, scale) e'",
            "GRANT EXECUTE ON FUNCTION ledger.trade_effect(numeric, numeric, numeric, numeric,"
            " integer) TO PUBLIC",
        ),
    ),
    Mutant("movements of a day get lost", that_loses("ledger_dailymovement", "INSERT", "0.2")),
    Mutant("a balance is not carried on", that_loses("ledger_balance", "UPDATE", "0.02")),
    Mutant("the use of a release gets lost", that_loses("ledger_releaseuse", "INSERT", "1")),
    Mutant(
        "a row that names no transaction of its own",
        (
            "DROP TRIGGER posting_1_is_sound ON ledger_posting",
            "ALTER TABLE ledger_posting ALTER COLUMN xid SET DEFAULT '3'",
        ),
    ),
    Mutant(
        "an approval is used again and again",
        rewrites=(("accounts.approval_goes_on()", "OLD.used_xid IS NOT NULL", "false"),),
    ),
    Mutant(
        "who asked may decide",
        ("ALTER TABLE accounts_approval DROP CONSTRAINT approval_is_not_ones_own",),
        rewrites=(("accounts.approval_goes_on()", "NEW.checker_id = OLD.maker_id", "false"),),
    ),
    Mutant(
        "an approval fits any entry",
        rewrites=(
            (
                "accounts.use_approval(uuid, text, jsonb)",
                "given.payload_sha256 IS DISTINCT FROM",
                "false AND given.payload_sha256 IS DISTINCT FROM",
            ),
        ),
    ),
    Mutant(
        "nobody has to say who acts",
        (
            "CREATE OR REPLACE FUNCTION accounts.require_act() RETURNS void"
            " LANGUAGE plpgsql STABLE AS 'BEGIN END'",
            "CREATE OR REPLACE FUNCTION accounts.rows_are_of_this_act(of_table text,"
            " are_of_now boolean) RETURNS void LANGUAGE plpgsql STABLE AS 'BEGIN END'",
        ),
    ),
    Mutant("the program writes balances", ("GRANT UPDATE ON ledger_balance TO bo_runtime",)),
]
MUTANTS = {mutant.name: mutant for mutant in (*GUARDS, *KEYS, *LOCKS, *RULES)}
