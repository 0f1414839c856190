"""What a run holds of its scopes: who they are, what they have, and who cannot be computed."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Final, NamedTuple

from accounts.models import AgreementVersion
from margin.engine.exact import ZERO
from margin.engine.house_rules import MODEL as HOUSE_RULES
from margin.models import CallTerms
from margin.moving_levels import Moved, moved_levels, raised

POLICY_UNREADABLE: Final = "policy_unreadable"


class ScopeRow(NamedTuple):
    """A scope of the run, in the order of its array axis.

    Attributes:
        is_group: several accounts hold what it holds; `account` is the one that it is margined as.
        addition: how far its levels stand above those of the agreement.
    """

    scope_id: int
    bucket_id: int
    account_id: int
    account: str
    bucket: str
    is_cash_account: bool
    agreement: AgreementVersion
    is_group: bool = False
    addition: Decimal = ZERO

    @property
    def levels(self) -> AgreementVersion:
        """The terms with the levels that hold at the instant of the run."""
        return raised(self.agreement, self.addition)

    @property
    def model_key(self) -> tuple[str, str] | None:
        """Model and code of parameters; None under house rules."""
        model, code = self.agreement.model, self.agreement.parameters
        return None if model == HOUSE_RULES else (model, code)


class Holding(NamedTuple):
    """A claim, position or loan of a scope, and the posting that left it so."""

    scope: int  # place on the axis of scopes
    asset_id: int
    amount: Decimal  # as people say it: what the scope has, or owes, is positive
    average_cost: Decimal | None
    ledger_account_id: int
    account_seq: int


class Unmargined(NamedTuple):
    """A scope that cannot be computed, and why."""

    account_id: int
    bucket: str
    reason: str
    detail: str


def at_levels(
    scopes: Sequence[ScopeRow],
    *,
    day: date,
    at: datetime,
    horizon_id: int,
    terms: Mapping[int, CallTerms] | None = None,
) -> tuple[list[ScopeRow], Mapping[int, Moved]]:
    """The scopes with their levels as they stand at an instant, and what moved them.

    Args:
        terms: those that move levels, by agreement, instead of those in force.
    """
    versions = {row.agreement.pk: row.agreement for row in scopes}
    moved = moved_levels(versions.values(), day=day, at=at, horizon_id=horizon_id, terms=terms)
    additions = {pk: each.addition for pk, each in moved.items()}
    return [row._replace(addition=additions.get(row.agreement.pk, ZERO)) for row in scopes], moved


def unreadable_holders(
    why: Mapping[int, str], *, positions: Iterable[Holding], scopes: Sequence[ScopeRow]
) -> dict[int, tuple[str, str]]:
    """By place of a scope that holds an instrument on margin whose policy cannot be read, why.

    Args:
        why: by id of the instrument.
    """
    return {
        held.scope: (POLICY_UNREADABLE, why[held.asset_id])
        for held in positions
        if held.asset_id in why and held.amount and not scopes[held.scope].is_cash_account
    }
