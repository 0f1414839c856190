"""Pools, assets, the places that hold them, and the accounts of the book."""

from django.db import models
from django.db.models import Q

from accounts.fields import CurrentTransaction, TransactionIdField
from accounts.models import Bucket, Client, LegalEntity, MarginAccount, OwnerClass


class Pool(models.Model):
    """A closed set of books of one legal entity, regime and owner class; append-only."""

    id = models.SmallAutoField(primary_key=True)
    legal_entity = models.ForeignKey(LegalEntity, models.PROTECT, related_name="+")
    code = models.CharField(max_length=20)
    regime = models.CharField(max_length=20, blank=True)
    owner_class = models.CharField(max_length=12, choices=OwnerClass)
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(name="pool_code_is_unique", fields=["legal_entity", "code"]),
        ]

    def __str__(self) -> str:
        return self.code


class AssetKind(models.TextChoices):
    """What an asset is: money, a security, or a derivative contract."""

    MONEY = "money", "Money"
    SECURITY = "security", "Security"
    DERIVATIVE = "derivative", "Derivative"


class Asset(models.Model):
    """Anything the book counts. Instruments are assets, so a position is a balance; append-only.

    An option is a derivative that is paid for at once. The book counts its contracts, and a price
    in the book is what one contract costs.
    """

    code = models.CharField(max_length=40, unique=True)
    kind = models.CharField(max_length=10, choices=AssetKind)
    scale = models.PositiveSmallIntegerField()
    price_scale = models.PositiveSmallIntegerField(null=True)
    settles_in = models.ForeignKey("self", models.PROTECT, null=True, related_name="+")
    is_option = models.BooleanField(default=False, db_default=False)
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="derivative_settles_in_money",
                condition=~Q(kind="derivative") | Q(settles_in__isnull=False),
            ),
            models.CheckConstraint(
                name="option_is_a_derivative",
                condition=Q(is_option=False) | Q(kind="derivative"),
            ),
        ]

    def __str__(self) -> str:
        return self.code


class Location(models.Model):
    """A bank, custodian, wallet or venue outside the firm that holds one pool's assets."""

    class Kind(models.TextChoices):
        BANK = "bank", "Bank"
        CUSTODIAN = "custodian", "Custodian"
        WALLET = "wallet", "Wallet"
        VENUE = "venue", "Venue"

    class Title(models.TextChoices):
        OMNIBUS = "omnibus", "Omnibus"
        INDIVIDUAL = "individual", "Individually segregated"
        OWN = "own", "The firm's own"

    code = models.CharField(max_length=60, unique=True)
    pool = models.ForeignKey(Pool, models.PROTECT, related_name="locations")
    kind = models.CharField(max_length=10, choices=Kind)
    title = models.CharField(max_length=10, choices=Title)
    individual_client = models.ForeignKey(Client, models.PROTECT, null=True, related_name="+")
    account_number = models.CharField(max_length=60, blank=True)
    venue = models.CharField(max_length=60, blank=True)
    chain = models.CharField(max_length=40, blank=True)
    account_title = models.CharField(max_length=200, blank=True, db_default="")
    keeper = models.CharField(max_length=200, blank=True, db_default="")
    keeper_address = models.CharField(max_length=300, blank=True, db_default="")
    letter_reference = models.CharField(max_length=200, blank=True)
    letter_signed_on = models.DateField(null=True)
    letter_expires_on = models.DateField(null=True)
    closed_on = models.DateField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="individual_location_names_its_client",
                condition=Q(title="individual", individual_client__isnull=False)
                | (~Q(title="individual") & Q(individual_client__isnull=True)),
            ),
        ]

    def __str__(self) -> str:
        return self.code


class LocationAsset(models.Model):
    """An asset that a location carries; append-only."""

    location = models.ForeignKey(Location, models.PROTECT, related_name="carried")
    asset = models.ForeignKey(Asset, models.PROTECT, related_name="+")
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="location_carries_an_asset_once", fields=["location", "asset"]
            ),
        ]


class AccountClass(models.TextChoices):
    """What a ledger account is for. The side on which it may stand follows from it."""

    CUSTODY = "custody", "Custody"
    DELEGATED = "delegated", "Custody delegated to a venue"
    MIRRORED = "mirrored", "Custody mirrored at a venue"
    CLAIM = "claim", "Claim"
    POSITION = "position", "Position"
    UNALLOCATED = "unallocated", "Unidentified receipts"
    RESIDUAL_INTEREST = "residual_interest", "Residual interest of the firm"
    SHORTFALL = "shortfall", "Shortfall, due from the firm"
    OWN_EQUITY = "own_equity", "Own equity"
    LOAN_RECEIVABLE = "loan_receivable", "Loan receivable"
    IN_TRANSIT = "in_transit", "In transit"
    OPENING = "opening", "Opening clearing"


# What lies at a location: settled and at hand, delegated to a venue, mirrored there.
HELD_AT_PLACES = (AccountClass.CUSTODY, AccountClass.DELEGATED, AccountClass.MIRRORED)


class LedgerAccount(models.Model):
    """One asset in one pool for one purpose; append-only, so it never moves to another pool.

    Owner class, asset kind, scale, margin account and client repeat what pool, asset and bucket
    say, so that the guards read one row; a guard refuses a row that repeats them wrongly.
    """

    id = models.BigAutoField(primary_key=True)
    pool = models.ForeignKey(Pool, models.PROTECT, related_name="accounts")
    asset = models.ForeignKey(Asset, models.PROTECT, related_name="+")
    account_class = models.CharField(max_length=20, choices=AccountClass)
    bucket = models.ForeignKey(Bucket, models.PROTECT, null=True, related_name="+")
    location = models.ForeignKey(Location, models.PROTECT, null=True, related_name="+")
    owner_class = models.CharField(max_length=12, choices=OwnerClass)
    asset_kind = models.CharField(max_length=10, choices=AssetKind)
    scale = models.PositiveSmallIntegerField()
    margin_account = models.ForeignKey(MarginAccount, models.PROTECT, null=True, related_name="+")
    client = models.ForeignKey(Client, models.PROTECT, null=True, related_name="+")
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="ledger_account_is_unique",
                fields=["pool", "asset", "account_class", "bucket", "location"],
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                name="ledger_account_hangs_where_its_class_says",
                condition=(
                    Q(account_class__in=["claim", "position", "loan_receivable"])
                    & Q(bucket__isnull=False, location__isnull=True)
                )
                | (
                    Q(account_class__in=["custody", "delegated", "mirrored"])
                    & Q(bucket__isnull=True, location__isnull=False)
                )
                | (
                    ~Q(
                        account_class__in=[
                            "claim",
                            "position",
                            "loan_receivable",
                            "custody",
                            "delegated",
                            "mirrored",
                        ]
                    )
                    & Q(bucket__isnull=True, location__isnull=True)
                ),
            ),
            models.CheckConstraint(
                name="client_money_classes_stay_in_client_pools",
                condition=~Q(account_class__in=["residual_interest", "shortfall", "unallocated"])
                | Q(owner_class="CLIENT"),
            ),
            models.CheckConstraint(
                name="firm_money_classes_stay_in_firm_pools",
                condition=~Q(account_class__in=["own_equity", "loan_receivable"])
                | ~Q(owner_class="CLIENT"),
            ),
        ]
