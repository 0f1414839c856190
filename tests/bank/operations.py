"""What is asked of the bank: movements of every kind, chosen by a seed.

Amounts are whole cents until they are said, so that sums are exact and quick.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random
from typing import Any

from tests.bank.firm import CLIENTS, POOR, RICH
from tests.ledger.book import NOON, Book

Content = dict[str, Any]
Legs = list[tuple[str, int]]

FLOORS = frozenset(
    {
        "claim_not_below_zero",
        "custody_not_below_zero",
        "position_not_below_zero",
        # A day went by while it waited its turn, and that day's end does not have the money.
        "back_dated_entry_has_its_approval",
    }
)
NEVER: frozenset[str] = frozenset()
DAYS = 5
TOO_MUCH = 10**10  # cents that nobody has


@dataclass(frozen=True)
class Asked:
    """One entry as it is asked for.

    Attributes:
        number: of its key.
        content: what is said to the posting function.
        may: rules that may refuse it, as the money stands.
        must: rules one of which has to refuse it, whatever stands; empty if it may pass.
        is_doubtful: whether it is as likely to be refused as to pass.
    """

    number: int
    content: Content
    may: frozenset[str] = NEVER
    must: frozenset[str] = NEVER
    is_doubtful: bool = False

    @property
    def is_alone(self) -> bool:
        """Whether it is posted by itself, because others of its batch would be refused with it."""
        return bool(self.must) or self.is_doubtful


def said(cents: int, decimals: int = 2) -> str:
    """A number of smallest units as the book reads it."""
    if not decimals:
        return str(cents)
    sign, size = "-" if cents < 0 else "", abs(cents)
    return f"{sign}{size // 10**decimals}.{size % 10**decimals:0{decimals}}"


@dataclass
class Teller:
    """Who asks: makes the operations of one writer, the same for the same seed."""

    book: Book
    random: Random
    first: int
    step: int
    total: int
    asked: int = 0
    kinds: Mapping[str, int] = field(default_factory=lambda: KINDS)

    def __post_init__(self) -> None:
        self._makers = [(getattr(self, f"_{kind}")) for kind in self.kinds]
        self._weights = list(self.kinds.values())

    def number(self) -> int:
        """The number of a new key; no two tellers have the same."""
        given = self.first + self.step * self.asked
        self.asked += 1
        return given

    def content(self, number: int, kind: str, legs: list[Content]) -> Content:
        """An entry of today; the days go by as the tellers work."""
        day = min(number * DAYS // max(self.total, 1), DAYS - 1)
        return {
            "key": f"bank:{number}",
            "kind": kind,
            "effective_at": (NOON + timedelta(days=day)).isoformat(),
            "reference": f"R-{number % 97}",
            "narrative": "",
            "legs": legs,
        }

    def entry(self, kind: str, *legs: tuple[str, int], may: frozenset[str] = NEVER) -> Asked:
        number = self.number()
        told = [{"account": self.book[name], "amount": said(cents)} for name, cents in legs]
        self.random.shuffle(told)
        return Asked(number, self.content(number, kind, told), may)

    def any(self) -> Asked:
        """The next operation."""
        (make,) = self.random.choices(self._makers, self._weights)
        made: Asked = make()
        return made

    # ------------------------------------------------------------------ kinds

    def _cents(self) -> int:
        return self.random.randint(1, 20_000)

    def _who(self) -> tuple[str, str]:
        """A bucket, and the bank where its money is."""
        who = self.random.choice([*RICH, *RICH, "carol"])
        return who, "carol_bank" if who == "carol" else "client_bank"

    def _deposit(self) -> Asked:
        who, bank = self._who()
        cents = self._cents() * 2
        return self.entry("deposit", (bank, cents), (who, -cents))

    def _poor(self) -> Asked:
        """Poor clients: a little comes, more is asked for than came."""
        who, cents = self.random.choice(POOR), self.random.randint(1, 9_000)
        if self.random.random() < 0.5:
            return self.entry("deposit", ("client_bank", cents // 2 + 1), (who, -(cents // 2 + 1)))
        made = self.entry("withdrawal", (who, cents), ("client_bank", -cents), may=FLOORS)
        return replace(made, is_doubtful=True)

    def _withdrawal(self) -> Asked:
        who, bank = self._who()
        cents = self._cents()
        return self.entry("withdrawal", (who, cents), (bank, -cents), may=FLOORS)

    def _overdraft(self) -> Asked:
        """Nobody has that much, whatever happens: it must be refused."""
        who, bank = self._who()
        cents = TOO_MUCH + self._cents()
        kind, *legs = self.random.choice(
            [
                ("withdrawal", (who, cents), (bank, -cents)),
                ("custody_move", ("venue", -cents), ("client_bank", cents)),
                ("fee", (who, cents), ("residual", -cents)),
                ("transit_in", ("client_bank", cents), ("client_transit", -cents)),
            ]
        )
        made = self.entry(kind, *legs)
        return replace(made, must=FLOORS | {"transit_not_below_zero"})

    def _fee(self) -> Asked:
        who, _ = self._who()
        cents = self.random.randint(1, 500)
        return self.entry("fee", (who, cents), ("residual", -cents), may=FLOORS)

    def _bucket_move(self) -> Asked:
        who, cents = self.random.choice(RICH), self._cents()
        there = f"{who}/{self.random.choice(['HOLD', 'ISO'])}"
        if there.endswith("HOLD") and self.random.random() < 0.5:
            return self.entry("bucket_move", (there, cents), (who, -cents), may=FLOORS)
        return self.entry("bucket_move", (who, cents), (there, -cents), may=FLOORS)

    def _custody_move(self) -> Asked:
        cents = self._cents()
        here, there = self.random.sample(["client_bank", "venue"], 2)
        return self.entry("custody_move", (here, -cents), (there, cents), may=FLOORS)

    def _house(self) -> Asked:
        cents = self._cents()
        if self.random.random() < 0.5:
            return self.entry("house_income", ("house_bank", cents), ("house_equity", -cents))
        return self.entry(
            "house_expense", ("house_equity", cents), ("house_bank", -cents), may=FLOORS
        )

    def _receipt(self) -> Asked:
        cents = self._cents()
        return self.entry("unidentified_receipt", ("client_bank", cents), ("unallocated", -cents))

    def _internal_trade(self) -> Asked:
        seller, buyer = self.random.sample(CLIENTS, 2)
        shares, cents = self.random.randint(1, 3), self.random.randint(5_000, 15_000)
        number, price = self.number(), said(cents)
        legs = [
            {"account": self.book[f"{seller}:SPY"], "amount": said(shares, 0), "price": price},
            {"account": self.book[f"{buyer}:SPY"], "amount": said(-shares, 0), "price": price},
            {"account": self.book[buyer], "amount": said(shares * cents)},
            {"account": self.book[seller], "amount": said(-shares * cents)},
        ]
        self.random.shuffle(legs)
        return Asked(number, self.content(number, "internal_trade", legs), FLOORS)

    # ------------------------------------------------------------------ asked once more

    def other_content(self, before: Content) -> Asked:
        """A key that is taken, with something else said under it: must be refused."""
        changed = dict(before)
        what = self.random.choice(CHANGES)
        what(changed)
        return Asked(-1, changed, must=frozenset({"key_names_one_content"}))


def _other_amount(content: Content) -> None:
    content["legs"] = [
        {**leg, "amount": f"{leg['amount']}{'' if '.' in leg['amount'] else '.0'}1"}
        for leg in content["legs"]
    ]


def _other_reference(content: Content) -> None:
    content["reference"] += " again"


def _other_narrative(content: Content) -> None:
    content["narrative"] += "Said otherwise"


def _other_time(content: Content) -> None:
    content["effective_at"] = (NOON - timedelta(days=1)).isoformat()


def _other_kind(content: Content) -> None:
    content["kind"] = "custody_move" if content["kind"] != "custody_move" else "deposit"


def _other_price(content: Content) -> None:
    content["legs"] = [{**content["legs"][0], "price": "7"}, *content["legs"][1:]]


CHANGES: tuple[Callable[[Content], None], ...] = (
    _other_amount, _other_reference, _other_narrative, _other_time, _other_kind, _other_price,
)  # fmt: skip
# How often each is asked for.
KINDS = {
    "deposit": 36, "withdrawal": 14, "poor": 6, "overdraft": 3, "fee": 10, "bucket_move": 9,
    "custody_move": 7, "house": 6, "receipt": 3, "internal_trade": 5,
}  # fmt: skip
