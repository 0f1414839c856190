"""The states that screens show: colour, icon and word for each, so that none rests on colour."""

from typing import NamedTuple


class Shown(NamedTuple):
    """A state as it is drawn. Tones rise with danger: ok, watch, call, liq, def; info, mute."""

    tone: str
    icon: str
    word: str


class UnknownStateError(LookupError):
    """A state that no screen knows how to show."""


STATES: dict[str, dict[str, Shown]] = {
    "margin": {
        "OK": Shown("ok", "ok", "OK"),
        "BELOW_INITIAL": Shown("watch", "below", "Below initial"),
        "CALL": Shown("call", "bell", "Call"),
        "LIQUIDATE": Shown("liq", "octagon", "Liquidate"),
        "DEFICIT": Shown("def", "deficit", "Deficit"),
    },
    "price": {
        "VALID": Shown("ok", "check", "Valid"),
        "STALE": Shown("watch", "clock", "Stale"),
        "DISLOCATED": Shown("call", "split", "Dislocated"),
        "INSUFFICIENT": Shown("liq", "few", "Insufficient"),
        "MARKET_CLOSED": Shown("mute", "moon", "Market closed"),
        "OVERRIDDEN": Shown("info", "pen", "Overridden"),
        "NON_POSITIVE": Shown("def", "minus", "Not positive"),
        "TOO_VOLATILE": Shown("liq", "up", "Too volatile"),
        "TOO_UNCERTAIN": Shown("liq", "half", "Too uncertain"),
    },
    "call": {
        "draft": Shown("mute", "pen", "Draft"),
        "issued": Shown("info", "send", "Issued"),
        "delivered": Shown("info", "tick2", "Delivered"),
        "undelivered": Shown("liq", "nosend", "Undelivered"),
        "acknowledged": Shown("ok", "check", "Acknowledged"),
        "partially_met": Shown("watch", "half", "Partially met"),
        "met": Shown("ok", "ok", "Met"),
        "disputed": Shown("watch", "flag", "Disputed"),
        "agreed": Shown("info", "equal", "Agreed"),
        "extended": Shown("info", "clock", "Extended"),
        "expired": Shown("call", "clock", "Expired"),
        "escalated": Shown("liq", "up", "Escalated"),
        "liquidating": Shown("liq", "octagon", "Liquidating"),
        "closed": Shown("mute", "check", "Closed"),
        "cancelled": Shown("mute", "x", "Cancelled"),
        "below_minimum": Shown("mute", "minus", "Below minimum"),
    },
    "record": {
        "sealed": Shown("ok", "lock", "Sealed"),
        "pending": Shown("mute", "clock", "Seal pending"),
        "broken": Shown("def", "unlock", "Seal broken"),
    },
    "stream": {
        "live": Shown("ok", "live", "Live"),
        "stale": Shown("call", "nolive", "Stale"),
    },
    "pool": {
        "held": Shown("ok", "equal", "Held = owed"),
        "shortfall": Shown("def", "notequal", "Shortfall"),
        "empty": Shown("watch", "clock", "Fund is empty"),
        "differs": Shown("def", "notequal", "Does not add up"),
    },
    "break": {
        "open": Shown("call", "dot", "Open"),
        "investigating": Shown("info", "search", "Investigating"),
        "explained": Shown("info", "note", "Explained"),
        "closed": Shown("ok", "check", "Closed"),
    },
    "statement": {
        "matched": Shown("ok", "check", "All matched"),
        "unmatched": Shown("call", "dot", "Unmatched"),
        "rejected": Shown("liq", "x", "Rejected"),
        "missing": Shown("watch", "clock", "No statement"),
    },
    "job": {
        "waiting": Shown("mute", "clock", "Queued"),
        "running": Shown("info", "live", "Running"),
        "done": Shown("ok", "check", "Done"),
        "failed": Shown("liq", "x", "Failed"),
        "cancelled": Shown("mute", "x", "Cancelled"),
        "refused": Shown("mute", "x", "Refused"),
    },
    "approval": {
        "waiting": Shown("watch", "clock", "Waiting"),
        "own": Shown("mute", "person", "Made by you"),
        "approved": Shown("ok", "check", "Approved"),
        "rejected": Shown("liq", "x", "Rejected"),
        "used": Shown("mute", "stamp", "Used"),
        "expired": Shown("mute", "clock", "Expired"),
    },
    "task": {
        "liquidate": Shown("liq", "octagon", "Liquidate"),
        "deficit": Shown("def", "deficit", "Deficit"),
        "price": Shown("liq", "few", "Price"),
        "unpriced": Shown("liq", "few", "Unpriced"),
        "no_agreement": Shown("call", "note", "No agreement"),
        "uncovered": Shown("def", "notequal", "Uncovered"),
        "job": Shown("liq", "x", "Job failed"),
        "transit": Shown("liq", "clock", "In transit"),
        "eligibility": Shown("watch", "note", "Eligibility"),
        "dislocation": Shown("call", "split", "Dislocation"),
        "feed": Shown("watch", "clock", "Late feed"),
        "option_expiry": Shown("liq", "clock", "Expiry"),
        "check": Shown("liq", "clock", "Check overdue"),
        "call": Shown("liq", "bell", "Margin call"),
        "payment": Shown("call", "flag", "Payment"),
        "notice": Shown("liq", "nosend", "Notice"),
        "external": Shown("call", "notequal", "Differs"),
        "switch": Shown("liq", "pause", "Switch"),
    },
    "delivery": {
        "waiting": Shown("info", "clock", "Waiting"),
        "sending": Shown("info", "send", "Sending"),
        "printed": Shown("info", "report", "Printed"),
        "delivered": Shown("ok", "tick2", "Delivered"),
        "undelivered": Shown("liq", "nosend", "Undelivered"),
        "bounced": Shown("liq", "x", "Bounced"),
        "dropped": Shown("mute", "minus", "Dropped"),
    },
}


def shown_state(family: str, state: str) -> Shown:
    """How a state is drawn.

    Raises:
        UnknownStateError: there is no such family, or it has no such state.
    """
    try:
        return STATES[family][state]
    except KeyError as error:
        raise UnknownStateError(f"no screen shows the {family} state {state!r}") from error
