"""The evening before the first day: balances that close, pool by pool and asset by asset."""

from decimal import Decimal
from random import Random

from brokerage.synthetic.book import ZERO, Book, Position, Scope
from brokerage.synthetic.market import Market, rounded
from brokerage.synthetic.profile import Profile
from brokerage.synthetic.reference import (
    CLIENT_BANK,
    CLIENT_CUSTODIAN,
    COIN_WALLET,
    HOUSE_BANK,
    HOUSE_CUSTODIAN,
    INSURANCE_BANK,
    PERPETUAL,
    STABLE_WALLET,
    VENUE,
    Account,
    Reference,
)

FirmBalances = dict[tuple[str, str], Decimal]


def invent_opening(
    rng: Random, reference: Reference, market: Market, profile: Profile
) -> tuple[Book, FirmBalances]:
    """The opening book, and the firm balance of each pool and asset that makes it close."""
    book = Book(reference, dict(market.close))
    for account in reference.accounts.values():
        if account.mode == "isolated":
            open_isolated(rng, book, account, profile)
        elif account.mode == "cross" and rng.random() < 0.4:
            open_coin_trader(rng, book, account, profile)
        else:
            open_holdings(rng, book, account, profile)
    return book, place_custody(rng, book, profile)


def give(book: Book, scope: Scope, asset: str, amount: Decimal) -> None:
    held = book.claims.setdefault(scope, {})
    held[asset] = held.get(asset, ZERO) + amount


def hold(book: Book, scope: Scope, code: str, quantity: Decimal, *, cost: float) -> None:
    if quantity:
        position = Position(quantity, rounded(float(book.marks[code]) * cost, 8))
        book.positions.setdefault(scope, {})[code] = position


def open_isolated(rng: Random, book: Book, account: Account, profile: Profile) -> None:
    """Free money beside one perpetual position with its own margin."""
    give(book, (account.code, "FREE"), "USD", rounded(rng.uniform(500, 30_000), 2))
    if rng.random() < 0.15:
        return
    margin = rng.uniform(500, 18_000)
    give(book, account.scope, "USD", rounded(margin, 2))
    open_perpetual(rng, book, account, equity=margin, leverage=rng.uniform(1, 8) * profile.leverage)


def open_coin_trader(rng: Random, book: Book, account: Account, profile: Profile) -> None:
    """Coins and dollars as collateral, a perpetual position across the whole account."""
    dollars, coins = rng.uniform(200, 12_000), rng.uniform(0.2, 9)
    give(book, account.scope, "USD", rounded(dollars, 2))
    give(book, account.scope, "BTC", rounded(coins, 8))
    if rng.random() < 0.3:
        give(book, account.scope, "USDC", rounded(rng.uniform(100, 9_000), 6))
    equity = dollars + coins * float(book.marks["BTC"]) * 0.8
    leverage = rng.uniform(0.3, 3.0) * profile.leverage
    open_perpetual(rng, book, account, equity=equity, leverage=leverage)


def open_perpetual(
    rng: Random, book: Book, account: Account, *, equity: float, leverage: float
) -> None:
    quantity = rounded(equity * leverage / float(book.marks[PERPETUAL]), 4)
    side = 1 if rng.random() < 0.75 else -1
    hold(book, account.scope, PERPETUAL, side * quantity, cost=rng.uniform(0.97, 1.04))


def open_holdings(rng: Random, book: Book, account: Account, profile: Profile) -> None:
    """Securities; a cross account has borrowed part of what they cost."""
    house = account.pool == "HOUSE"
    give(book, account.scope, "USD", rounded(rng.uniform(1_000, 60_000 if house else 40_000), 2))
    value, securities = ZERO, book.reference.securities
    for code in rng.sample(securities, min(rng.randrange(1, 5), len(securities))):
        wanted = rng.uniform(2_000, 90_000 if account.mode == "cross" else 30_000)
        quantity = Decimal(int(wanted / float(book.marks[code])))
        hold(book, account.scope, code, quantity, cost=rng.uniform(0.9, 1.1))
        value += quantity * book.marks[code]
    if account.mode == "cross":
        share = rng.choices((0.15, 0.4, 0.66), (50, 25, 25))[0]
        loan = float(value) * min(rng.uniform(share, share + 0.17) * profile.leverage, 0.85)
        book.loans[account.code] = rounded(loan, 2)


def place_custody(rng: Random, book: Book, profile: Profile) -> FirmBalances:
    """Put what is owed, and the firm's own money, where it lies."""
    owed: dict[tuple[str, str], Decimal] = {}
    for (code, _), held in book.claims.items():
        for asset, amount in held.items():
            key = (book.reference.accounts[code].pool, asset)
            owed[key] = owed.get(key, ZERO) + amount
    for (code, _), positions in book.positions.items():
        pool = book.reference.accounts[code].pool
        for name, position in positions.items():
            owed[pool, name] = owed.get((pool, name), ZERO) + position.quantity
    dollars = owed.get(("CLIENT", "USD"), ZERO)
    loans = sum(book.loans.values(), ZERO)
    firm = {
        ("CLIENT", "USD"): rounded(float(dollars) * 0.03 + 10_000, 2),
        ("HOUSE", "USD"): rounded(float(dollars) * profile.house_money, 2) + loans,
        ("INSURANCE", "USD"): rounded(float(dollars) * profile.insurance_money, 2),
    }
    at_venue = rounded(float(dollars) * rng.uniform(0.5, 0.55), 2)
    book.custody = {
        (CLIENT_BANK, "USD"): dollars + firm["CLIENT", "USD"] - at_venue,
        (VENUE, "USD"): at_venue,
        (VENUE, PERPETUAL): owed.get(("CLIENT", PERPETUAL), ZERO),
        (COIN_WALLET, "BTC"): owed.get(("CLIENT", "BTC"), ZERO),
        (STABLE_WALLET, "USDC"): owed.get(("CLIENT", "USDC"), ZERO),
        (HOUSE_BANK, "USD"): firm["HOUSE", "USD"] + owed.get(("HOUSE", "USD"), ZERO) - loans,
        (INSURANCE_BANK, "USD"): firm["INSURANCE", "USD"],
    }
    for code in book.reference.securities:
        book.custody[CLIENT_CUSTODIAN, code] = owed.get(("CLIENT", code), ZERO)
        book.custody[HOUSE_CUSTODIAN, code] = owed.get(("HOUSE", code), ZERO)
    return firm
