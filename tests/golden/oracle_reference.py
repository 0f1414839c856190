"""`reference.yaml`: sections 2 and 3 of the format, and the state before the first day."""

from fractions import Fraction
from pathlib import Path
from typing import Any

from tests.golden.oracle_reading import FolderRefusedError, number, read_yaml

POOLS = ["CLIENT", "HOUSE", "INSURANCE"]
MODES = {"cash", "cross", "isolated"}
LOCATION_KINDS = {"bank", "custodian", "wallet", "venue"}

# Keys of every record: "text", "number" (a quoted decimal), or a list of texts.
RECORDS: dict[str, dict[str, str]] = {
    "assets": {"asset": "text", "kind": "text", "scale": "number", "haircut": "number"},
    "locations": {"location": "text", "pool": "text", "kind": "text", "assets": "texts"},
    "agreements": {
        "agreement": "text",
        "call_level": "number",
        "liquidation_level": "number",
        "minimum_transfer_amount": "number",
    },
    "clients": {"client": "text", "name": "text"},
    "accounts": {
        "account": "text",
        "owner": "text",
        "pool": "text",
        "mode": "text",
        "buckets": "texts",
        "agreement": "text",
    },
}
SECURITY = {
    "instrument": "text",
    "kind": "text",
    "quantity_scale": "number",
    "price_scale": "number",
    "initial_rate": "number",
    "maintenance_rate": "number",
}
PERPETUAL = {
    "instrument": "text",
    "kind": "text",
    "quantity_scale": "number",
    "price_scale": "number",
    "settles_in": "text",
    "brackets": "records",
}
BRACKET = {"floor": "number", "initial_rate": "number", "maintenance_rate": "number"}
OPENING: dict[str, dict[str, str]] = {
    "marks": {"instrument": "text", "mark": "number"},
    "claims": {"account": "text", "bucket": "text", "asset": "text", "amount": "number"},
    "positions": {
        "account": "text",
        "bucket": "text",
        "instrument": "text",
        "quantity": "number",
        "average_cost": "number",
    },
    "loans": {"account": "text", "amount": "number"},
    "custody": {"location": "text", "asset": "text", "quantity": "number"},
    "firm_balance": {"pool": "text", "asset": "text", "amount": "number"},
    "statement_closing": {"location": "text", "amount": "number"},
}
TOP = {
    "format",
    "house_rules",
    "firm",
    "pools",
    "assets",
    "instruments",
    "locations",
    "agreements",
    "clients",
    "accounts",
    "opening",
}


def must(holds: bool, what: str) -> None:
    if not holds:
        raise FolderRefusedError(f"reference.yaml: {what}")


def load_state(path: Path) -> dict[str, Any]:
    """Read and check the reference data; return the state on the evening before the first day."""
    raw = read_yaml(path)
    must(isinstance(raw, dict), "not a mapping")
    must(set(raw) == TOP, f"keys {sorted(set(raw) ^ TOP)} are unknown or missing")
    must(raw["format"] == "golden/1" and raw["house_rules"] == "v1", "not golden/1, rules v1")
    must(set(raw["firm"]) == {"name", "as_of_time"}, "firm")
    must(raw["pools"] == POOLS, "pools")
    reference = read_reference(raw)
    state = read_opening(raw["opening"], reference)
    check_codes(reference, state)
    check_identity(reference, state)
    return state


def record(raw: Any, keys: dict[str, str], what: str) -> dict[str, Any]:
    must(isinstance(raw, dict), f"{what} is not a mapping")
    must(set(raw) == set(keys), f"{what}: keys {sorted(set(raw) ^ set(keys))}")
    return {key: value_of(raw[key], kind, f"{what}.{key}") for key, kind in keys.items()}


def value_of(raw: Any, kind: str, what: str) -> Any:
    if kind == "records":
        must(isinstance(raw, list) and raw != [], f"{what} is not a list")
        return [record(one, BRACKET, what) for one in raw]
    if kind == "texts":
        must(isinstance(raw, list) and all(isinstance(one, str) for one in raw), what)
        return list(raw)
    must(isinstance(raw, str), f"{what} is not a text")
    if kind == "number":
        must(number(raw) is not None, f"{what} is not a number")
        return number(raw)
    return raw


def keyed(records: list[dict[str, Any]], key: str) -> dict[str, dict[str, Any]]:
    result = {one[key]: one for one in records}
    must(len(result) == len(records), f"a {key} is listed twice")
    return result


def read_reference(raw: dict[str, Any]) -> dict[str, Any]:
    reference: dict[str, Any] = {"as_of_time": raw["firm"]["as_of_time"]}
    for section, keys in RECORDS.items():
        must(isinstance(raw[section], list), section)
        if section == "locations":
            records = [location(one) for one in raw[section]]
        else:
            records = [record(one, keys, section) for one in raw[section]]
        reference[section] = keyed(records, next(iter(keys)))
    must(isinstance(raw["instruments"], list), "instruments")
    reference["instruments"] = keyed([instrument(one) for one in raw["instruments"]], "instrument")
    reference["scales"] = {
        **{code: int(one["scale"]) for code, one in reference["assets"].items()},
        **{code: int(one["quantity_scale"]) for code, one in reference["instruments"].items()},
    }
    reference["priced"] = sorted(
        (set(reference["assets"]) | set(reference["instruments"])) - {"USD"}
    )
    return reference


