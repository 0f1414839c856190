"""How much there is: pools, the book, locations, statements, breaks.

Sign: a positive amount is a debit, everywhere. What a pool holds (custody, receivables,
shortfall) stands on the debit side; what it owes (claims, residual interest, equity) on the
credit side, stored negative and shown positive.
"""

from ledger.models.blocks import BlockLift, BlockRule, BlockSweep, OutflowBlock
from ledger.models.book import (
    Balance,
    Checkpoint,
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
    StagedDraft,
)
from ledger.models.debts import Obligation, ObligationEnd
from ledger.models.individual import ClientReconciliation, ReconciliationSignature
from ledger.models.interest import (
    Accrual,
    AccrualCorrection,
    AccrualRun,
    DailyRate,
    RateCurve,
    RateVersion,
)
from ledger.models.letters import Letter, LetterDocument, LocationChange, LocationUse
from ledger.models.moves import MoveGuard, MoveRule
from ledger.models.payment_reports import PaymentReport, PaymentStatus
from ledger.models.payments import (
    Payment,
    PaymentEvent,
    PaymentFile,
    PaymentInFile,
    PaymentStep,
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
from ledger.models.receipts import ReceiptSettlement
from ledger.models.residual import (
    ConductRule,
    ResidualNotice,
    ResidualTarget,
    SegregationStatement,
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
from ledger.models.transit import TransitRule

__all__ = [
    "AccountClass",
    "Accrual",
    "AccrualCorrection",
    "AccrualRun",
    "Asset",
    "AssetKind",
    "BackDatedEntry",
    "Balance",
    "BlockLift",
    "BlockRule",
    "BlockSweep",
    "Break",
    "BreakEvent",
    "Checkpoint",
    "ClientReconciliation",
    "ConductRule",
    "DailyMovement",
    "DailyRate",
    "DayClose",
    "Entry",
    "EntryKey",
    "EntryKind",
    "Holding",
    "Horizon",
    "KindLeg",
    "LedgerAccount",
    "Letter",
    "LetterDocument",
    "Location",
    "LocationAsset",
    "LocationChange",
    "LocationUse",
    "Loss",
    "MoveGuard",
    "MoveRule",
    "Obligation",
    "ObligationEnd",
    "OutflowBlock",
    "Payment",
    "PaymentEvent",
    "PaymentFile",
    "PaymentInFile",
    "PaymentReport",
    "PaymentStatus",
    "PaymentStep",
    "PeriodEvent",
    "Pool",
    "Posting",
    "RateCurve",
    "RateVersion",
    "ReceiptSettlement",
    "ReconciliationSignature",
    "Release",
    "ReleaseUse",
    "ResidualNotice",
    "ResidualTarget",
    "SegregationStatement",
    "StagedDraft",
    "Statement",
    "StatementFile",
    "StatementLine",
    "StatementMatch",
    "TransitRule",
]
