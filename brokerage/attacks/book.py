"""Attacks on entries: value that would leave its pool, fall below zero, or move without leave."""

from brokerage.attacks.forms import (
    ANY,
    ENTRY,
    Attack,
    Leg,
    by_nobody,
    by_owner,
    draft,
    entry,
    posting,
    row,
    through_the_door,
)
from brokerage.attacks.names import AGREED, WITHDRAWN, perpetual

DEPOSIT = (("client_bank", "5"), ("alice", "-5"))
OPENED = Leg("alice_perp", "-1", price="100000", average="100000"), Leg("venue_perp", "1")
RELEASED = "used AS (INSERT INTO ledger_releaseuse (release_id, entry_id) VALUES ('{}', {}))"
LOSS_PARTS = {
    "bucket": "$alice_bucket", "realised": "-$alice_loses", "shortfall": "50", "insurance": "50",
    "house": "0", "uncovered": "0",
}  # fmt: skip


def _loss(payer: str, **parts: str | None) -> dict[str, object]:
    """Alice sells what she bought for so little that her bucket is 50 short."""
    sold = [("alice_perp", {"amount": "2", "price": "$loss_price"}), ("venue_perp", "-2")]
    paid = [(f"{payer}_bank", "-50"), (f"{payer}_equity", "50"), ("client_bank", "50")]
    said = {**LOSS_PARTS, **parts}
    money = [("venue", "-$alice_loses"), ("alice", "$alice_has"), *paid]
    return draft("covered_loss", *sold, *money, loss=said if said["bucket"] else None)


WHOLE = [
    by_owner("entry_balances_in_each_pool", "debits above credits",
             entry("deposit", ("client_bank", "5"), ("alice", "-4"))),
    by_owner("entry_balances_in_each_pool", "a client's money to the house in two postings",
             entry("fee", ("alice", "5"), ("house_equity", "-5"))),
    through_the_door("entry_balances_in_each_pool", "the same through the posting function",
                     draft("fee", ("alice", "5"), ("house_equity", "-5"))),
    through_the_door("entry_balances_in_each_pool", "dollars that become contracts",
                     draft("deposit", ("client_bank", "5"), ("venue_perp", "-5"))),
    by_owner("entry_is_written_whole", "an entry without postings",
             "WITH key AS (INSERT INTO ledger_entrykey (key, digest, entry_id) VALUES"
             f" ('by hand', sha256('by hand'), {ENTRY})) "
             + row("ledger_entry", id=ENTRY, kind_id="'deposit'", effective_at="'$now'",
                   reference="''", narrative="''", posting_count="2")),
    by_owner("entry_is_written_whole", "an entry that counts a posting too many",
             entry("deposit", *DEPOSIT, header={"posting_count": "3"})),
    by_owner("entry_is_written_whole", "an entry of another transaction",
             entry("deposit", *DEPOSIT, header={"xid": "'3'"})),
    by_owner("entry_is_written_whole", "postings that join an entry later",
             "INSERT INTO ledger_posting (account_id, account_seq, entry_id, pool_id, asset_id,"
             " amount, balance_after) SELECT p.account_id, b.seq + 1, p.entry_id, p.pool_id,"
             " p.asset_id, p.amount, b.amount + p.amount FROM ledger_posting p"
             " JOIN ledger_balance b USING (account_id) WHERE p.entry_id = $deposit"),
    by_owner("entry_has_two_postings", "an entry of one posting",
             entry("deposit", ("client_bank", "5"))),
    through_the_door("entry_has_two_postings", "the same through the posting function",
                     draft("deposit", ("client_bank", "5"))),
    by_owner("entry_has_its_key", "an entry without a key",
             entry("deposit", *DEPOSIT, has_key=False)),
    by_owner("key_has_its_entry", "a key without an entry",
             row("ledger_entrykey", key="'alone'", digest="sha256('x')", entry_id=ENTRY)),
    by_owner("key_is_used_once", "a key once more",
             row("ledger_entrykey", key="'past deposit'", digest="sha256('x')", entry_id=ENTRY)),
    through_the_door("key_names_one_content", "a key for something else",
                     draft("deposit", ("client_bank", "6"), ("alice", "-6"), key="past deposit")),
    by_owner("entry_has_a_business_time", "an entry outside of all calendars",
             entry("deposit", *DEPOSIT, header={"effective_at": "'infinity'"})),
    through_the_door("draft_is_complete", "an entry without a kind",
                     draft("deposit", *DEPOSIT, kind=None)),
    through_the_door("draft_is_complete", "an entry without a key",
                     draft("deposit", *DEPOSIT, key="")),
    by_nobody("change_has_an_actor", "an entry that nobody makes", entry("deposit", *DEPOSIT)),
    by_nobody("change_has_an_actor", "the same through the posting function",
              posting(draft("deposit", *DEPOSIT)), who="runtime"),
    by_owner("row_carries_its_transaction", "postings of another transaction",
             "SET CONSTRAINTS ALL DEFERRED",
             entry("deposit", *DEPOSIT, rows={"xid": "'3'"})),
]  # fmt: skip