def location(raw: Any) -> dict[str, Any]:
    must(isinstance(raw, dict), "locations")
    keys = dict(RECORDS["locations"])
    if raw.get("kind") == "bank":
        keys["account_id"] = "text"
    return record(raw, keys, "locations")


def instrument(raw: Any) -> dict[str, Any]:
    must(isinstance(raw, dict), "instruments")
    must(raw.get("kind") in {"security", "linear_perp"}, "the kind of an instrument")
    if raw["kind"] == "security":
        return record(raw, SECURITY, "instruments")
    return record(raw, PERPETUAL, "instruments")


def read_opening(raw: Any, reference: dict[str, Any]) -> dict[str, Any]:
    must(isinstance(raw, dict), "opening")
    must(set(raw) <= {*OPENING, "business_day"}, "opening has an unknown key")
    lists = {
        name: [record(one, keys, name) for one in raw.get(name) or []]
        for name, keys in OPENING.items()
    }

    def table(name: str, keys: list[str], *values: str) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        for one in lists[name]:
            key = one[keys[0]] if len(keys) == 1 else tuple(one[key] for key in keys)
            must(key not in result, f"opening.{name} lists {key} twice")
            result[key] = one[values[0]] if len(values) == 1 else tuple(one[v] for v in values)
        return result

    return {
        "reference": reference,
        "day": raw["business_day"],
        "results": {},
        "seen": set(),
        "marks": table("marks", ["instrument"], "mark"),
        "claims": table("claims", ["account", "bucket", "asset"], "amount"),
        "positions": table(
            "positions", ["account", "bucket", "instrument"], "quantity", "average_cost"
        ),
        "loans": table("loans", ["account"], "amount"),
        "custody": table("custody", ["location", "asset"], "quantity"),
        "firm": table("firm_balance", ["pool", "asset"], "amount"),
        # None once a statement was rejected: the next opening is then not tested.
        "closing": table("statement_closing", ["location"], "amount"),
    }


def check_codes(reference: dict[str, Any], state: dict[str, Any]) -> None:
    """Every code resolves; every priced name has a mark; perpetuals stay with clients."""
    accounts, places = reference["accounts"], reference["locations"]
    for place in places.values():
        must(place["pool"] in POOLS and place["kind"] in LOCATION_KINDS, place["location"])
        must(set(place["assets"]) <= set(reference["scales"]), place["location"])
        must(
            place["pool"] == "CLIENT" or "BTC-PERP" not in place["assets"],
            f"{place['location']} carries BTC-PERP outside CLIENT",
        )
    for one in accounts.values():
        must(one["owner"] in reference["clients"] or one["owner"] == "FIRM", one["account"])
        must(one["pool"] == ("HOUSE" if one["owner"] == "FIRM" else "CLIENT"), one["account"])
        must(one["mode"] in MODES, one["account"])
        must(one["agreement"] in reference["agreements"], one["account"])
    must(set(state["marks"]) == set(reference["priced"]), "opening marks")
    for account, bucket, asset in state["claims"]:
        must(account in accounts and bucket in accounts[account]["buckets"], f"claim of {account}")
        must(asset in reference["assets"], f"claim of {account}")
    for account, bucket, code in state["positions"]:
        must(account in accounts and bucket in accounts[account]["buckets"], f"{account} {code}")
        must(code in reference["instruments"], f"position of {account}")
    must(set(state["loans"]) <= set(accounts), "a loan of an unknown account")
    for place, asset in state["custody"]:
        must(place in places and asset in places[place]["assets"], f"custody at {place}")
    for pool, asset in state["firm"]:
        must(pool in POOLS and asset in reference["scales"], f"firm balance of {pool}")
    must(set(state["closing"]) <= set(places), "the closing balance of an unknown bank")


def check_identity(reference: dict[str, Any], state: dict[str, Any]) -> None:
    """Section 3, with no tolerance; only perpetuals may be negative."""
    for name in ("claims", "loans"):
        must(all(amount >= 0 for amount in state[name].values()), f"{name} below zero")
    for (place, asset), quantity in state["custody"].items():
        must(quantity >= 0 or asset == "BTC-PERP", f"custody at {place} below zero")
    for (account, _, code), (quantity, _) in state["positions"].items():
        must(quantity >= 0 or code == "BTC-PERP", f"{code} of {account} below zero")
    for difference in identity(reference, state).values():
        must(difference == 0, "the opening state does not close")


def identity(reference: dict[str, Any], state: dict[str, Any]) -> dict[tuple[str, str], Fraction]:
    """Custody + loans - claims - positions - firm balance, by (pool, asset): zero everywhere."""
    left: dict[tuple[str, str], Fraction] = {}

    def add(pool: str, asset: str, amount: Fraction) -> None:
        left[pool, asset] = left.get((pool, asset), Fraction(0)) + amount

    for (place, asset), quantity in state["custody"].items():
        add(reference["locations"][place]["pool"], asset, quantity)
    for amount in state["loans"].values():
        add("HOUSE", "USD", amount)
    for (account, _, asset), amount in state["claims"].items():
        add(reference["accounts"][account]["pool"], asset, -amount)
    for (account, _, code), (quantity, _) in state["positions"].items():
        add(reference["accounts"][account]["pool"], code, -quantity)
    for (pool, asset), amount in state["firm"].items():
        add(pool, asset, -amount)
    return left
