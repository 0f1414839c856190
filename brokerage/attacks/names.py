"""What attacks call the parts of the invented firm, and how each is found."""

from typing import Any

from brokerage.attacks.forms import draft

_ACCOUNT = "SELECT a.id FROM ledger_ledgeraccount a JOIN ledger_balance b ON b.account_id = a.id"
_CLAIM = f"{_ACCOUNT} JOIN accounts_bucket k ON k.id = a.bucket_id WHERE a.account_class = 'claim'"
_RICHEST = "AND a.owner_class = 'CLIENT' AND a.asset_id = $dollars"
_ORDER = "ORDER BY b.amount, a.id LIMIT 1"


def _of(account: str, column: str) -> str:
    return f"SELECT {column} FROM ledger_ledgeraccount WHERE id = ${account}"


def _custody(place: str) -> str:
    return (
        "SELECT a.id FROM ledger_ledgeraccount a JOIN ledger_location l ON l.id = a.location_id"
        f" WHERE a.asset_id = $dollars AND l.kind = '{place}'"
    )


def _side(pool: str, account_class: str) -> str:
    return (
        "SELECT a.id FROM ledger_ledgeraccount a JOIN ledger_pool p ON p.id = a.pool_id"
        " WHERE a.asset_id = $dollars"
        f" AND p.id = ${pool} AND a.account_class = '{account_class}'"
    )


# In this order: a query may speak of the names before it.
NAMES = {
    "dollars": "SELECT id FROM ledger_asset WHERE code = 'USD'",
    "perp_asset": "SELECT min(id) FROM ledger_asset WHERE kind = 'derivative'",
    "clients": "SELECT id FROM ledger_pool WHERE code = 'CLIENT'",
    "house": "SELECT id FROM ledger_pool WHERE code = 'HOUSE' AND legal_entity_id = $entity",
    "insurance": "SELECT id FROM ledger_pool WHERE code = 'INSURANCE'",
    "other": "SELECT p.id FROM ledger_pool p WHERE p.legal_entity_id <> $entity",
    "other_entity": "SELECT legal_entity_id FROM ledger_pool WHERE id = $other",
    # Two clients with money that is free, and one with money that is margined.
    "alice": f"{_CLAIM} {_RICHEST} AND NOT k.is_margined {_ORDER}",
    "alice_bucket": _of("alice", "bucket_id"),
    "alice_account": _of("alice", "margin_account_id"),
    "alice_client": _of("alice", "client_id"),
    "bob": f"{_CLAIM} {_RICHEST} AND NOT k.is_margined AND a.client_id <> $alice_client {_ORDER}",
    "bob_bucket": _of("bob", "bucket_id"),
    "bob_account": _of("bob", "margin_account_id"),
    "bob_client": _of("bob", "client_id"),
    "carl": f"{_CLAIM} {_RICHEST} AND k.is_margined {_ORDER}",
    "carl_bucket": _of("carl", "bucket_id"),
    "isolated": "SELECT min(id) FROM accounts_bucket WHERE role = 'ISOLATED'",
    # Where money is.
    "client_bank": f"{_custody('bank')} AND a.pool_id = $clients ORDER BY a.id LIMIT 1",
    "client_bank_place": _of("client_bank", "location_id"),
    "venue": f"{_custody('venue')} AND a.pool_id = $clients ORDER BY a.id LIMIT 1",
    "house_bank": f"{_custody('bank')} AND a.pool_id = $house ORDER BY a.id LIMIT 1",
    "insurance_bank": f"{_custody('bank')} AND a.pool_id = $insurance ORDER BY a.id LIMIT 1",
    "venue_perp": f"{_ACCOUNT} WHERE a.account_class = 'custody'"
    " AND a.asset_id = $perp_asset LIMIT 1",
    # The firm's own sides.
    "residual": _side("clients", "residual_interest"),
    "shortfall": _side("clients", "shortfall"),
    "unallocated": _side("clients", "unallocated"),
    "transit": _side("clients", "in_transit"),
    "opening": _side("clients", "opening"),
    "house_equity": _side("house", "own_equity"),
    "insurance_equity": _side("insurance", "own_equity"),
    "other_equity": _side("other", "own_equity"),
    "other_opening": _side("other", "opening"),
    "other_bank": f"{_custody('bank')} AND a.pool_id = $other",
    "loan": f"{_ACCOUNT} WHERE a.account_class = 'loan_receivable' AND b.amount > 1"
    f" AND a.asset_id = $dollars {_ORDER}",
    "borrower": f"{_CLAIM} AND a.asset_id = $dollars AND a.bucket_id ="
    " (SELECT bucket_id FROM ledger_ledgeraccount WHERE id = $loan) LIMIT 1",
    # Shares that somebody has.
    "shares": f"{_ACCOUNT} WHERE a.account_class = 'position' AND a.asset_kind = 'security'"
    f" AND a.owner_class = 'CLIENT' AND a.client_id <> $alice_client {_ORDER}",
    "share": _of("shares", "asset_id"),
    "share_price": "SELECT trim_scale(round(average_cost, 2)) FROM ledger_balance"
    " WHERE account_id = $shares",
    "seller": f"{_CLAIM} AND a.asset_id = $dollars AND a.bucket_id ="
    " (SELECT bucket_id FROM ledger_ledgeraccount WHERE id = $shares) LIMIT 1",
    "custodian": f"{_ACCOUNT} WHERE a.account_class = 'custody' AND a.asset_id = $share"
    " AND a.pool_id = $clients LIMIT 1",
    "too_many": "SELECT trim_scale(1 - amount) FROM ledger_balance WHERE account_id = $shares",
    # Rows that copies are made of.
    "agreement": "SELECT min(id) FROM accounts_agreement",
    "version": "SELECT min(id) FROM accounts_agreementversion",
    "signed": "SELECT min(id) FROM accounts_accountagreement",
    "scope": "SELECT min(id) FROM accounts_scope WHERE bucket_id IS NOT NULL",
    "statement": "SELECT min(id) FROM ledger_statement",
    "line": "SELECT min(line_id) FROM ledger_statementmatch",
    "holding": "SELECT min(id) FROM ledger_holding",
    "person_key": "SELECT min(id::text) FROM accounts_personkey",
    "entry": "SELECT max(id) FROM ledger_entry",
    "old_posting": "SELECT min(account_seq) FROM ledger_posting WHERE account_id = $client_bank",
}  # fmt: skip
# What carl's bucket had gone through when the releases are given.
CARL_VERSION = (
    "SELECT sum(b.seq) FROM ledger_balance b JOIN ledger_ledgeraccount a ON a.id = b.account_id"
    " WHERE a.bucket_id = $carl_bucket"
)

