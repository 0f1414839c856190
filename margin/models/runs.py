"""Margin runs: what went in, what came out, and the parts that add up to it; append-only."""

from decimal import Decimal

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from accounts.fields import ClockTime, CurrentTransaction, ExactField, TransactionIdField
from accounts.models import AgreementVersion, MarginAccount, Scope
from ledger.models import Asset, Horizon
from margin.engine.exact import exact
from margin.models.market import Mark
from margin.models.registry import ParameterSet
from margin.models.terms import Haircut, InstrumentTerms


class MarginRun(models.Model):
    """One computation of every requirement as of an instant, pinned to its inputs.

    Inputs are pinned by reference (`horizon`, the marks of `as_of`, versions named on the
    components) and by `inputs_sha256`, the hash of the arrays as they were read. `layout` says how
    its parts are kept and how its hashes are made, `days` which past days models looked back on.
    """

    class Layout(models.TextChoices):
        ROWS = "rows", "A row for each part"
        COLUMNS = "columns", "Columns for thousands of scopes"

    class Days(models.TextChoices):
        COMMON = "common", "Days that everything held under models has in common"
        OWN = "own", "Days that everything a scope holds has in common"

    number = models.CharField(max_length=40, unique=True)
    as_of = models.DateTimeField()
    business_day = models.DateField(db_index=True)
    purpose = models.CharField(max_length=20)
    model = models.CharField(max_length=40)
    model_version = models.CharField(max_length=20)
    model_sha256 = models.CharField(max_length=64)
    parameters_sha256 = models.CharField(max_length=64)
    inputs_sha256 = models.CharField(max_length=64)
    result_sha256 = models.CharField(max_length=64)
    horizon = models.ForeignKey(Horizon, models.PROTECT, related_name="+")
    scope_count = models.PositiveIntegerField()
    layout = models.CharField(max_length=10, choices=Layout, db_default="rows")
    days = models.CharField(max_length=10, choices=Days, db_default="common")
    restates = models.ForeignKey("self", models.PROTECT, null=True, related_name="+")
    finished_at = models.DateTimeField(db_default=ClockTime())
    xid = TransactionIdField(db_default=CurrentTransaction())


class MovedLevels(models.Model):
    """What a run added to every level of a version of an agreement, and from what; append-only.

    A level that it used is that of the agreement, or of the terms of calls, and both additions.

    Attributes:
        session, volatility: times maintenance margin.
        volatility_before: what volatility added on the newest day before.
        inputs: calendar, closes by their hash, volatility and target, as exact text.
    """

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(MarginRun, models.PROTECT, related_name="moved_levels", db_index=False)
    agreement_version = models.ForeignKey(AgreementVersion, models.PROTECT, related_name="+")
    call_terms = models.ForeignKey(
        "margin.CallTerms", models.PROTECT, related_name="+", db_index=False
    )
    session = ExactField()
    volatility = ExactField()
    volatility_before = ExactField()
    inputs = models.JSONField()
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="levels_move_once_a_run", fields=["run", "agreement_version"]
            ),
            models.CheckConstraint(
                name="levels_move_up_alone",
                condition=Q(session__gte=0, volatility__gte=0, volatility_before__gte=0),
            ),
        ]

    @property
    def addition(self) -> Decimal:
        """What is added to every level."""
        with exact():
            added: Decimal = self.session + self.volatility
        return added


class MarginState(models.TextChoices):
    """How a scope stands, from well to worst."""

    OK = "OK", "OK"
    BELOW_INITIAL = "BELOW_INITIAL", "Below initial"
    CALL = "CALL", "Call"
    LIQUIDATE = "LIQUIDATE", "Liquidate"
    DEFICIT = "DEFICIT", "Deficit"


