"""What a bucket holds now, and how it stands at the newest marks: the ground of every leave."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from accounts.models import Bucket
from ledger.models import Balance
from margin.engine.gate import Standing
from margin.engine.marks import PRICE_STATES
from margin.market.marks import known_marks
from margin.releases import InitialMarginGate

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class ScopeBalances:
    """A bucket's balances as people say them, and the number of postings behind them."""

    claims: Mapping[str, Decimal]
    positions: Mapping[str, tuple[Decimal, Decimal]]
    loan: Decimal
    version: int


def balances_of(bucket: Bucket) -> ScopeBalances:
    """What a bucket holds; lock it first where something is decided on it."""
    claims: dict[str, Decimal] = {}
    positions: dict[str, tuple[Decimal, Decimal]] = {}
    loan, version = ZERO, 0
    for account_class, asset, amount, seq, average in Balance.objects.filter(
        account__bucket=bucket
    ).values_list(
        "account__account_class", "account__asset__code", "amount", "seq", "average_cost"
    ):
        version += seq
        if account_class == "claim":
            claims[asset] = amount.copy_negate()
        elif account_class == "position":
            positions[asset] = (amount.copy_negate(), ZERO if average is None else average)
        else:
            loan += amount
    return ScopeBalances(claims=claims, positions=positions, loan=loan, version=version)


def newest_gate() -> InitialMarginGate:
    """The gate at the newest marks there are."""
    return InitialMarginGate.newest()


def standing_of(bucket: Bucket, held: ScopeBalances, *, gate: InitialMarginGate) -> Standing:
    """Equity and requirements of a bucket with these balances, by whatever its agreement names.

    Raises:
        ModelRefusedError: a portfolio model decides and does not say what it requires.
    """
    return gate.after(
        claims=held.claims,
        positions=held.positions,
        loan=held.loan,
        is_cash_account=bucket.account.mode == "cash",
        account_id=bucket.account_id,
    )


def bad_price(*held: ScopeBalances) -> tuple[str, str] | None:
    """The first asset held whose price is in a state that permits no withdrawal, and the state."""
    names = {code for each in held for code, amount in each.claims.items() if amount} | {
        code for each in held for code, (quantity, _) in each.positions.items() if quantity
    }
    for code, mark in known_marks().items():
        if code in names and not PRICE_STATES[mark.state].withdraw:
            return code, mark.state.lower()
    return None


def unpriced(gate: InitialMarginGate, *held: ScopeBalances) -> str | None:
    """The first asset held that has no mark or no terms, so that nothing can be said of it.

    Of options the model of the scope says itself whether they have a price.
    """
    names = {code for each in held for code, amount in each.claims.items() if amount} | {
        code for each in held for code, (quantity, _) in each.positions.items() if quantity
    }
    known = (gate.marks.keys() & gate.terms.keys()) | gate.options
    return next((n for n in sorted(names) if n not in known), None)
