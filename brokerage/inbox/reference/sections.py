"""The standing part of reference.yaml: assets, instruments, locations, terms, clients, accounts."""

from collections.abc import Callable, Container, Mapping
from decimal import Decimal
from typing import Protocol, TypeVar

from brokerage.inbox.reference.record import Record
from brokerage.inbox.reference.terms import (
    BASE,
    FIRM,
    FREE,
    Account,
    Agreement,
    Asset,
    Bracket,
    Client,
    Instrument,
    Location,
    PerpTerms,
    SecurityTerms,
)
from brokerage.inbox.refusal import quoted

CENTS = 2
POOLS = ("CLIENT", "HOUSE", "INSURANCE")
LOCATION_KINDS = ("bank", "custodian", "wallet", "venue")
MODES = ("cash", "cross", "isolated")
# The banks that the house rules name: each pays for its pool and sends one statement a day.
POOL_BANKS = {
    "CLIENT": "bank:client-usd",
    "HOUSE": "bank:house-usd",
    "INSURANCE": "bank:insurance-usd",
}


class _Coded(Protocol):
    @property
    def code(self) -> str: ...


_Coded_T = TypeVar("_Coded_T", bound=_Coded)


def _by_code(
    book: Record, section: str, key: str, read: Callable[[Record], _Coded_T]
) -> dict[str, _Coded_T]:
    """The items of a section by code; the same code twice is refused."""
    found: dict[str, _Coded_T] = {}
    for record in book.records(section):
        item = read(record)
        if item.code in found:
            raise record.refused(key, f"{quoted(item.code)} stands in {section} twice")
        found[item.code] = item
    return found


def read_pools(book: Record) -> tuple[str, ...]:
    """The three closed sets of books."""
    pools = book.codes("pools", among=POOLS, what=f"one of {', '.join(POOLS)}")
    for pool in POOLS:
        if pool not in pools:
            raise book.refused("pools", f"{pool} is missing")
    return pools


def read_assets(book: Record) -> dict[str, Asset]:
    """The money assets; USD, in cents, is one of them."""
    assets = _by_code(book, "assets", "asset", _asset)
    if BASE not in assets:
        raise book.refused("assets", f"{BASE} is missing")
    return assets


def _asset(record: Record) -> Asset:
    record.check_keys("asset", "kind", "scale", "haircut")
    code = record.code("asset")
    record.code("kind", among=("money",), what="the kind of an asset, which is money")
    scale = record.scale("scale")
    if code == BASE and scale != CENTS:
        raise record.refused("scale", f"{BASE} has {CENTS} decimals, not {scale}")
    haircut = record.number_from("haircut", floor=0, ceiling=1)
    return Asset(code=code, scale=scale, haircut=haircut)


def read_instruments(book: Record, *, assets: Container[str]) -> dict[str, Instrument]:
    """The securities and perpetuals; no code is also that of a money asset."""

    def instrument(record: Record) -> Instrument:
        record.check_has("kind")
        kinds = ("security", "linear_perp")
        kind = record.code("kind", among=kinds, what=f"one of {', '.join(kinds)}")
        read = _security(record) if kind == "security" else _perpetual(record)
        if read.code in assets:
            raise record.refused("instrument", f"{quoted(read.code)} is already an asset")
        return read

    return _by_code(book, "instruments", "instrument", instrument)


def _security(record: Record) -> SecurityTerms:
    record.check_keys(
        "instrument", "kind", "quantity_scale", "price_scale", "initial_rate", "maintenance_rate"
    )
    initial, maintenance = _rates(record)
    return SecurityTerms(
        code=record.code("instrument"),
        quantity_scale=record.scale("quantity_scale"),
        price_scale=record.scale("price_scale"),
        initial_rate=initial,
        maintenance_rate=maintenance,
    )


def _perpetual(record: Record) -> PerpTerms:
    record.check_keys(
        "instrument", "kind", "quantity_scale", "price_scale", "settles_in", "brackets"
    )
    return PerpTerms(
        code=record.code("instrument"),
        quantity_scale=record.scale("quantity_scale"),
        price_scale=record.scale("price_scale"),
        settles_in=record.code("settles_in", among=(BASE,), what=f"{BASE}, the settlement asset"),
        brackets=_brackets(record),
    )


def _brackets(perpetual: Record) -> tuple[Bracket, ...]:
    brackets: list[Bracket] = []
    for record in perpetual.records("brackets"):
        record.check_keys("floor", "initial_rate", "maintenance_rate")
        floor = record.number("floor")
        if not brackets and floor != 0:
            raise record.refused("floor", f"the first bracket starts at 0, not at {floor:f}")
        if brackets and floor <= brackets[-1].floor:
            before = f"{brackets[-1].floor:f}"
            raise record.refused("floor", f"{floor:f} is not above {before}, the floor before it")
        initial, maintenance = _rates(record)
        brackets.append(Bracket(floor, initial, maintenance))
    if not brackets:
        raise perpetual.refused("brackets", "a perpetual has at least one bracket")
    return tuple(brackets)


def _rates(record: Record) -> tuple[Decimal, Decimal]:
    initial = record.number_from("initial_rate", floor=0, ceiling=1)
    maintenance = record.number_from("maintenance_rate", floor=0, ceiling=1)
    if maintenance > initial:
        what = f"{maintenance:f} is above the initial rate {initial:f}"
        raise record.refused("maintenance_rate", what)
    return initial, maintenance