class MarginResult(models.Model):
    """What one run says of one scope. Requirements are positive; equity is signed.

    `binding` names what decided the requirement of a portfolio model, and `parameter_set` what it
    was computed with; house rules have neither, their parameters are named part by part. `moved`
    is what was added to the levels of its agreement; None where they stay.
    """

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(
        MarginRun, models.PROTECT, related_name="results", db_index=False, db_constraint=False
    )
    scope = models.ForeignKey(
        Scope, models.PROTECT, related_name="results", db_index=False, db_constraint=False
    )
    agreement_version = models.ForeignKey(
        AgreementVersion, models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    equity = ExactField()
    initial_margin = ExactField()
    maintenance_margin = ExactField()
    state = models.CharField(max_length=14, choices=MarginState)
    call_amount = ExactField()
    flags = ArrayField(models.CharField(max_length=30))
    parameter_set = models.ForeignKey(
        ParameterSet,
        models.PROTECT,
        null=True,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    binding = models.CharField(max_length=120, blank=True, db_default="")
    moved = models.ForeignKey(
        MovedLevels,
        models.PROTECT,
        null=True,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            # A run adds its results in this order, each to the end of the index.
            models.UniqueConstraint(name="run_says_one_thing_of_a_scope", fields=["run", "scope"]),
        ]


class ResultComponent(models.Model):
    """A part of a result. The parts of one kind of total add up to it exactly.

    `terms` holds what the amount was made from, as text: quantity, price, rate, deduction; of a
    portfolio model's part, which has no asset, its name.
    """

    id = models.BigAutoField(primary_key=True)
    result = models.ForeignKey(MarginResult, models.PROTECT, related_name="components")
    ordinal = models.PositiveIntegerField()
    total = models.CharField(max_length=20)
    kind = models.CharField(max_length=30)
    asset = models.ForeignKey(Asset, models.PROTECT, null=True, related_name="+")
    amount = ExactField()
    mark = models.ForeignKey(Mark, models.PROTECT, null=True, related_name="+")
    haircut = models.ForeignKey(Haircut, models.PROTECT, null=True, related_name="+")
    instrument_terms = models.ForeignKey(
        InstrumentTerms, models.PROTECT, null=True, related_name="+"
    )
    ledger_account_id = models.BigIntegerField(null=True)
    account_seq = models.BigIntegerField(null=True)
    terms = models.JSONField()
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(name="component_has_its_place", fields=["result", "ordinal"]),
        ]


class RunBlock(models.Model):
    """Parts of thousands of scopes of a run that is kept in columns; `margin.parts` reads them.

    Block 0 holds what all others refer to: marks, prices, terms. The others hold scopes in the
    order of their ids.
    """

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(MarginRun, models.PROTECT, related_name="blocks", db_index=False)
    ordinal = models.PositiveIntegerField()
    first_scope = models.BigIntegerField()
    last_scope = models.BigIntegerField()
    scope_count = models.PositiveIntegerField()
    content = models.BinaryField()
    content_sha256 = models.CharField(max_length=64)
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(name="block_has_its_place", fields=["run", "ordinal"]),
        ]


class RunException(models.Model):
    """A scope that the run could not compute, and why; it is on the operators' list."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(MarginRun, models.PROTECT, related_name="exceptions")
    account = models.ForeignKey(MarginAccount, models.PROTECT, related_name="+")
    bucket_code = models.CharField(max_length=60)
    reason = models.CharField(max_length=40)
    detail = models.TextField()
    xid = TransactionIdField(db_default=CurrentTransaction())


class ShadowResult(models.Model):
    """What a model that is only watched would have required of a scope in a run, or why not."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(MarginRun, models.PROTECT, related_name="shadows", db_index=False)
    scope = models.ForeignKey(Scope, models.PROTECT, related_name="+")
    parameter_set = models.ForeignKey(ParameterSet, models.PROTECT, related_name="+")
    initial_margin = ExactField(null=True)
    maintenance_margin = ExactField(null=True)
    binding = models.CharField(max_length=120, blank=True)
    refusal = models.TextField(blank=True)
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="shadow_says_one_thing_of_a_scope", fields=["run", "parameter_set", "scope"]
            ),
            models.CheckConstraint(
                name="shadow_requires_or_says_why_not",
                condition=Q(
                    refusal="", initial_margin__isnull=False, maintenance_margin__isnull=False
                )
                | (
                    ~Q(refusal="") & Q(initial_margin__isnull=True, maintenance_margin__isnull=True)
                ),
            ),
        ]
