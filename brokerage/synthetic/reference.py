"""The invented firm's reference data: what it trades, where things lie, whose the accounts are."""

from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import NamedTuple

from brokerage.synthetic.profile import Profile

PERPETUAL = "BTC-PERP"
CLIENT_BANK, HOUSE_BANK, INSURANCE_BANK = "bank:client-usd", "bank:house-usd", "bank:insurance-usd"
BANKS = (CLIENT_BANK, HOUSE_BANK, INSURANCE_BANK)
CLIENT_CUSTODIAN, HOUSE_CUSTODIAN = "custodian:client-sec", "custodian:house-sec"
COIN_WALLET, STABLE_WALLET, VENUE = "wallet:client-btc", "wallet:client-usdc", "venue:client"
FIRM_NAME = "Example Brokerage (synthetic)"

# Invented companies; the list is extended by numbers when a firm trades more of them.
TICKERS = (
    "AVQO", "BREL", "CALD", "DUNX", "ELVR", "FOSK", "GRYN", "HALQ", "INVO", "JUPR", "KESL", "LUMQ",
    "MORV", "NYXA", "OSTR", "PELQ", "QUAV", "RUNE", "SOLK", "TARN", "ULVA", "VEXO", "WYRM", "YARR",
)  # fmt: skip
FIRST_NAMES = (
    "Adela", "Bram", "Corin", "Dara", "Edda", "Falk", "Greta", "Hamo", "Ilse", "Joris", "Kaia",
    "Lenz", "Mirel", "Nils", "Orla", "Pavo", "Runa", "Sorin", "Tilda", "Ulf", "Vesna", "Wim",
)  # fmt: skip
NAME_STARTS = ("Al", "Bor", "Cas", "Del", "Ever", "Fen", "Gar", "Hol", "Iver", "Kel", "Lor", "Mar")
NAME_ENDS = ("brand", "dahl", "feld", "gard", "hurst", "lund", "mere", "quist", "stad", "wick")


class Asset(NamedTuple):
    """Money: `scale` decimals, and the haircut taken of it as collateral."""

    code: str
    scale: int
    haircut: Decimal


class Bracket(NamedTuple):
    """Rates of a perpetual from `floor` USD of notional up."""

    floor: Decimal
    initial_rate: Decimal
    maintenance_rate: Decimal


class Instrument(NamedTuple):
    """A security has one pair of rates, kept as its only bracket; the perpetual has several."""

    code: str
    is_security: bool
    quantity_scale: int
    price_scale: int
    brackets: tuple[Bracket, ...]


class Location(NamedTuple):
    """Where assets of one pool lie; `account_id` is the bank's number for the account."""

    code: str
    pool: str
    kind: str
    assets: tuple[str, ...]
    account_id: str


class Agreement(NamedTuple):
    """Terms of a margin account."""

    code: str
    call_level: Decimal
    liquidation_level: Decimal
    minimum_transfer_amount: Decimal


class Account(NamedTuple):
    """One margin account of a client, or of the firm itself (owner FIRM)."""

    code: str
    owner: str
    pool: str
    mode: str
    agreement: str

    @property
    def buckets(self) -> tuple[str, ...]:
        return ("FREE", f"ISO-{PERPETUAL}") if self.mode == "isolated" else ("FREE",)

    @property
    def scope(self) -> tuple[str, str]:
        """Account and bucket that are margined together; the place of perpetuals, if any."""
        return self.code, self.buckets[-1]


@dataclass(frozen=True)
class Reference:
    """Everything about the firm that does not move during a day."""

    assets: dict[str, Asset]
    instruments: dict[str, Instrument]
    locations: dict[str, Location]
    agreements: dict[str, Agreement]
    clients: dict[str, str]
    accounts: dict[str, Account]

    @property
    def securities(self) -> list[str]:
        return [one.code for one in self.instruments.values() if one.is_security]

    @property
    def priced(self) -> list[str]:
        return [*self.instruments, *(code for code in self.assets if code != "USD")]

    def scale(self, code: str) -> int | None:
        """Decimals of an amount or a quantity; None for an unknown code."""
        if code in self.assets:
            return self.assets[code].scale
        return self.instruments[code].quantity_scale if code in self.instruments else None


