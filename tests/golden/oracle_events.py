"""The events of a day: sections 4, 5 and 6 of the format.

An event is worked out as a list of legs, (table, key, amount). The balances after all legs decide
whether it is applied; only then are they written.
"""

from datetime import datetime
from fractions import Fraction
from typing import Any

from tests.golden.oracle_margin import measure
from tests.golden.oracle_reading import decimals, half_even, instant, number

ZERO = Fraction(0)
POOL_BANK = {"CLIENT": "bank:client-usd", "HOUSE": "bank:house-usd"}
KINDS = {"deposit", "withdrawal", "custody_move", "bucket_move", "borrow", "repay"}
USES = {
    "deposit": {"account", "location"},
    "withdrawal": {"account", "location"},
    "borrow": {"account", "location"},
    "repay": {"account", "location"},
    "bucket_move": {"account", "to_bucket"},
    "custody_move": {"location", "to_location"},
}
NUMBERS = ("quantity", "price", "fee_usd", "amount")
Event = dict[str, Any]
State = dict[str, Any]


class Draft:
    """What an event would do."""

    def __init__(self) -> None:
        self.legs: list[tuple[str, Any, Fraction]] = []
        self.positions: dict[Any, tuple[Fraction, Fraction]] = {}
        self.bank: list[tuple[str, str, Fraction]] = []
        self.fee = self.waived = self.realised = ZERO
        self.deficit: dict[str, Any] | None = None

    def add(self, table: str, key: Any, amount: Fraction) -> None:
        self.legs.append((table, key, amount))

    def at_bank(self, bank: str, reference: str, amount: Fraction) -> None:
        """A movement of a bank's USD custody that its statement will show."""
        self.add("custody", (bank, "USD"), amount)
        self.bank.append((bank, reference, amount))

    def take_fee(self, trade: Event, pool: str, amount: Fraction) -> None:
        self.fee = amount
        self.add("claims", (trade["account"], trade["bucket"], "USD"), -amount)
        self.add("firm", (pool, "USD"), amount)

    def after(self, state: State, table: str, key: Any) -> Fraction:
        moved = sum((leg[2] for leg in self.legs if leg[:2] == (table, key)), ZERO)
        return Fraction(state[table].get(key, ZERO)) + moved

    def has_negative(self, state: State, table: str) -> bool:
        keys = {key for name, key, _ in self.legs if name == table}
        if table == "custody":
            keys = {(place, asset) for place, asset in keys if asset != "BTC-PERP"}
        return any(self.after(state, table, key) < 0 for key in keys)


def in_order(trades: list[Event], transfers: list[Event]) -> list[Event]:
    """Both files in the order of time, id, trades before transfers, row."""
    events = []
    for kind, rows, id_column, time_column in (
        ("trade", trades, "trade_id", "executed_at"),
        ("transfer", transfers, "transfer_id", "booked_at"),
    ):
        for row in rows:
            exact = {f"exact_{column}": number(row[column]) for column in NUMBERS if column in row}
            events.append(
                {
                    **row,
                    **exact,
                    "type": kind,
                    "id": row[id_column],
                    "time": instant(row[time_column]),
                }
            )
    return sorted(events, key=lambda e: (e["time"], e["id"], e["type"] == "transfer", e["line"]))


def take_event(state: State, event: Event, window: tuple[datetime, datetime]) -> str | Draft:
    """Apply the event to the state and return what it did, or return why it was refused."""
    seen_before = event["id"] in state["seen"]
    state["seen"].add(event["id"])
    reason = refused_before_balances(state, event, window, seen_before)
    if reason:
        return reason
    draft = draft_of(state, event)
    if isinstance(draft, str):
        return draft
    if draft.has_negative(state, "custody"):
        return "custody_below_zero"
    if event["type"] == "transfer" and breaches_initial_margin(state, event):
        return "initial_margin"
    apply(state, draft)
    return draft


def refused_before_balances(
    state: State, event: Event, window: tuple[datetime, datetime], seen_before: bool
) -> str | None:
    reference = state["reference"]
    trade = event["type"] == "trade"
    if seen_before:
        return "duplicate_id"
    if not window[0] <= event["time"] <= window[1]:
        return "outside_window"
    if trade_is_invalid(reference, event) if trade else transfer_is_invalid(reference, event):
        return "invalid"
    if not (trade_resolves(reference, event) if trade else transfer_resolves(reference, event)):
        return "unknown_reference"
    if not (trade_is_allowed(reference, event) if trade else transfer_is_allowed(reference, event)):
        return "not_allowed"
    if event.get("kind") != "repay":
        return None
    loan = state["loans"].get(event["account"], ZERO)
    return "repay_exceeds_loan" if event["exact_amount"] > loan else None


# --- 3 invalid, 4 unknown_reference, 5 not_allowed -----------------------------------------------


