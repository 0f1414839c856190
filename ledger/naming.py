"""How the book speaks to people: accounts by the desk's names, amounts as people say them."""

from decimal import Decimal

from accounts.figures import WIDE
from accounts.models import Act
from ledger.models import AccountClass, Break, LedgerAccount

# What a pool owes stands on the credit side: stored negative, said positive.
SAID_POSITIVE_WHEN_CREDIT = frozenset(
    {
        AccountClass.CLAIM,
        AccountClass.POSITION,
        AccountClass.UNALLOCATED,
        AccountClass.RESIDUAL_INTEREST,
        AccountClass.OWN_EQUITY,
        AccountClass.OPENING,
    }
)
OWNED = frozenset({AccountClass.CLAIM, AccountClass.POSITION})
# What each class is called inside a sentence or after its pool.
CLASS_WORDS = {
    AccountClass.CUSTODY: "custody",
    AccountClass.DELEGATED: "delegated custody",
    AccountClass.MIRRORED: "mirrored custody",
    AccountClass.CLAIM: "claim",
    AccountClass.POSITION: "position",
    AccountClass.UNALLOCATED: "unidentified receipts",
    AccountClass.RESIDUAL_INTEREST: "residual interest",
    AccountClass.SHORTFALL: "shortfall",
    AccountClass.OWN_EQUITY: "own equity",
    AccountClass.LOAN_RECEIVABLE: "loan receivable",
    AccountClass.IN_TRANSIT: "in transit",
    AccountClass.OPENING: "opening clearing",
}
# What `account_title` reads; fetch it along.
TITLE_RELATIONS = ("pool", "asset", "location", "bucket__account")


def said(account_class: str, amount: Decimal) -> Decimal:
    """A stored amount (debit positive) as people say it: what is owed to somebody is positive."""
    return WIDE.minus(amount) if account_class in SAID_POSITIVE_WHEN_CREDIT else amount


def decimals_of(found: Break) -> int:
    """How many decimals show a break's amounts without rounding any: those of the asset, or more
    where the other side wrote more.
    """
    scale = 0 if found.asset is None else found.asset.scale
    written = [found.ledger_amount, found.statement_amount]
    exponents = [WIDE.normalize(a).as_tuple().exponent for a in written if a is not None]
    return max([scale, *(-each for each in exponents if isinstance(each, int))])


def account_name(account: LedgerAccount) -> str:
    """What the desk calls a ledger account inside its pool: "A00014 FREE", "bank:client-usd"."""
    kind = AccountClass(account.account_class)
    if account.location is not None:
        return account.location.code
    if account.bucket is not None:
        owner = f"{account.bucket.account.code} {account.bucket.code}"
        return owner if kind in OWNED else f"loan to {owner}"
    return CLASS_WORDS[kind]


def account_title(account: LedgerAccount) -> str:
    """A ledger account with its pool: "CLIENT bank:client-usd", "HOUSE own equity"."""
    return f"{account.pool.code} {account_name(account)}"


def actor_words(act: Act | None) -> str:
    """Who acted: a person's name, or the machine's."""
    if act is None:
        return ""
    if act.operator is not None:
        return act.operator.full_name
    return act.actor.removeprefix("system:").replace(":", " ")
