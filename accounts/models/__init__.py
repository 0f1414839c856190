"""Who: legal entities, clients, their account tree and agreements, operators, approvals, trail.

Nothing here holds value. The book (`ledger`) hangs its accounts on buckets; margin hangs its
requirements on scopes. Rows that say whose money something is (owner class, client, bucket)
never change after they are written; the guards beside the migrations refuse it.
"""

from accounts.models.agreements import AccountAgreement, Agreement, AgreementVersion
from accounts.models.limits import ApprovalLimit, LimitUse
from accounts.models.operators import Operator, OperatorSession, Role, RoleGrant, SignInFailure
from accounts.models.owners import (
    AccountGroup,
    Bucket,
    Client,
    GroupMember,
    LegalEntity,
    MarginAccount,
    OwnerClass,
    PersonKey,
    Scope,
)
from accounts.models.payees import InstructionRule, PaymentInstruction
from accounts.models.retention import (
    Erasure,
    LegalHold,
    Purge,
    Redaction,
    RetentionClass,
    RetentionRule,
)
from accounts.models.seals import SealEpoch
from accounts.models.sign_in import (
    DutyConflict,
    EmergencyReview,
    EmergencyRule,
    EmergencyTask,
    ProviderLogout,
    RecoveryCode,
    SecondFactor,
    SignInBinding,
    SignInRule,
    SpentTicket,
)
from accounts.models.trail import (
    Act,
    Approval,
    ApprovalAction,
    ApprovalRecord,
    AuditRow,
    SealBlock,
    SealLeaf,
)
from accounts.models.views import SavedView

__all__ = [
    "AccountAgreement",
    "AccountGroup",
    "Act",
    "Agreement",
    "AgreementVersion",
    "Approval",
    "ApprovalAction",
    "ApprovalLimit",
    "ApprovalRecord",
    "AuditRow",
    "Bucket",
    "Client",
    "DutyConflict",
    "EmergencyReview",
    "EmergencyRule",
    "EmergencyTask",
    "Erasure",
    "GroupMember",
    "InstructionRule",
    "LegalEntity",
    "LegalHold",
    "LimitUse",
    "MarginAccount",
    "Operator",
    "OperatorSession",
    "OwnerClass",
    "PaymentInstruction",
    "PersonKey",
    "ProviderLogout",
    "Purge",
    "RecoveryCode",
    "Redaction",
    "RetentionClass",
    "RetentionRule",
    "Role",
    "RoleGrant",
    "SavedView",
    "Scope",
    "SealBlock",
    "SealEpoch",
    "SealLeaf",
    "SecondFactor",
    "SignInBinding",
    "SignInFailure",
    "SignInRule",
    "SpentTicket",
]
