"""A day's ordinary business: what clients and the firm do, one event after another."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from random import Random

from brokerage.synthetic.book import CENT, ZERO, Book, Decide
from brokerage.synthetic.events import Event, Trade, Transfer
from brokerage.synthetic.market import Market, rounded
from brokerage.synthetic.profile import Profile
from brokerage.synthetic.reference import (
    CLIENT_BANK,
    CLIENT_CUSTODIAN,
    COIN_WALLET,
    HOUSE_BANK,
    HOUSE_CUSTODIAN,
    PERPETUAL,
    STABLE_WALLET,
    VENUE,
    Account,
)
from brokerage.synthetic.rules import measure

ATTEMPTS = 5
WALLETS = {"BTC": COIN_WALLET, "USDC": STABLE_WALLET}


@dataclass
class Desk:
    """Proposes events against the book of the moment; a proposal the book refuses is dropped."""

    rng: Random
    book: Book
    market: Market
    profile: Profile
    decide: Decide
    start: datetime
    as_of: datetime
    trade_count: int = 0
    transfer_count: int = 0
    distressed: list[Account] = field(default_factory=list)
    recent_ids: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.accounts = list(self.book.reference.accounts.values())
        self.by_mode: dict[str, list[Account]] = {"cash": [], "cross": [], "isolated": []}
        for account in self.accounts:
            if account.pool == "CLIENT":
                self.by_mode[account.mode].append(account)
        # Everybody whose perpetuals will be worth too little by the evening.
        for account in [*self.by_mode["cross"], *self.by_mode["isolated"]]:
            if self.book.position(account.scope).quantity:
                equity, _, maintenance = measure(self.book, account.scope, marks=self.market.close)
                if 2 * equity < maintenance:
                    self.distressed.append(account)
        self.rng.shuffle(self.distressed)

    # --- identities -------------------------------------------------------------------------------

    def trade_id(self) -> str:
        self.trade_count += 1
        return f"T{self.as_of:%y%m%d}-{self.trade_count:05}"

    def transfer_ids(self) -> tuple[str, str]:
        """The transfer's id, and the reference its bank will repeat."""
        self.transfer_count += 1
        number = f"{self.as_of:%y%m%d}-{self.transfer_count:05}"
        return f"X{number}", f"RF{number}"

    def elapsed(self, at: datetime) -> float:
        return (at - self.start) / (self.as_of - self.start)

    # --- one event --------------------------------------------------------------------------------

    def trade(self, at: datetime) -> Trade | None:
        """An accepted trade at this time, or None when nothing sensible was found."""
        for _ in range(ATTEMPTS):
            candidate = self.propose_trade(at)
            if candidate and self.accepts(candidate):
                return candidate._replace(id=self.trade_id())
        return None

    def transfer(self, at: datetime) -> Transfer:
        """An accepted transfer at this time; a deposit always finds its way."""
        for _ in range(ATTEMPTS):
            candidate = self.propose_transfer(at)
            if candidate and self.accepts(candidate):
                return self.numbered(candidate)
        return self.numbered(self.deposit(at))

    def accepts(self, candidate: Event) -> bool:
        return self.decide(self.book, candidate) is None

    def numbered(self, candidate: Transfer) -> Transfer:
        code, reference = self.transfer_ids()
        return candidate._replace(id=code, reference=reference)

    # --- trades -----------------------------------------------------------------------------------

    def propose_trade(self, at: datetime) -> Trade | None:
        late = self.elapsed(at) > 0.4
        if late and self.distressed and self.rng.random() < self.profile.forced:
            return self.close_of(self.distressed.pop(), at)
        if self.rng.random() < self.profile.edges:
            return self.rng.choice((self.penny_trade, self.flat_trade))(at)
        account = self.rng.choice(self.accounts)
        if account.mode == "isolated" or (account.mode == "cross" and self.rng.random() < 0.4):
            return self.perpetual_trade(account, at)
        return self.security_trade(account, at)

    def close_of(self, account: Account, at: datetime) -> Trade | None:
        quantity = self.book.position(account.scope).quantity
        if not quantity:
            return None
        return self.perpetual(account, at, -quantity)

    def perpetual(self, account: Account, at: datetime, signed: Decimal) -> Trade:
        price = self.market.traded(self.rng, PERPETUAL, elapsed=self.elapsed(at))
        price = price.quantize(CENT)
        fee = (abs(signed) * price * Decimal("0.0004")).quantize(CENT, ROUND_DOWN)
        side = "buy" if signed > 0 else "sell"
        code, bucket = account.scope
        return Trade("", at, code, bucket, PERPETUAL, side, abs(signed), price, fee, VENUE)

    def perpetual_trade(self, account: Account, at: datetime) -> Trade | None:
        """Open, add, reduce, close or turn around, within what the equity carries."""
        rng, held = self.rng, self.book.position(account.scope).quantity
        if held and rng.random() < 0.4:
            part = rng.choice((0.2, 0.3, 0.5, 1.0, 1.6))
            signed = rounded(-float(held) * part, 4) if part != 1.0 else -held
            return self.perpetual(account, at, signed) if signed else None
        equity, initial, _ = measure(self.book, account.scope, marks=self.book.marks)
        room = float(equity - initial)
        if room <= 50:
            return None
        notional = room * rng.uniform(0.3, 3.0) * self.profile.leverage
        signed = rounded(notional / float(self.market.before[PERPETUAL]), 4)
        rising = held > 0 if held else rng.random() < 0.7
        return self.perpetual(account, at, signed if rising else -signed) if signed else None

    def security_trade(self, account: Account, at: datetime) -> Trade | None:
        rng = self.rng
        held = [
            code
            for code in self.book.positions.get(account.scope, {})
            if self.book.reference.instruments[code].is_security
        ]
        if held and rng.random() < 0.5:
            code = rng.choice(held)
            quantity = self.book.position(account.scope, code).quantity
            if rng.random() < 0.7:
                quantity = (quantity * rounded(rng.uniform(0.1, 0.9), 2)).to_integral_value()
            return self.security(account, at, code, "sell", quantity)
        if not self.book.reference.securities:
            return None
        code = rng.choice(self.book.reference.securities)
        money = float(self.book.claim(account.scope)) * rng.uniform(0.05, 0.5)
        return self.security(account, at, code, "buy", Decimal(int(money / self.near(code))))

    def near(self, code: str) -> float:
        return float(self.market.before[code])

    def security(
        self, account: Account, at: datetime, code: str, side: str, quantity: Decimal
    ) -> Trade | None:
        if quantity <= 0:
            return None
        price = self.market.traded(self.rng, code, elapsed=self.elapsed(at))
        fee = max((quantity * price * Decimal("0.0005")).quantize(CENT, ROUND_DOWN), Decimal(1))
        place = CLIENT_CUSTODIAN if account.pool == "CLIENT" else HOUSE_CUSTODIAN
        quantity, fee = quantity.quantize(Decimal(1)), fee.quantize(CENT)
        return Trade("", at, account.code, "FREE", code, side, quantity, price, fee, place)

    def penny_trade(self, at: datetime) -> Trade | None:
        """Cash that rounds to nothing, or is a tie to round to the even cent."""
        buyers = self.by_mode["cash"] or self.by_mode["cross"]
        if not buyers or not self.book.reference.securities:
            return None
        account, code = self.rng.choice(buyers), self.rng.choice(self.book.reference.securities)
        trade = self.security(account, at, code, "buy", Decimal(1))
        price = Decimal(self.rng.choice(("0.0049", "0.0050", "7.1250", "7.1350")))
        return trade._replace(price=price, fee=ZERO.quantize(CENT)) if trade else None

    def flat_trade(self, at: datetime) -> Trade | None:
        """A position closed at its own cost, or an opening whose fee takes the whole claim."""
        account = self.rng.choice([*self.by_mode["cross"], *self.by_mode["isolated"]] or [None])
        if account is None:
            return None
        position = self.book.position(account.scope)
        if position.quantity:
            trade = self.perpetual(account, at, -position.quantity)
            return trade._replace(price=position.average_cost.quantize(CENT))
        trade = self.perpetual(account, at, Decimal("0.0001"))
        return trade._replace(fee=self.book.claim(account.scope).quantize(CENT))

    # --- transfers --------------------------------------------------------------------------------

    def propose_transfer(self, at: datetime) -> Transfer | None:
        makers: tuple[Callable[[datetime], Transfer | None], ...] = (
            self.deposit,
            self.withdrawal,
            self.custody_move,
            self.bucket_move,
            self.borrow,
            self.repay,
        )
        return self.rng.choices(makers, (34, 18, 10, 16, 8, 14))[0](at)

    def made(self, at: datetime, kind: str, account: str, amount: Decimal, place: str) -> Transfer:
        asset = next((code for code, wallet in WALLETS.items() if wallet == place), "USD")
        return Transfer("", at, kind, account, "FREE", asset, amount, place, "", "", "")

    def deposit(self, at: datetime) -> Transfer:
        account = self.rng.choice(self.accounts)
        if account.pool == "HOUSE":
            amount = rounded(self.rng.uniform(100, 60_000), 2)
            return self.made(at, "deposit", account.code, amount, HOUSE_BANK)
        if account.mode == "cross" and self.rng.random() < 0.25:
            if self.rng.random() < 0.6:
                amount = rounded(self.rng.uniform(0.01, 1.5), 8)
                return self.made(at, "deposit", account.code, amount, COIN_WALLET)
            amount = rounded(self.rng.uniform(50, 6_000), 6)
            return self.made(at, "deposit", account.code, amount, STABLE_WALLET)
        amount = rounded(self.rng.uniform(50, 9_000), 2)
        return self.made(at, "deposit", account.code, amount, CLIENT_BANK)

    def withdrawal(self, at: datetime) -> Transfer | None:
        account = self.rng.choice(self.accounts)
        held = {a: q for a, q in self.book.claims.get((account.code, "FREE"), {}).items() if q > 0}
        if not held:
            return None
        asset = self.rng.choice(list(held))
        bank = HOUSE_BANK if account.pool == "HOUSE" else CLIENT_BANK
        amount = held[asset]
        if self.rng.random() > self.profile.edges:  # else the whole of it
            share = rounded(self.rng.uniform(0.02, 0.4), 2)
            amount = (amount * share).quantize(self.unit(asset), ROUND_DOWN)
        return self.made(at, "withdrawal", account.code, amount, WALLETS.get(asset, bank))

    def unit(self, code: str) -> Decimal:
        return Decimal(1).scaleb(-(self.book.reference.scale(code) or 0))

    def custody_move(self, at: datetime) -> Transfer | None:
        """Towards an even split of client dollars between the bank and the venue."""
        bank, venue = self.book.held(CLIENT_BANK), self.book.held(VENUE)
        apart = abs(bank - venue) / 2 + (bank + venue) / 100
        amount = (apart * rounded(self.rng.uniform(0.1, 0.9), 2)).quantize(CENT, ROUND_DOWN)
        source, target = (CLIENT_BANK, VENUE) if bank > venue else (VENUE, CLIENT_BANK)
        return self.made(at, "custody_move", "", amount, source)._replace(
            bucket="", to_location=target
        )

    def bucket_move(self, at: datetime) -> Transfer | None:
        if not self.by_mode["isolated"]:
            return None
        account = self.rng.choice(self.by_mode["isolated"])
        source, target = account.buckets
        if self.rng.random() < 0.4:
            source, target = target, source
        share = rounded(self.rng.uniform(0.05, 0.6), 2)
        amount = (self.book.claim((account.code, source)) * share).quantize(CENT, ROUND_DOWN)
        move = self.made(at, "bucket_move", account.code, amount, "")
        return move._replace(bucket=source, to_bucket=target)

    def borrow(self, at: datetime) -> Transfer | None:
        if not self.by_mode["cross"]:
            return None
        account = self.rng.choice(self.by_mode["cross"])
        equity, initial, _ = measure(self.book, account.scope, marks=self.book.marks)
        room = float(equity - initial) * self.rng.uniform(0.05, 0.4)
        return self.made(at, "borrow", account.code, rounded(max(room, 0), 2), CLIENT_BANK)

    def repay(self, at: datetime) -> Transfer | None:
        if not self.book.loans:
            return None
        account = self.rng.choice(self.by_mode["cross"] or self.accounts)
        most = min(self.book.loans.get(account.code, ZERO), self.book.claim(account.scope))
        if self.rng.random() > self.profile.edges:
            most *= rounded(self.rng.uniform(0.05, 0.7), 2)
        amount = most.quantize(CENT, ROUND_DOWN)
        return self.made(at, "repay", account.code, amount, CLIENT_BANK)


def day_times(rng: Random, count: int, *, start: datetime, as_of: datetime) -> list[datetime]:
    """Times of the day's events, in order; the first and the last second of the day included."""
    seconds = int((as_of - start).total_seconds())
    opening = min(7 * 3600, seconds)
    times = sorted(start + timedelta(seconds=rng.randint(opening, seconds)) for _ in range(count))
    if len(times) > 2:
        times[0], times[-1] = start, as_of
    return times