POSTINGS = [
    by_owner("posting_names_its_account", "a posting in another pool than its account",
             entry("deposit", *DEPOSIT, rows={"pool_id": "$house"})),
    by_owner("posting_names_its_account", "a posting in another asset than its account",
             entry("deposit", *DEPOSIT, rows={"asset_id": "$perp_asset"})),
    by_owner("posting_names_its_account", "a posting on no account",
             entry("deposit", *DEPOSIT, rows={"account_id": ENTRY})),
    by_owner("posting_moves_something", "postings of nothing",
             entry("deposit", ("client_bank", "0"), ("alice", "0"))),
    by_owner("amount_fits_its_asset", "a tenth of a cent",
             entry("deposit", ("client_bank", "5.001"), ("alice", "-5.001"))),
    by_owner("amount_fits_its_asset", "an amount that is no number",
             entry("deposit", ("client_bank", "NaN"), ("alice", "NaN"))),
    by_owner("amount_fits_its_asset", "an infinite amount",
             entry("deposit", ("client_bank", "Infinity"), ("alice", "-Infinity"))),
    by_owner("running_balance_follows", "a running balance that jumps",
             entry("deposit", *DEPOSIT, rows={"balance_after": "balance_after - 1"})),
    by_owner("running_balance_follows", "a gap in the order of an account",
             entry("deposit", *DEPOSIT, rows={"account_seq": "account_seq + 1"})),
    through_the_door("claim_not_below_zero", "more than a client has",
                     draft("withdrawal", ("alice", "$beyond_alice"), ("venue", "-$beyond_alice"))),
    by_owner("claim_not_below_zero", "the same by hand",
             entry("fee", ("alice", "$beyond_alice"), ("residual", "-$beyond_alice"))),
    through_the_door("claim_not_below_zero", "more returned than nobody has claimed",
                     {**AGREED["return"], "approval": "$agreed_return"}),
    by_owner("custody_not_below_zero", "money given out that is not held",
             entry("custody_move", ("venue", "-999999999999"), ("client_bank", "999999999999"))),
    by_owner("position_not_below_zero", "shares sold that are not there",
             entry("security_trade",
                   Leg("shares", "$too_many", price="$share_price", average="0", realised="0"),
                   ("custodian", "-$too_many"))),
    through_the_door("residual_interest_not_below_zero", "interest that the firm has not",
                     {**AGREED["interest"], "approval": "$agreed_interest"}),
    through_the_door("residual_interest_covers_shortfall", "what the pool lacks, taken out",
                     {**AGREED["residual_withdrawal"], "approval": "$agreed_residual_withdrawal"}),
    through_the_door("shortfall_not_below_zero", "more paid in than is missing",
                     {**AGREED["funding"], "approval": "$agreed_funding"}),
    Attack("loan_not_below_zero", "a loan that is overpaid",
           ("INSERT INTO ledger_release (id, bucket_id, kind_id, asset_id, amount, price_snapshot,"
            f" scope_version, binding_term) SELECT '{ANY}', a.bucket_id, 'repay', $dollars,"
            " $loan_beyond, '', sum(b.seq), '' FROM ledger_balance b JOIN ledger_ledgeraccount a"
            " ON a.id = b.account_id WHERE a.bucket_id = (SELECT bucket_id FROM"
            " ledger_ledgeraccount WHERE id = $loan) GROUP BY a.bucket_id",
            posting(draft("repay", ("borrower", "$loan_beyond"), ("client_bank", "-$loan_beyond"),
                          ("house_bank", "$loan_beyond"), ("loan", "-$loan_beyond"),
                          release=ANY))), who="runtime"),
    through_the_door("transit_not_below_zero", "money that arrives and was never sent",
                     draft("transit_in", ("client_bank", "5"), ("transit", "-5"))),
]  # fmt: skip

