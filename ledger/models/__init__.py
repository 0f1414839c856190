"""How much there is: pools, the book, locations, statements, breaks.

Sign: a positive amount is a debit, everywhere. What a pool holds (custody, receivables,
shortfall) stands on the debit side; what it owes (claims, residual interest, equity) on the
credit side, stored negative and shown positive.
"""

from ledger.models.book import (
    Balance,
    DailyMovement,
    Entry,
    EntryKey,
    EntryKind,
    Horizon,
    KindLeg,
    Loss,
    Posting,
    Release,
    ReleaseUse,
)
from ledger.models.periods import BackDatedEntry, DayClose, PeriodEvent
from ledger.models.pools import (
    AccountClass,
    Asset,
    AssetKind,
    LedgerAccount,
    Location,
    LocationAsset,
    Pool,
)
from ledger.models.statements import (
    Break,
    BreakEvent,
    Holding,
    Statement,
    StatementFile,
    StatementLine,
    StatementMatch,
)

__all__ = [
    "AccountClass",
    "Asset",
    "AssetKind",
    "BackDatedEntry",
    "Balance",
    "Break",
    "BreakEvent",
    "DailyMovement",
    "DayClose",
    "Entry",
    "EntryKey",
    "EntryKind",
    "Holding",
    "Horizon",
    "KindLeg",
    "LedgerAccount",
    "Location",
    "LocationAsset",
    "Loss",
    "PeriodEvent",
    "Pool",
    "Posting",
    "Release",
    "ReleaseUse",
    "Statement",
    "StatementFile",
    "StatementLine",
    "StatementMatch",
]