def trade_is_invalid(reference: State, trade: Event) -> bool:
    instrument = reference["instruments"].get(trade["instrument"])
    return (
        trade["side"] not in {"buy", "sell"}
        or trade["exact_quantity"] <= 0
        or trade["exact_price"] <= 0
        or trade["exact_fee_usd"] < 0
        or decimals(trade["fee_usd"]) > 2
        or (
            instrument is not None
            and (
                decimals(trade["quantity"]) > instrument["quantity_scale"]
                or decimals(trade["price"]) > instrument["price_scale"]
            )
        )
    )


def transfer_is_invalid(reference: State, transfer: Event) -> bool:
    scale = reference["scales"].get(transfer["asset"])
    return (
        transfer["kind"] not in KINDS
        or transfer["exact_amount"] <= 0
        or (scale is not None and decimals(transfer["amount"]) > scale)
    )


def trade_resolves(reference: State, trade: Event) -> bool:
    account = reference["accounts"].get(trade["account"])
    return (
        account is not None
        and trade["bucket"] in account["buckets"]
        and trade["instrument"] in reference["instruments"]
        and trade["location"] in reference["locations"]
    )


def transfer_resolves(reference: State, transfer: Event) -> bool:
    uses, places = USES[transfer["kind"]], reference["locations"]
    account = reference["accounts"].get(transfer["account"], {"buckets": []})
    return (
        transfer["asset"] in reference["scales"]
        and ("account" not in uses or transfer["bucket"] in account["buckets"])
        and ("to_bucket" not in uses or transfer["to_bucket"] in account["buckets"])
        and ("location" not in uses or transfer["location"] in places)
        and ("to_location" not in uses or transfer["to_location"] in places)
    )


def trade_is_allowed(reference: State, trade: Event) -> bool:
    account = reference["accounts"][trade["account"]]
    place = reference["locations"][trade["location"]]
    instrument = reference["instruments"][trade["instrument"]]
    if place["pool"] != account["pool"] or trade["instrument"] not in place["assets"]:
        return False
    if instrument["kind"] == "security":
        return (
            account["mode"] in {"cash", "cross"}
            and trade["bucket"] == "FREE"
            and place["kind"] == "custodian"
        )
    return (account["mode"], trade["bucket"]) in {("cross", "FREE"), ("isolated", "ISO-BTC-PERP")}


def transfer_is_allowed(reference: State, transfer: Event) -> bool:
    kind, asset = transfer["kind"], transfer["asset"]
    account = reference["accounts"].get(transfer["account"])
    place = reference["locations"].get(transfer["location"])
    if asset not in reference["assets"]:
        return False
    if kind in {"deposit", "withdrawal"}:
        return bool(
            transfer["bucket"] == "FREE"
            and place["pool"] == account["pool"]
            and asset in place["assets"]
            and place["kind"] in {"bank", "wallet"}
        )
    if kind == "custody_move":
        to_place = reference["locations"][transfer["to_location"]]
        return bool(
            place["location"] != to_place["location"]
            and place["pool"] == to_place["pool"]
            and asset in place["assets"]
            and asset in to_place["assets"]
        )
    if kind == "bucket_move":
        return bool(transfer["bucket"] != transfer["to_bucket"])
    return bool(
        account["mode"] == "cross"
        and account["pool"] == "CLIENT"
        and asset == "USD"
        and transfer["bucket"] == "FREE"
        and transfer["location"] == "bank:client-usd"
    )


# --- What the event does, and 7 claim_below_zero --------------------------------------------------


def draft_of(state: State, event: Event) -> str | Draft:
    if event["type"] == "transfer":
        draft = transfer_draft(event)
    elif state["reference"]["instruments"][event["instrument"]]["kind"] == "security":
        draft = security_draft(state, event)
    else:
        return perpetual_draft(state, event)
    negative = draft.has_negative(state, "claims")
    negative = negative or any(quantity < 0 for quantity, _ in draft.positions.values())
    return "claim_below_zero" if negative else draft


def transfer_draft(transfer: Event) -> Draft:
    draft = Draft()
    kind, asset, amount = transfer["kind"], transfer["asset"], transfer["exact_amount"]
    claim = (transfer["account"], transfer["bucket"], asset)

    def move(place: str, moved: Fraction) -> None:
        if place.startswith("bank:"):
            draft.at_bank(place, transfer["reference"], moved)
        else:
            draft.add("custody", (place, asset), moved)

    sign = -1 if kind in {"withdrawal", "repay"} else 1
    if kind in {"deposit", "withdrawal"}:
        draft.add("claims", claim, sign * amount)
        move(transfer["location"], sign * amount)
    elif kind == "custody_move":
        move(transfer["location"], -amount)
        move(transfer["to_location"], amount)
    elif kind == "bucket_move":
        draft.add("claims", claim, -amount)
        draft.add("claims", (transfer["account"], transfer["to_bucket"], asset), amount)
    else:
        draft.add("claims", claim, sign * amount)
        draft.add("loans", transfer["account"], sign * amount)
        move("bank:house-usd", -sign * amount)
        move("bank:client-usd", sign * amount)
    return draft


