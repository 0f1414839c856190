"""How much is required: terms of instruments, market data, runs, calls, tasks."""

from margin.models.calls import CallEvent, MarginCall, Task, TaskEvent
from margin.models.market import Mark, Price, PriceOverride
from margin.models.proposals import MarginProposal
from margin.models.registry import Contract, ModelDecision, ParameterSet
from margin.models.runs import (
    MarginResult,
    MarginRun,
    MarginState,
    ResultComponent,
    RunException,
    ShadowResult,
)
from margin.models.terms import Bracket, Haircut, HaircutSchedule, InstrumentTerms

__all__ = [
    "Bracket",
    "CallEvent",
    "Contract",
    "Haircut",
    "HaircutSchedule",
    "InstrumentTerms",
    "MarginCall",
    "MarginProposal",
    "MarginResult",
    "MarginRun",
    "MarginState",
    "Mark",
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
