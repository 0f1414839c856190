"""How much is required: terms of instruments, market data, runs, calls, tasks."""

from margin.models.calls import CallEvent, MarginCall, Task, TaskEvent
from margin.models.market import Mark, Price
from margin.models.runs import (
    MarginResult,
    MarginRun,
    MarginState,
    ResultComponent,
    RunException,
)
from margin.models.terms import Bracket, Haircut, InstrumentTerms

__all__ = [
    "Bracket",
    "CallEvent",
    "Haircut",
    "InstrumentTerms",
    "MarginCall",
    "MarginResult",
    "MarginRun",
    "MarginState",
    "Mark",
    "Price",
    "ResultComponent",
    "RunException",
    "Task",
    "TaskEvent",
]
