"""How much is required: terms of instruments, market data, runs, calls, tasks."""

from margin.models.call_claims import (
    CallDispute,
    CallDisputeEnd,
    CallDisputePart,
    CallEvidence,
    CallPromise,
    CallPromiseEnd,
    LevelEvent,
)
from margin.models.call_life import CallIncrement, CallRelief, CallTerms, CallTransition
from margin.models.calls import (
    CallDecision,
    CallEvent,
    CallNotice,
    MarginCall,
    Task,
    TaskEvent,
)
from margin.models.eligibility import ClientEligibility, EligibilityRule
from margin.models.external import ExternalBreak, ExternalComponent, ExternalMargin
from margin.models.market import Mark, MarketRow, MarketRule, Price, PriceOverride
from margin.models.notices import (
    Channel,
    Delivery,
    DeliveryEvent,
    DeliveryTransition,
    MailBounce,
    NoticeContact,
    NoticeKind,
    NoticeTemplate,
)
from margin.models.price_files import PriceFile, RejectedPrice, Remargin
from margin.models.proposals import MarginProposal
from margin.models.registry import Contract, ModelDecision, ParameterSet
from margin.models.runs import (
    MarginResult,
    MarginRun,
    MarginState,
    MovedLevels,
    ResultComponent,
    RunBlock,
    RunException,
    ShadowResult,
)
from margin.models.switches import HeldCall, Switch
from margin.models.terms import Bracket, Haircut, HaircutSchedule, InstrumentTerms

__all__ = [
    "Bracket",
    "CallDecision",
    "CallDispute",
    "CallDisputeEnd",
    "CallDisputePart",
    "CallEvent",
    "CallEvidence",
    "CallIncrement",
    "CallNotice",
    "CallPromise",
    "CallPromiseEnd",
    "CallRelief",
    "CallTerms",
    "CallTransition",
    "Channel",
    "ClientEligibility",
    "Contract",
    "Delivery",
    "DeliveryEvent",
    "DeliveryTransition",
    "EligibilityRule",
    "ExternalBreak",
    "ExternalComponent",
    "ExternalMargin",
    "Haircut",
    "HaircutSchedule",
    "HeldCall",
    "InstrumentTerms",
    "LevelEvent",
    "MailBounce",
    "MarginCall",
    "MarginProposal",
    "MarginResult",
    "MarginRun",
    "MarginState",
    "Mark",
    "MarketRow",
    "MarketRule",
    "ModelDecision",
    "MovedLevels",
    "NoticeContact",
    "NoticeKind",
    "NoticeTemplate",
    "ParameterSet",
    "Price",
    "PriceFile",
    "PriceOverride",
    "RejectedPrice",
    "Remargin",
    "ResultComponent",
    "RunBlock",
    "RunException",
    "ShadowResult",
    "Switch",
    "Task",
    "TaskEvent",
]
