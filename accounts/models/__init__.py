"""Who: legal entities, clients, their account tree and agreements, operators, approvals, trail.

Nothing here holds value. The book (`ledger`) hangs its accounts on buckets; margin hangs its
requirements on scopes. Rows that say whose money something is (owner class, client, bucket)
never change after they are written; the guards beside the migrations refuse it.
"""

from accounts.models.agreements import AccountAgreement, Agreement, AgreementVersion
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
from accounts.models.trail import (
    Act,
    Approval,
    ApprovalAction,
    AuditRow,
    SealBlock,
    SealLeaf,
)

__all__ = [
    "AccountAgreement",
    "AccountGroup",
    "Act",
    "Agreement",
    "AgreementVersion",
    "Approval",
    "ApprovalAction",
    "AuditRow",
    "Bucket",
    "Client",
    "GroupMember",
    "LegalEntity",
    "MarginAccount",
    "Operator",
    "OperatorSession",
    "OwnerClass",
    "PersonKey",
    "Role",
    "RoleGrant",
    "Scope",
    "SealBlock",
    "SealLeaf",
    "SignInFailure",
]
