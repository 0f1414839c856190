"""Attacks on what the book hangs on: accounts, owners, places, agreements, statements."""

from brokerage.attacks.forms import ANY, by_owner, copy, row

_ACCOUNT = {
    "pool_id": "$clients", "asset_id": "$perp_asset", "account_class": "'position'",
    "bucket_id": "$bob_bucket", "location_id": "NULL", "owner_class": "'CLIENT'",
    "asset_kind": "'derivative'",
    "scale": "(SELECT scale FROM ledger_asset WHERE id = $perp_asset)",
    "margin_account_id": "$bob_account", "client_id": "$bob_client",
}  # fmt: skip
_FIRM = {
    "asset_id": "$dollars", "asset_kind": "'money'", "scale": "2", "bucket_id": "NULL",
    "margin_account_id": "NULL", "client_id": "NULL",
}  # fmt: skip
_PLACE = "id = $client_bank_place"


def _account(**changed: str) -> str:
    return row("ledger_ledgeraccount", **_ACCOUNT | changed)


ACCOUNTS = [
    by_owner("ledger_account_is_truthful", "a client's account in a pool of the house",
             _account(pool_id="$house", owner_class="'HOUSE'")),
    by_owner("ledger_account_is_truthful", "an account that says it is another client's",
             _account(client_id="$alice_client")),
    by_owner("ledger_account_is_truthful", "an account at another firm",
             _account(pool_id="$other", owner_class="'HOUSE'")),
    by_owner("ledger_account_is_truthful", "an account of more decimals than its asset",
             _account(scale="9")),
    by_owner("ledger_account_hangs_where_its_class_says", "a position of no bucket",
             _account(bucket_id="NULL", margin_account_id="NULL", client_id="NULL")),
    by_owner("firm_money_classes_stay_in_firm_pools", "equity of the firm among clients",
             _account(**_FIRM, account_class="'own_equity'")),
    by_owner("client_money_classes_stay_in_client_pools", "a shortfall of the house",
             _account(**_FIRM, account_class="'shortfall'", pool_id="$house",
                      owner_class="'HOUSE'")),
    by_owner("ledger_account_is_unique", "an account that is there already",
             copy("ledger_ledgeraccount", "id = $alice")),
]  # fmt: skip

PLACES = [
    by_owner("location_stays_in_its_pool", "a bank that changes its pool",
             f"UPDATE ledger_location SET pool_id = $house WHERE {_PLACE}"),
    by_owner("client_location_has_a_letter", "a client bank without a letter",
             copy("ledger_location", _PLACE, code="new", letter_reference="")),
    by_owner("client_location_has_a_letter", "client money in the firm's own name",
             copy("ledger_location", _PLACE, code="new", title="own")),
    by_owner("individual_location_names_its_client", "an individual place of nobody",
             copy("ledger_location", _PLACE, code="new", title="individual")),
    by_owner("location_carries_an_asset_once", "an asset carried twice",
             copy("ledger_locationasset", "location_id = $client_bank_place")),
    by_owner("pool_code_is_unique", "a second pool of one name",
             copy("ledger_pool", "id = $clients", id=32000)),
    by_owner("pool_is_of_a_known_class", "a pool of an owner there is not",
             copy("ledger_pool", "id = $clients", id=32000, code="new", owner_class="OURS")),
    by_owner("kind_permits_a_leg_once", "a leg permitted twice",
             copy("ledger_kindleg", "kind_id = 'fee'")),
    by_owner("asset_settles_in_money", "a security paid for in nothing",
             copy("ledger_asset", "kind = 'security'", code="new", settles_in_id=None)),
    by_owner("asset_settles_in_money", "a derivative paid for in shares",
             copy("ledger_asset", "id = $perp_asset", code="new", settles_in_id="$share")),
    by_owner("asset_is_of_a_known_kind", "an asset of a kind there is not",
             copy("ledger_asset", "kind = 'security'", code="new", kind="thing")),
]  # fmt: skip