def read_locations(
    book: Record, *, assets: Container[str], instruments: Mapping[str, Instrument]
) -> dict[str, Location]:
    """The places that keep what the pools hold; the bank of each pool is one of them."""

    def location(record: Record) -> Location:
        return _location(record, assets=assets, instruments=instruments)

    locations = _by_code(book, "locations", "location", location)
    for pool, code in POOL_BANKS.items():
        bank = locations.get(code)
        if bank is None:
            raise book.refused("locations", f"{code} is missing")
        if bank.pool != pool or bank.kind != "bank" or BASE not in bank.assets:
            what = f"{code} must be a bank of {pool} that carries {BASE}"
            raise book.refused("locations", what)
    return locations


def _location(
    record: Record, *, assets: Container[str], instruments: Mapping[str, Instrument]
) -> Location:
    record.check_keys("location", "pool", "kind", "assets", optional=("account_id",))
    code = record.code("location")
    pool = record.code("pool", among=POOLS, what="a pool")
    kind = record.code("kind", among=LOCATION_KINDS, what=f"one of {', '.join(LOCATION_KINDS)}")
    if kind == "bank":
        record.check_keys("location", "pool", "kind", "assets", "account_id")
    elif "account_id" in record.fields:
        raise record.refused("account_id", "only a bank has an account number")
    carried = record.codes("assets", among=_Either(assets, instruments), what="an asset")
    for asset in carried:
        term = instruments.get(asset)
        if kind == "bank" and term is not None:
            raise record.refused("assets", f"a bank keeps money, and {asset} is an instrument")
        if not isinstance(term, PerpTerms):
            continue
        if pool != "CLIENT":
            raise record.refused("assets", f"{code} is of {pool}, which does not carry {asset}")
        if term.settles_in not in carried:
            what = f"{asset} settles in {term.settles_in}, which {code} does not carry"
            raise record.refused("assets", what)
    account_id = record.code("account_id") if kind == "bank" else None
    return Location(code=code, pool=pool, kind=kind, assets=carried, account_id=account_id)


class _Either:
    """The codes of two sections taken together."""

    def __init__(self, *sections: Container[str]) -> None:
        self.sections = sections

    def __contains__(self, code: object) -> bool:
        return any(code in section for section in self.sections)


def read_agreements(book: Record) -> dict[str, Agreement]:
    """The levels at which accounts are called and liquidated."""
    return _by_code(book, "agreements", "agreement", _agreement)


def _agreement(record: Record) -> Agreement:
    record.check_keys("agreement", "call_level", "liquidation_level", "minimum_transfer_amount")
    call = record.number_from("call_level", floor=0)
    liquidation = record.number_from("liquidation_level", floor=0)
    if liquidation > call:
        what = f"{liquidation:f} is above the call level {call:f}"
        raise record.refused("liquidation_level", what)
    return Agreement(
        code=record.code("agreement"),
        call_level=call,
        liquidation_level=liquidation,
        minimum_transfer_amount=record.amount("minimum_transfer_amount", unit=BASE, scale=CENTS),
    )


def read_clients(book: Record) -> dict[str, Client]:
    """The owners of client accounts; none of them is called FIRM."""
    return _by_code(book, "clients", "client", _client)


def _client(record: Record) -> Client:
    record.check_keys("client", "name")
    code = record.code("client")
    if code == FIRM:
        raise record.refused("client", f"{FIRM} is the firm itself, not a client")
    return Client(code=code, name=record.text("name"))


def read_accounts(
    book: Record,
    *,
    clients: Container[str],
    agreements: Container[str],
    instruments: Mapping[str, Instrument],
) -> dict[str, Account]:
    """The margin accounts: clients' in CLIENT, the firm's own in HOUSE."""
    isolated = frozenset(
        term.isolated_bucket for term in instruments.values() if isinstance(term, PerpTerms)
    )
    owners = _Either(clients, (FIRM,))

    def account(record: Record) -> Account:
        record.check_keys("account", "owner", "pool", "mode", "buckets", "agreement")
        owner = record.code("owner", among=owners, what=f"a client or {FIRM}")
        pool = record.code("pool", among=POOLS, what="a pool")
        home = "HOUSE" if owner == FIRM else "CLIENT"
        if pool != home:
            raise record.refused("pool", f"accounts of {owner} are in {home}, not in {pool}")
        mode = record.code("mode", among=MODES, what=f"one of {', '.join(MODES)}")
        return Account(
            code=record.code("account"),
            owner=owner,
            pool=pool,
            mode=mode,
            buckets=_buckets(record, mode=mode, isolated=isolated),
            agreement=record.code("agreement", among=agreements, what="an agreement"),
        )

    return _by_code(book, "accounts", "account", account)


def _buckets(record: Record, *, mode: str, isolated: frozenset[str]) -> tuple[str, ...]:
    """FREE, and in an isolated account the bucket of one perpetual or more beside it."""
    allowed = isolated | {FREE} if mode == "isolated" else frozenset({FREE})
    what = f"a bucket of {'an' if mode == 'isolated' else 'a'} {mode} account"
    buckets = record.codes("buckets", among=allowed, what=what)
    if FREE not in buckets:
        raise record.refused("buckets", f"{FREE} is missing")
    if mode == "isolated" and len(buckets) == 1:
        raise record.refused("buckets", "an isolated account has a bucket beside FREE")
    return buckets