# ---------------------------------------------------------------- entries that are spoken of

PERP_PRICE = "100000"


def perpetual(quantity: str, price: str = PERP_PRICE) -> list[tuple[str, Any]]:
    """Perpetuals that alice buys, or sells where the quantity is negative."""
    opposite = quantity.removeprefix("-") if quantity.startswith("-") else f"-{quantity}"
    return [("alice_perp", {"amount": opposite, "price": price}), ("venue_perp", quantity)]


TRADE = draft("derivative_trade", *perpetual("1"))
WITHDRAWN = (("residual", "1"), ("client_bank", "-1"), ("house_bank", "1"))
# Asked for and approved before the attacks begin.
AGREED: dict[str, dict[str, Any]] = {
    "residual_withdrawal": draft(
        "residual_withdrawal", *WITHDRAWN, ("house_equity", "-1"), key="attack residual"
    ),
    "interest": draft(
        "interest", ("residual", "$beyond"), ("alice", "-$beyond"), key="attack interest"
    ),
    "funding": draft(
        "shortfall_funding", ("house_equity", "$too_much"), ("house_bank", "-$too_much"),
        ("client_bank", "$too_much"), ("shortfall", "-$too_much"), key="attack funding",
    ),
    "return": draft(
        "receipt_return", ("unallocated", "8"), ("client_bank", "-8"), key="attack return"
    ),
    "transfer": draft("manual_journal", ("house_bank", "5"), ("house_equity", "-5"),
                      key="attack journal"),
}  # fmt: skip
