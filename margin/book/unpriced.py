"""Scopes that hold something without a mark or without terms, and what is said of them."""

from datetime import datetime
from typing import Final, Protocol

from ledger.models import Asset
from margin.terms import TermsInForce

UNPRICED: Final = "unpriced_position"


def has_terms(terms: TermsInForce, asset: Asset) -> bool:
    """Whether house rules say how an asset counts; they know no option."""
    return not asset.is_option and asset.pk in (
        terms.haircuts if asset.kind == "money" else terms.instruments
    )


class Priced(Protocol):
    """What was read of marks and terms, in rows or columns."""

    @property
    def as_of(self) -> datetime: ...
    @property
    def terms(self) -> TermsInForce: ...


def unpriced_words(account: str, bucket: str, asset: str, read: Priced) -> str:
    """Why a scope cannot be computed that holds what has no price or no terms."""
    why = read.terms.unreadable.get(asset, "")
    return (
        f"{account} {bucket} holds {asset},"
        f" which has no mark or no terms as of {read.as_of:%Y-%m-%d %H:%M:%S} UTC.{why}"
    )
