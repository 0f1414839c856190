"""What a bucket holds now, and how it stands at the newest marks: the ground of every leave."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from accounts.models import Bucket
from ledger.models import Balance
from margin.asking import ModelRefusedError
from margin.book import UNPRICED
from margin.engine.exact import exact
from margin.engine.gate import Standing
from margin.engine.inputs import PerpetualTerms
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


NOTHING_KNOWN: Final[Mapping[int, ScopeBalances]] = MappingProxyType({})


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


def others_of(bucket: Bucket, *, gate: InitialMarginGate) -> dict[int, ScopeBalances]:
    """What every other bucket holds that is margined with this one; nothing outside a group."""
    return {
        each.pk: balances_of(each)
        for each in gate.pools.together(bucket.pk)
        if each.pk != bucket.pk
    }


def standing_of(
    bucket: Bucket,
    held: ScopeBalances,
    *,
    gate: InitialMarginGate,
    others: Mapping[int, ScopeBalances] = NOTHING_KNOWN,
) -> Standing:
    """Equity and requirements of a bucket with these balances, by whatever its agreement names.

    Of a bucket that is margined with others as a group, how the group stands.

    Args:
        others: what other buckets of the group hold, as far as it is known or thought of; the
            rest is read.

    Raises:
        ModelRefusedError: a portfolio model decides and does not say what it requires, or what a
            group holds has no price.
    """
    together = gate.pools.together(bucket.pk)
    if together:
        holdings = [
            held if each.pk == bucket.pk else others.get(each.pk) or balances_of(each)
            for each in together
        ]
        return group_standing(holdings, account_id=together[0].account_id, gate=gate)
    return gate.after(
        claims=held.claims,
        positions=held.positions,
        loan=held.loan,
        is_cash_account=bucket.account.mode == "cash",
        account_id=bucket.account_id,
    )


def group_standing(
    holdings: Sequence[ScopeBalances], *, account_id: int, gate: InitialMarginGate
) -> Standing:
    """How a group stands: equity is what its members have, the requirement is of all together."""
    nameless = unpriced(gate, *holdings)
    if nameless is not None:
        raise ModelRefusedError(UNPRICED, f"{nameless} of a linked account is not priced.")
    pooled = pooled_balances(holdings)
    standing = gate.after(
        claims=pooled.claims,
        positions=pooled.positions,
        loan=pooled.loan,
        is_cash_account=False,
        account_id=account_id,
    )
    with exact():
        gain = sum((paid_for(each, gate=gate) for each in holdings), ZERO)
        # Each side of an option is worth what its own side of the market says.
        own = sum((gate.option_equity(account_id, each.positions) for each in holdings), ZERO)
        equity = standing.equity - gain + own - gate.option_equity(account_id, pooled.positions)
    return standing._replace(equity=equity)


def pooled_balances(holdings: Sequence[ScopeBalances]) -> ScopeBalances:
    """All of it together. Positions have no cost here: `paid_for` says what all of them cost."""
    claims: dict[str, Decimal] = {}
    positions: dict[str, tuple[Decimal, Decimal]] = {}
    with exact():
        for each in holdings:
            for code, amount in each.claims.items():
                claims[code] = claims.get(code, ZERO) + amount
            for code, (quantity, _) in each.positions.items():
                positions[code] = (positions.get(code, (ZERO, ZERO))[0] + quantity, ZERO)
        loan = sum((each.loan for each in holdings), ZERO)
    return ScopeBalances(claims, positions, loan, sum(each.version for each in holdings))


def paid_for(held: ScopeBalances, *, gate: InitialMarginGate) -> Decimal:
    """Quantity times average cost of positions whose equity is their gain; inside `exact()`."""
    return sum(
        (
            quantity * average
            for code, (quantity, average) in held.positions.items()
            if isinstance(gate.terms.get(code), PerpetualTerms)
        ),
        ZERO,
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