def moved_position(
    state: State, trade: Event
) -> tuple[Any, Fraction, Fraction, Fraction, Fraction]:
    """Key, old quantity and average, signed trade quantity, and the average cost after it."""
    key = (trade["account"], trade["bucket"], trade["instrument"])
    old, average = state["positions"].get(key, (ZERO, ZERO))
    signed = trade["exact_quantity"] * (1 if trade["side"] == "buy" else -1)
    new, price = old + signed, trade["exact_price"]
    if old * signed >= 0:
        after = half_even((abs(old) * average + abs(signed) * price) / abs(new), 8)
    elif old * new >= 0:
        after = average
    else:
        after = half_even(price, 8)
    return key, old, average, signed, after


def security_draft(state: State, trade: Event) -> Draft:
    draft = Draft()
    key, old, _, signed, after = moved_position(state, trade)
    pool = state["reference"]["accounts"][trade["account"]]["pool"]
    cash = half_even(trade["exact_quantity"] * trade["exact_price"], 2)
    cash = -cash if signed > 0 else cash
    draft.add("claims", (trade["account"], trade["bucket"], "USD"), cash)
    draft.at_bank(POOL_BANK[pool], trade["id"], cash)
    draft.positions[key] = (old + signed, after)
    draft.add("custody", (trade["location"], trade["instrument"]), signed)
    draft.take_fee(trade, pool, trade["exact_fee_usd"])
    return draft


def perpetual_draft(state: State, trade: Event) -> str | Draft:
    draft = Draft()
    key, old, average, signed, after = moved_position(state, trade)
    pool = state["reference"]["accounts"][trade["account"]]["pool"]
    claim_key = (trade["account"], trade["bucket"], "USD")
    claim, fee = state["claims"].get(claim_key, ZERO), trade["exact_fee_usd"]
    draft.positions[key] = (old + signed, after)
    draft.add("custody", (trade["location"], trade["instrument"]), signed)
    if old * signed >= 0:
        if fee > claim:
            return "claim_below_zero"
        draft.take_fee(trade, pool, fee)
        return draft
    closed = min(abs(old), abs(signed)) * (1 if old > 0 else -1)
    draft.realised = half_even(closed * (trade["exact_price"] - average), 2)
    draft.add("custody", (trade["location"], "USD"), draft.realised)
    left = max(claim + draft.realised, ZERO)
    draft.add("claims", claim_key, left - claim)
    if claim + draft.realised < 0:
        pay_shortfall(state, trade, draft, shortfall=-(claim + draft.realised))
    draft.take_fee(trade, pool, min(fee, left))
    draft.waived = fee - draft.fee
    return draft


def pay_shortfall(state: State, trade: Event, draft: Draft, *, shortfall: Fraction) -> None:
    """Section 6: INSURANCE, then HOUSE, then the residual interest of CLIENT."""
    paid, open_part = {}, shortfall
    for pool, letter in (("INSURANCE", "I"), ("HOUSE", "H")):
        bank = f"bank:{pool.lower()}-usd"
        part = min(open_part, state["custody"].get((bank, "USD"), ZERO))
        if part > 0:
            draft.at_bank(bank, f"{letter}-{trade['id']}", -part)
            draft.at_bank("bank:client-usd", f"{letter}-{trade['id']}", part)
            draft.add("firm", (pool, "USD"), -part)
        paid[pool] = part
        open_part -= part
    draft.add("firm", ("CLIENT", "USD"), -open_part)
    draft.deficit = {
        "shortfall": shortfall,
        "insurance": paid["INSURANCE"],
        "house": paid["HOUSE"],
        "uncovered": open_part,
    }


# --- 9 initial_margin, and writing ----------------------------------------------------------------


def breaches_initial_margin(state: State, transfer: Event) -> bool:
    """Equity after a move out of a scope, at the previous day's marks, is below its requirement."""
    if transfer["kind"] not in {"withdrawal", "bucket_move"}:
        return False
    account, bucket = transfer["account"], transfer["bucket"]
    if state["reference"]["accounts"][account]["mode"] == "isolated" and bucket == "FREE":
        return False
    key = (account, bucket, transfer["asset"])
    claims = state["claims"]
    before = claims[key]
    claims[key] = before - transfer["exact_amount"]
    measured = measure(state, state["marks"], account, bucket)
    claims[key] = before
    return measured["equity"] < measured["initial"]


def apply(state: State, draft: Draft) -> None:
    for table, key, amount in draft.legs:
        after = state[table].get(key, ZERO) + amount
        if after:
            state[table][key] = after
        else:
            state[table].pop(key, None)
    for key, (quantity, average) in draft.positions.items():
        if quantity:
            state["positions"][key] = (quantity, average)
        else:
            state["positions"].pop(key, None)