OWNERS = [
    by_owner("account_stays_in_its_pool", "a client's account that becomes the firm's",
             "UPDATE accounts_marginaccount SET owner_class = 'HOUSE' WHERE id = $alice_account"),
    by_owner("account_stays_in_its_pool", "an account that changes its client",
             "UPDATE accounts_marginaccount SET client_id = $bob_client WHERE id = $alice_account"),
    by_owner("account_shares_one_owner", "an account under another client's",
             copy("accounts_marginaccount", "id = $alice_account", code="new",
                  parent_id="$bob_account")),
    by_owner("account_code_is_unique", "a second account of one code",
             copy("accounts_marginaccount", "id = $alice_account")),
    by_owner("client_account_has_a_client", "a client account of nobody",
             copy("accounts_marginaccount", "id = $alice_account", code="new", client_id=None)),
    by_owner("bucket_stays_in_its_account", "a bucket that changes its account",
             "UPDATE accounts_bucket SET account_id = $bob_account WHERE id = $alice_bucket"),
    by_owner("bucket_stays_in_its_account", "a bucket that is no longer margined",
             "UPDATE accounts_bucket SET is_margined = NOT is_margined WHERE id = $carl_bucket"),
    by_owner("bucket_code_is_unique", "a second bucket of one code",
             copy("accounts_bucket", "id = $alice_bucket")),
    by_owner("isolated_bucket_names_its_instrument", "an isolated bucket for nothing",
             copy("accounts_bucket", "id = $isolated", code="new", instrument_code="")),
    by_owner("group_shares_one_owner", "accounts of two clients in a group",
             copy("accounts_groupmember", "group_id = $group", account_id="$bob_account",
                  left_on="2099-01-01")),
    by_owner("group_keeps_its_owner", "a group that changes its client",
             "UPDATE accounts_accountgroup SET client_id = $bob_client WHERE id = $group"),
    by_owner("group_code_is_unique", "a second group of one code",
             copy("accounts_accountgroup", "id = $group")),
    by_owner("group_is_left_after_it_is_joined", "a membership that ends before it begins",
             copy("accounts_groupmember", "group_id = $group", left_on="2001-01-01")),
    by_owner("account_is_in_one_group", "an account in a group twice",
             copy("accounts_groupmember", "group_id = $group")),
    by_owner("scope_is_one_thing", "a scope of two things",
             copy("accounts_scope", "id = $scope", account_id="$alice_account")),
    by_owner("scope_stays_itself", "a scope that becomes another's",
             "UPDATE accounts_scope SET bucket_id = $bob_bucket, account_id = NULL"
             " WHERE id = $scope AND bucket_id <> $bob_bucket OR id = (SELECT max(id) FROM"
             " accounts_scope WHERE bucket_id <> $bob_bucket)"),
    by_owner("client_stays_itself", "a client who becomes another",
             "UPDATE accounts_client SET code = 'another' WHERE id = $alice_client"),
    by_owner("client_code_is_unique", "two clients of one code",
             row("accounts_personkey", id=f"'{ANY}'", key="decode(repeat('00', 32), 'hex')"),
             copy("accounts_client", "id = $alice_client", person_key_id=ANY)),
    by_owner("legal_entity_stays_itself", "a firm that becomes another",
             "UPDATE accounts_legalentity SET code = 'another' WHERE id = $entity"),
    by_owner("person_key_is_made_once", "the key of a person that changes",
             "UPDATE accounts_personkey SET key = decode(repeat('00', 32), 'hex')"
             " WHERE id::text = '$person_key'"),
    by_owner("destroyed_key_is_gone", "a destroyed key that is still there",
             "UPDATE accounts_personkey SET destroyed_at = now() WHERE id::text = '$person_key'"),
]  # fmt: skip

AGREEMENTS = [
    by_owner("account_agreement_stays_as_signed", "an agreement signed over",
             "UPDATE accounts_accountagreement SET account_id = account_id + 1 WHERE id = $signed"),
    by_owner("account_has_one_agreement_a_day", "two agreements from one day",
             copy("accounts_accountagreement", "id = $signed")),
    by_owner("agreement_code_is_unique", "two agreements of one code",
             copy("accounts_agreement", "id = $agreement")),
    by_owner("agreement_ends_after_it_starts", "an agreement that ends before it starts",
             copy("accounts_accountagreement", "id = $signed", effective_from="2098-01-02",
                  effective_to="2098-01-01")),
    by_owner("agreement_has_one_version_a_day", "two versions from one day",
             copy("accounts_agreementversion", "id = $version", version=900)),
    by_owner("agreement_version_is_unique", "two versions of one number",
             copy("accounts_agreementversion", "id = $version", effective_from="2098-01-01")),
    by_owner("agreement_levels_are_in_order", "a liquidation level above the call level",
             copy("accounts_agreementversion", "id = $version", version=900,
                  effective_from="2098-01-01", call_level="1", liquidation_level="2")),
    by_owner("agreement_version_stays_as_agreed", "terms that change",
             "UPDATE accounts_agreementversion SET call_level = call_level + 1"
             " WHERE id = $version"),
]  # fmt: skip

STATEMENTS = [
    by_owner("match_confirms_a_posting", "a line that confirms a posting of another place",
             copy("ledger_statementline", "id = $line", ordinal=9000),
             row("ledger_statementmatch", line_id="1000000001", account_id="$venue",
                 account_seq="1")),
    by_owner("posting_is_matched_once", "a posting confirmed a second time",
             copy("ledger_statementline", "id = $line", ordinal=9000),
             "INSERT INTO ledger_statementmatch (line_id, account_id, account_seq)"
             " SELECT 1000000001, account_id, account_seq FROM ledger_statementmatch"
             " WHERE line_id = $line"),
    by_owner("bank_has_one_statement_a_day", "a second statement of a bank's day",
             copy("ledger_statement", "id = $statement")),
    by_owner("statement_line_is_unique", "a line kept twice",
             copy("ledger_statementline", "id = $line")),
    by_owner("holding_line_is_unique", "a holding kept twice",
             copy("ledger_holding", "id = $holding")),
    by_owner("break_is_unique", "a break found twice", copy("ledger_break", "id = $break")),
    by_owner("break_stays_as_found", "a break edited",
             "UPDATE ledger_break SET kind = 'amount_differs' WHERE id = $break"),
    by_owner("break_closes_with_evidence", "a break closed for no reason",
             "UPDATE ledger_break SET status = 'closed', closed_at = now() WHERE id = $break"),
]  # fmt: skip

AROUND = (*ACCOUNTS, *PLACES, *OWNERS, *AGREEMENTS, *STATEMENTS)
