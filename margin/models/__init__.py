"""How much is required: terms of instruments, market data, runs, calls, tasks."""

from margin.models.calls import CallEvent, MarginCall, Task, TaskEvent
from margin.models.market import Mark, MarketRow, MarketRule, Price, PriceOverride
from margin.models.registry import Contract, ModelDecision, ParameterSet
from margin.models.runs import (
    MarginResult,
    MarginRun,
    MarginState,
    ResultComponent,
    RunException,
    ShadowResult,
)
from margin.models.terms import Bracket, Haircut, InstrumentTerms

__all__ = [
    "Bracket",
    "CallEvent",
    "Contract",
    "Haircut",
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
    "RunException",
    "ShadowResult",
    "Task",
    "TaskEvent",
]
