"""What somebody is woken for: a measure of `/metrics`, when it is wrong, what it means, what to do.

`docs/operations.md` lists them for people; a test holds the two together and sets off each.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from margin.models import Mark, Task


class Sample(NamedTuple):
    """One measure as it stands."""

    name: str
    labels: Mapping[str, str]
    value: float


class Alert(NamedTuple):
    """A reason to look.

    Attributes:
        metric: of which it is; `labels` say which samples of it.
        above: the value that is still right.
        meaning: what is wrong then.
        act: what to do first.
    """

    name: str
    metric: str
    labels: Mapping[str, frozenset[str]]
    above: float
    meaning: str
    act: str

    def rests_on(self, sample: Sample) -> bool:
        """Whether a measure is one that it looks at."""
        return sample.name == self.metric and all(
            sample.labels.get(name) in values for name, values in self.labels.items()
        )


EVERY: Final[Mapping[str, frozenset[str]]] = {}
NOT_RIGHT: Final = frozenset(
    set(Mark.State.values)
    - {Mark.State.VALID, Mark.State.MARKET_CLOSED, Mark.State.OVERRIDDEN}
)  # fmt: skip


def _tasks(*kinds: Task.Kind) -> Mapping[str, frozenset[str]]:
    return {"kind": frozenset(kind.value for kind in kinds)}


K: Final = Task.Kind
TASKS: Final = "brokerage_open_tasks"
ALERTS: Final = (
    Alert("QueueLags", "brokerage_job_queue_lag_seconds", EVERY, 60,
          "A job that could start has waited for a minute: workers are too few, or gone.",
          "Look at Jobs and at the supervisor's log; restart workers, or raise JOB_WORKERS."),
    Alert("JobTakesTooLong", "brokerage_job_oldest_seconds", EVERY, 3_600,
          "A job was asked for over an hour ago and has not ended.",
          "Open it on Jobs: its step says where it stands; let it go on, or cancel it."),
    Alert("JobFailed", TASKS, _tasks(K.JOB), 0,
          "A job failed for good.",
          "Read its error on Jobs, mend the cause, retry it there."),
    Alert("HistoryUnsealed", "brokerage_seal_lag_seconds", EVERY, 180,
          "What was written is not sealed: the sealer stands, or a transaction holds it back.",
          "Seals names the open writer; end it, or see why the scheduler does not come."),
    Alert("FeedLate", "brokerage_feed_late_prices", EVERY, 0,
          "A source sent prices later than it promised.",
          "Feeds shows which and how late; call the source, or set a price by two people."),
    Alert("FeedIncident", TASKS, _tasks(K.FEED, K.DISLOCATION, K.PRICE), 0,
          "A feed is silent, a source lies far from others, or an asset has no valid price.",
          "Open the task; correct the mark or set a price by two people."),
    Alert("PricesNotRight", "brokerage_marks", {"state": NOT_RIGHT}, 0,
          "Marks of the newest moment are stale, dislocated or rest on too few sources.",
          "Prices shows each with its reason; nothing is liquidated on them."),
    Alert("MarginCheckOverdue", "brokerage_margin_check_overdue", EVERY, 0,
          "A margin check that was promised has not come.",
          "See whether prices came and a worker runs; ask for a run by hand."),
    Alert("ScopesUnchecked", "brokerage_margin_scopes_unchecked", EVERY, 0,
          "No standing run says anything of some scopes.",
          "Exceptions says why of each; give the agreement, price or policy that lacks."),
    Alert("ScopeUnmargined", TASKS, _tasks(K.UNPRICED, K.NO_AGREEMENT), 0,
          "The newest run could not compute a scope.",
          "Exceptions says why; until then nothing leaves it."),
    Alert("ScopeToLiquidate", TASKS, _tasks(K.LIQUIDATE, K.DEFICIT), 0,
          "A scope is below its liquidation level, or in deficit.",
          "Risk decides on the call's page; see the prices behind it first."),
    Alert("ClientMoneyShort", TASKS, _tasks(K.UNCOVERED), 0,
          "Client money lacks what nobody covered; withdrawals of the pool are frozen.",
          "Treasury pays it in today and tells compliance."),
    Alert("CallWaits", TASKS, _tasks(K.CALL, K.CHECK), 0,
          "A call or a check needs somebody and its clock runs.",
          "Open the task; acknowledge, extend or decide."),
    Alert("NoticeUndelivered", TASKS, _tasks(K.NOTICE), 0,
          "A notice could not be delivered.",
          "Open the delivery; mend the contact or reach the client another way."),
    Alert("MoneyStuck", TASKS, _tasks(K.PAYMENT, K.TRANSIT, K.EXPIRY), 0,
          "A payment, a transfer or the settlement of an option waits for too long.",
          "Open the task; ask the bank or the venue, or cancel and send again."),
    Alert("NotEligible", TASKS, _tasks(K.ELIGIBILITY), 0,
          "An account is under a model that it does not qualify for.",
          "Risk changes its agreement or approves the client."),
    Alert("OthersDiffer", TASKS, _tasks(K.EXTERNAL), 0,
          "A venue or client computes another margin than we do.",
          "Compare the components on Margin of others; ask for a corrected statement, or agree."),
    Alert("AutomaticsStopped", TASKS, _tasks(K.SWITCH), 0,
          "Calls are held back, or a stop has outlasted the time that two people agreed.",
          "Look at Incident; start again by two people, or agree on a later end."),
    Alert("EmergencyUnreviewed", "brokerage_emergencies_overdue", EVERY, 0,
          "Somebody took a right in an emergency and nobody else has looked at it in time.",
          "Open the emergency from People; say what was done with it, or end it."),
    Alert("StatementsSlow", "brokerage_slow_statements", EVERY, 200,
          "The database often takes longer than it should.",
          "Slow statements names address or job; look at the disk and what runs beside."),
)  # fmt: skip


def firing(samples: Iterable[Sample]) -> Iterator[tuple[Alert, bool]]:
    """Each alert, and whether a measure that it rests on is above what is right."""
    known = list(samples)
    for alert in ALERTS:
        wrong = (each.value > alert.above for each in known if alert.rests_on(each))
        yield alert, any(wrong)
