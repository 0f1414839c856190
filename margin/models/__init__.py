"""How much is required: terms of instruments, market data, runs, calls, tasks."""

from margin.models.calls import CallEvent, MarginCall, Task, TaskEvent
from margin.models.eligibility import ClientEligibility, EligibilityRule
from margin.models.external import ExternalBreak, ExternalComponent, ExternalMargin
from margin.models.market import Mark, MarketRow, MarketRule, Price, PriceOverride
from margin.models.registry import Contract, ModelDecision, ParameterSet
from margin.models.runs import (
    MarginResult,
    MarginRun,
    MarginState,
    ResultComponent,
    RunBlock,
    RunException,
    ShadowResult,
)
from margin.models.terms import Bracket, Haircut, HaircutSchedule, InstrumentTerms

__all__ = [
    "Bracket",
    "CallEvent",
    "ClientEligibility",
    "Contract",
    "EligibilityRule",
    "ExternalBreak",
    "ExternalComponent",
    "ExternalMargin",
    "Haircut",
    "HaircutSchedule",
    "InstrumentTerms",
    "MarginCall",
    "MarginResult",
    "MarginRun",
    "MarginState",
    "Mark",
    "MarketRow",
    "MarketRule",
    "ModelDecision",
    "ParameterSet",
    "Price",
    "PriceOverride",
    "ResultComponent",
    "RunBlock",
    "RunException",
    "ShadowResult",
    "Task",
    "TaskEvent",
]