def invent_reference(rng: Random, *, accounts: int, profile: Profile) -> Reference:
    """Invent a firm of exactly `accounts` accounts, house accounts included."""
    tickers = sorted(rng.sample(TICKERS, min(profile.security_count, len(TICKERS))))
    numbered = (f"S{number:04}" for number in range(1, profile.security_count - len(tickers) + 1))
    securities = (*tickers, *numbered)
    clients, owned = invent_accounts(rng, accounts=accounts, profile=profile)
    return Reference(
        assets={
            "USD": Asset("USD", 2, Decimal("0")),
            "BTC": Asset("BTC", 8, Decimal("0.20")),
            "USDC": Asset("USDC", 6, Decimal("0.01")),
        },
        instruments=known_instruments(securities),
        locations={one.code: one for one in known_locations(securities)},
        agreements={one.code: one for one in known_agreements()},
        clients=clients,
        accounts={one.code: one for one in owned},
    )


def known_instruments(securities: tuple[str, ...]) -> dict[str, Instrument]:
    half = Bracket(Decimal(0), Decimal("0.50"), Decimal("0.25"))
    perpetual = Instrument(
        PERPETUAL,
        False,
        4,
        2,
        (
            Bracket(Decimal(0), Decimal("0.10"), Decimal("0.05")),
            Bracket(Decimal(50_000), Decimal("0.20"), Decimal("0.10")),
            Bracket(Decimal(250_000), Decimal("0.50"), Decimal("0.25")),
        ),
    )
    stocks = {code: Instrument(code, True, 0, 4, (half,)) for code in securities}
    return {**stocks, PERPETUAL: perpetual}


def known_locations(securities: tuple[str, ...]) -> tuple[Location, ...]:
    return (
        Location(CLIENT_BANK, "CLIENT", "bank", ("USD",), "US00SYNTHCLIENT001"),
        Location(CLIENT_CUSTODIAN, "CLIENT", "custodian", securities, ""),
        Location(COIN_WALLET, "CLIENT", "wallet", ("BTC",), ""),
        Location(STABLE_WALLET, "CLIENT", "wallet", ("USDC",), ""),
        Location(VENUE, "CLIENT", "venue", ("USD", PERPETUAL), ""),
        Location(HOUSE_BANK, "HOUSE", "bank", ("USD",), "US00SYNTHHOUSE0001"),
        Location(HOUSE_CUSTODIAN, "HOUSE", "custodian", securities, ""),
        Location(INSURANCE_BANK, "INSURANCE", "bank", ("USD",), "7700000042"),
    )


def known_agreements() -> tuple[Agreement, ...]:
    hundred = Decimal("100.00")
    return (
        Agreement("STD", Decimal("1"), Decimal("0.5"), hundred),
        Agreement("EARLY", Decimal("1.2"), Decimal("0.5"), hundred),
        Agreement("STRICT", Decimal("1"), Decimal("0.8"), hundred),
        Agreement("BIGMTA", Decimal("1"), Decimal("0.5"), Decimal("2500.00")),
    )


def invent_accounts(
    rng: Random, *, accounts: int, profile: Profile
) -> tuple[dict[str, str], list[Account]]:
    """Clients with their names, and all accounts; every client has at least one."""
    house_count = min(max(2, round(accounts * profile.house)), max(accounts - 1, 0))
    client_accounts = accounts - house_count
    client_count = max(1, round(client_accounts / profile.accounts_per_client))
    width = max(4, len(str(accounts)))
    codes = [f"C{number:0{width}}" for number in range(1, client_count + 1)]
    clients = {code: invent_name(rng) for code in codes}
    owners = [*codes, *rng.choices(codes, k=client_accounts - client_count)]
    owners.sort()
    modes = ("cash", "cross", "isolated")
    shares = (profile.cash, profile.cross, profile.isolated)
    terms = ("STD", "EARLY", "STRICT", "BIGMTA")
    owned = [
        Account(
            f"A{number:0{width}}",
            owner,
            "CLIENT",
            rng.choices(modes, shares)[0],
            rng.choices(terms, (70, 14, 8, 8))[0],
        )
        for number, owner in enumerate(owners, start=1)
    ]
    house = [Account(f"H{n:04}", "FIRM", "HOUSE", "cash", "STD") for n in range(1, house_count + 1)]
    return clients, [*owned, *house]


def invent_name(rng: Random) -> str:
    surname = rng.choice(NAME_STARTS) + rng.choice(NAME_ENDS)
    if rng.random() < 0.25:
        company = rng.choice(("Partners", "Capital", "Holdings", "Trading", "Family Office"))
        return f"{surname} {company} (synthetic)"
    return f"{rng.choice(FIRST_NAMES)} {surname} (synthetic)"