KINDS = [
    through_the_door("entry_fits_its_kind", "a leg its kind does not have",
                     draft("deposit", ("client_bank", "5"), ("residual", "-5"))),
    through_the_door("entry_fits_its_kind", "a leg on the other side",
                     draft("deposit", ("client_bank", "-5"), ("alice", "5"))),
    by_owner("entry_fits_its_kind", "a kind there is not", entry("gift", *DEPOSIT)),
    by_owner("entry_fits_its_kind", "two clients in one deposit",
             entry("deposit", ("client_bank", "10"), ("alice", "-5"), ("bob", "-5"))),
    by_owner("entry_fits_its_kind", "one client's money through the residual interest to another",
             entry("fee", ("alice", "5"), ("residual", "-5"), ("residual", "5"), ("bob", "-5"))),
    by_owner("entry_fits_its_kind", "a bill of the house paid by client money",
             entry("house_expense", ("residual", "5"), ("client_bank", "-5"))),
    by_owner("entry_fits_its_kind", "the firm's money to a client without a word",
             entry("fee", ("residual", "5"), ("alice", "-5"))),
    by_owner("entry_fits_its_kind", "a loan that nobody lends",
             entry("borrow", ("client_bank", "5"), ("bob", "-5"))),
    through_the_door("custody_follows_the_trade", "money the trade does not speak of",
                     draft("derivative_trade", *perpetual("1"), ("venue", "-5"), ("alice", "5"))),
    through_the_door("client_gets_what_the_trade_says", "a seller who gets more than the price",
                     draft("internal_trade",
                           ("shares", {"amount": "1", "price": "1"}),
                           ("alice_shares", {"amount": "-1", "price": "1"}),
                           ("alice", "2"), ("seller", "-2"))),
    by_owner("position_has_a_price", "a trade without a price",
             entry("derivative_trade", Leg("alice_perp", "-1", average="100000"), OPENED[1])),
    by_owner("position_is_valued", "an average cost of one's own",
             entry("derivative_trade", Leg("alice_perp", "-1", "100000", "1"), OPENED[1])),
    by_owner("position_is_valued", "a profit that was not made",
             entry("derivative_trade", Leg("alice_perp", "-1", "100000", "100000", "5"), OPENED[1],
                   ("venue", "5"), ("alice", "-5"))),
    by_owner("position_is_valued", "an average cost on money",
             entry("deposit", *DEPOSIT, rows={"average_after": "1"})),
    by_owner("entry_trades_a_position_once", "a position traded twice in one entry",
             entry("derivative_trade", OPENED[0], OPENED[0], ("venue_perp", "2"))),
    Attack("position_is_reversed_as_it_was_left", "a trade undone after another followed",
           ("SELECT count(*) FROM ledger.post_entries('$older_trade'::jsonb)",), who="runtime"),
    Attack("entry_is_reversed_once", "an entry undone a second time",
           ("SELECT count(*) FROM ledger.post_entries('$second_reversal'::jsonb)",),
           who="runtime"),
    by_owner("reversal_mirrors_its_entry", "a deposit that says it undoes another",
             entry("deposit", *DEPOSIT, header={"reverses_id": "$traded"})),
    by_owner("opening_comes_first", "an opening of a pool that is open",
             entry("opening", ("client_bank", "5"), ("opening", "-5"))),
    by_owner("opening_is_complete", "business in a pool whose opening does not add up",
             entry("opening", ("other_equity", "-50"), ("other_opening", "50")),
             entry("house_income", ("other_bank", "5"), ("other_equity", "-5"),
                   header={"id": f"{ENTRY} + 1"}, rows={"entry_id": f"{ENTRY} + 1"},
                   has_key=False,
                   also="key AS (INSERT INTO ledger_entrykey (key, digest, entry_id)"
                        f" VALUES ('by hand 2', sha256('x'), {ENTRY} + 1))")),
]  # fmt: skip

