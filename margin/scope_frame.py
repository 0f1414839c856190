"""The scope around a bucket: the bucket itself, or the group that it is margined with."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from accounts.agreed_terms import account_terms
from accounts.models import AgreementVersion, Bucket
from ledger.positions import Position
from margin.asking import ModelRefusedError
from margin.book.now import MarketNow
from margin.holding import balances_of
from margin.moving_levels import levels_at
from margin.pools import Pools
from margin.scope_holding import Holding


def holding_of(bucket: Bucket) -> Holding:
    """What a bucket holds now."""
    balances = balances_of(bucket)
    positions = {code: Position(*held) for code, held in balances.positions.items()}
    return Holding(claims=balances.claims, positions=positions, loan=balances.loan)


def holder_name(bucket: Bucket) -> str:
    """How one of a group is named among what the group holds."""
    return f"{bucket.account.code}/{bucket.code}"


def together_with(bucket: Bucket, *, pools: Pools) -> dict[str, Holding]:
    """What every bucket holds that is margined with this one, itself too; none outside a group."""
    return {holder_name(each): holding_of(each) for each in pools.together(bucket.pk)}


@dataclass(frozen=True, slots=True)
class Frame:
    """A scope as what-if questions start from it.

    Attributes:
        held: by the bucket.
        together: by every bucket of the group, by name; none outside one.
    """

    bucket: Bucket
    held: Holding
    together: Mapping[str, Holding]
    agreement: AgreementVersion
    mode: str
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, bucket: Bucket, *, day: date, at: datetime, now: MarketNow) -> "Frame":
        """The scope of a bucket on a day, with its levels as they stand at an instant.

        Raises:
            ModelRefusedError: `no_agreement`.
        """
        pools, held = Pools.on(day), holding_of(bucket)
        together = together_with(bucket, pools=pools)
        agreement = account_terms(pools.stands_for(bucket), day=day)
        if agreement is None:
            detail = f"{bucket.account.code} has no agreement in force."
            raise ModelRefusedError("no_agreement", detail)
        agreement = levels_at(agreement, day=day, at=at, terms=now.moving_terms(day))
        if not together:
            return cls(bucket, held, together, agreement, bucket.account.mode)
        group = pools.together(bucket.pk)[0].account
        words = f"It is margined as the group {group.code}: both sides are the group's."
        return cls(bucket, held, together, agreement, group.mode, (words,))

    def scope(self, held: Holding) -> Holding:
        """What the scope holds where the bucket holds this."""
        if not self.together:
            return held
        return Holding.together({**self.together, holder_name(self.bucket): held})
