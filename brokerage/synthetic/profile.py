"""What kind of firm to invent: its shape, its market, and how often its files are wrong."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from random import Random

Rates = Mapping[str, float]

# Every fault the inbox format names, by what it spoils.
PRICE_FAULTS = ("not_positive", "future", "stale", "superseded", "outlier", "too_few")
ROW_FAULTS = ("wrong_column_count", "not_a_number", "bad_timestamp", "unknown_code", "wrong_as_of")
REFUSALS = (
    "duplicate_id",
    "outside_window",
    "invalid",
    "unknown_reference",
    "not_allowed",
    "repay_exceeds_loan",
    "claim_below_zero",
    "custody_below_zero",
    "initial_margin",
)
LINE_FAULTS = ("missing", "differs", "duplicate", "extra", "no_reference")
STATEMENT_FAULTS = (
    "unreadable",
    "wrong_account",
    "wrong_currency_or_date",
    "control_total",
    "sum",
    "opening",
)
HOLDING_FAULTS = ("differs", "missing")


class ProfileError(ValueError):
    """A profile names a fault that does not exist, or a share outside 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class Faults:
    """How often each fault occurs: kind -> share. The default is a firm without any fault.

    Attributes:
        prices: of the priced names of a day.
        rows: of the rows of each CSV file; the unreadable rows come on top of the good ones.
        events: of the trades and transfers, by the reason the book must give for refusing them.
        lines: of the lines of a bank statement.
        statements: of the bank statements; such a statement is rejected whole.
        holdings: of the (location, asset) pairs a custodian, wallet or venue reports.
    """

    prices: Rates = field(default_factory=dict)
    rows: Rates = field(default_factory=dict)
    events: Rates = field(default_factory=dict)
    lines: Rates = field(default_factory=dict)
    statements: Rates = field(default_factory=dict)
    holdings: Rates = field(default_factory=dict)

    def __post_init__(self) -> None:
        for part in fields(self):
            rates: Rates = getattr(self, part.name)
            unknown = set(rates) - set(KINDS[part.name])
            if unknown:
                raise ProfileError(f"{part.name} have no fault {sorted(unknown)}")
            if any(rate < 0 for rate in rates.values()) or sum(rates.values()) > 1:
                raise ProfileError(f"the shares of {part.name} are not between 0 and 1")

    @classmethod
    def evenly(
        cls,
        *,
        prices: float = 0,
        rows: float = 0,
        events: float = 0,
        lines: float = 0,
        statements: float = 0,
        holdings: float = 0,
    ) -> "Faults":
        """Spread each total share evenly over all kinds of that fault."""
        totals = {
            "prices": prices,
            "rows": rows,
            "events": events,
            "lines": lines,
            "statements": statements,
            "holdings": holdings,
        }
        return cls(
            **{
                part: {kind: total / len(KINDS[part]) for kind in KINDS[part]}
                for part, total in totals.items()
            }
        )


KINDS: Mapping[str, tuple[str, ...]] = {
    "prices": PRICE_FAULTS,
    "rows": ROW_FAULTS,
    "events": REFUSALS,
    "lines": LINE_FAULTS,
    "statements": STATEMENT_FAULTS,
    "holdings": HOLDING_FAULTS,
}


@dataclass(frozen=True, kw_only=True)
class Profile:
    """The shape of an invented firm.

    Attributes:
        security_count: securities it trades, beside the one perpetual.
        accounts_per_client: on average.
        cash, cross, isolated: shares of the client accounts by mode; they sum to 1.
        house: share of all accounts that belong to the firm itself (two at least).
        trades_per_account, transfers_per_account: events a day, on average over all accounts.
        leverage: 1 for ordinary clients; more makes their positions larger for the same equity.
        house_money, insurance_money: dollars in those banks, as multiples of what the firm owes its
            clients; small ones leave losses uncovered.
        forced: share of the trades that close a position in distress, where there is one.
        edges: share of the events that sit exactly on a limit of the rules.
        security_moves, coin_moves: relative move of the market on each day, starting again at
            the end.
        faults: how often files and events are wrong.
    """

    security_count: int = 12
    accounts_per_client: float = 4 / 3
    cash: float = 0.20
    cross: float = 0.45
    isolated: float = 0.35
    house: float = 0.01
    trades_per_account: float = 0.7
    transfers_per_account: float = 0.8
    leverage: float = 1.0
    house_money: float = 4.0
    insurance_money: float = 0.006
    forced: float = 0.03
    edges: float = 0.01
    security_moves: tuple[float, ...] = (-0.012, -0.024, 0.009, -0.021, -0.044)
    coin_moves: tuple[float, ...] = (-0.06, -0.08, 0.03, -0.06, -0.16)
    faults: Faults = field(default_factory=Faults)

    def __post_init__(self) -> None:
        shares = (self.cash, self.cross, self.isolated)
        if min(shares) < 0 or abs(sum(shares) - 1) > 1e-9:
            raise ProfileError("the shares of cash, cross and isolated accounts do not sum to 1")
        if not self.security_moves or not self.coin_moves:
            raise ProfileError("a market needs at least one day of moves")


# A day desk's ordinary trouble: a few breaks, refused events and doubtful prices each day.
DEMO = Profile(
    faults=Faults(
        prices={"outlier": 0.04, "stale": 0.04, "superseded": 0.04, "too_few": 0.02},
        rows={"not_a_number": 0.006, "bad_timestamp": 0.002, "wrong_column_count": 0.002},
        events=dict.fromkeys(REFUSALS, 0.004),
        lines={
            "missing": 0.006,
            "differs": 0.004,
            "duplicate": 0.004,
            "extra": 0.006,
            "no_reference": 0.002,
        },
        statements={"opening": 0.03, "sum": 0.015, "control_total": 0.015},
        holdings={"differs": 0.04, "missing": 0.01},
    )
)

# No fault anywhere: every statement agrees with the book.
CALM = Profile()

# Every fault there is, often, in a market that falls hard: for tests.
ROUGH = Profile(
    leverage=1.5,
    house_money=0.0,
    insurance_money=0.003,
    forced=0.2,
    coin_moves=(-0.06, -0.15, -0.22, 0.09, -0.12),
    edges=0.05,
    faults=Faults.evenly(
        prices=0.5, rows=0.10, events=0.25, lines=0.15, statements=0.35, holdings=0.25
    ),
)


def drawn(rng: Random, rates: Rates) -> str | None:
    """One kind of fault with its probability, or None."""
    left = rng.random()
    for kind, rate in rates.items():
        left -= rate
        if left < 0:
            return kind
    return None


def drawn_count(rng: Random, expected: float) -> int:
    """A whole number whose mean is `expected`."""
    return int(expected) + (rng.random() < expected % 1)


def drawn_among(rng: Random, rates: Rates, row_count: int) -> Iterable[str]:
    """The faults that `row_count` rows should bring, each kind by its own share."""
    for kind, rate in rates.items():
        for _ in range(drawn_count(rng, rate * row_count)):
            yield kind