LEAVE = [
    through_the_door("approval_is_given", "residual interest withdrawn by one person",
                     draft("residual_withdrawal", *WITHDRAWN, ("house_equity", "-1"))),
    by_owner("entry_has_its_approval", "the same by hand",
             entry("residual_withdrawal", ("residual", "5"), ("client_bank", "-5"),
                   ("house_bank", "5"), ("house_equity", "-5"))),
    through_the_door("approval_is_for_this", "an approval of another entry",
                     draft("manual_journal", ("house_bank", "6"), ("house_equity", "-6"),
                           approval="$agreed_transfer")),
    through_the_door("entry_has_its_release", "a margined bucket lowered without a release",
                     draft("withdrawal", ("carl", "5"), ("client_bank", "-5"))),
    through_the_door("release_is_current", "a release that came too late",
                     draft("withdrawal", ("carl", "5"), ("client_bank", "-5"),
                           release="$stale_release")),
    through_the_door("release_is_used_once", "a release once more",
                     draft("withdrawal", ("carl", "5"), ("client_bank", "-5"),
                           release="$used_release")),
    through_the_door("release_is_for_this", "a release of another amount",
                     draft("withdrawal", ("carl", "6"), ("client_bank", "-6"),
                           release="$release")),
    by_owner("release_is_for_this", "a release hung on an entry later",
             row("ledger_releaseuse", release_id="'$release'", entry_id="$deposit")),
    by_owner("release_is_given", "a release that was never given",
             entry("withdrawal", ("carl", "5"), ("client_bank", "-5"),
                   also=RELEASED.format(ANY, ENTRY))),
    Attack("release_names_an_amount", "a release of nothing",
           (row("ledger_release", id="gen_random_uuid()", bucket_id="$carl_bucket",
                kind_id="'withdrawal'", asset_id="$dollars", amount="0", price_snapshot="''",
                scope_version="0", binding_term="''"),), who="runtime"),
]  # fmt: skip

LOSSES = [
    through_the_door("loss_is_recorded", "a loss without its record",
                     _loss("insurance", bucket=None)),
    through_the_door("loss_is_settled_in_order", "the house pays while the insurance fund could",
                     _loss("house", insurance="0", house="50")),
    through_the_door("loss_is_settled_in_order", "a record that differs from its postings",
                     _loss("insurance", realised="-1")),
    through_the_door("loss_is_paid_in_full_or_uncovered", "parts that do not add up",
                     _loss("insurance", shortfall="60")),
    by_owner("loss_is_recorded_once", "a loss recorded a second time",
             posting(_loss("insurance")),
             "INSERT INTO ledger_loss (entry_id, bucket_id, realised, shortfall, insurance, house,"
             " uncovered) SELECT entry_id, bucket_id, realised, shortfall, insurance, house,"
             " uncovered FROM ledger_loss ORDER BY entry_id DESC LIMIT 1"),
]  # fmt: skip

DERIVED = [
    by_owner("balance_is_its_last_posting", "a balance of one's own",
             "UPDATE ledger_balance SET amount = amount - 1000 WHERE account_id = $alice"),
    by_owner("balance_is_its_last_posting", "a balance taken back to an earlier posting",
             "UPDATE ledger_balance b SET seq = p.account_seq, amount = p.balance_after"
             " FROM ledger_posting p WHERE b.account_id = $client_bank"
             " AND p.account_id = b.account_id AND p.account_seq = $old_posting"),
    by_owner("balance_stays_with_its_account", "a balance that changes its account",
             "UPDATE ledger_balance SET account_id = account_id + 1000000"
             " WHERE account_id = $alice"),
    by_owner("balance_is_kept", "a balance deleted",
             "DELETE FROM ledger_balance WHERE account_id = $alice"),
    by_owner("balance_is_kept", "the movements of a day deleted",
             "DELETE FROM ledger_dailymovement"),
    by_owner("movements_come_from_postings", "a movement that no posting made",
             row("ledger_dailymovement", account_id="$alice", effective_on="'2020-01-01'",
                 debit="5", credit="0")),
    by_owner("movements_come_from_postings", "a movement changed",
             "UPDATE ledger_dailymovement SET credit = credit + 1 WHERE account_id = $alice"),
    by_owner("checkpoint_is_of_the_past", "a checkpoint of what is open still",
             row("ledger_checkpoint",
                 below="(pg_current_xact_id()::text::bigint + 1)::text::xid8")),
    by_owner("checkpoint_follows", "a checkpoint of nothing",
             row("ledger_checkpoint", below="'2'")),
    by_owner("history_is_append_only", "a checkpoint deleted", "DELETE FROM ledger_checkpoint"),
]  # fmt: skip

BOOK = (*WHOLE, *POSTINGS, *KINDS, *LEAVE, *LOSSES, *DERIVED)
