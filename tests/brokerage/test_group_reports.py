"""What is said of each client where clients are linked: the group's margin is of all of them."""

from pathlib import Path

import pytest

from accounts.audit import acting
from accounts.groups import clients_on
from accounts.models import Client, Role
from brokerage.client_statements.reading import Owners, _margins
from ledger.horizons import store_horizon
from ledger.times import reading_point
from margin.aggregate import roll_up
from margin.column_runs import read_for_run
from margin.runs import record_run
from margin.what_if_ground import newest_as_of
from tests.accounts.people import person
from tests.margin.grouped import group_bucket
from tests.margin.test_groups import Linked, linked_under
from tests.margin.under import SECOND_DAY


@pytest.fixture
def linked(db: None, tmp_path: Path) -> Linked:
    return linked_under("house-rules", tmp_path)


def test_what_a_group_must_hold_is_said_to_each_of_its_clients(linked: Linked) -> None:
    read = read_for_run(horizon_id=store_horizon("test").pk, as_of=newest_as_of())
    theirs = {account.client_id for account in linked.members}
    assert clients_on(SECOND_DAY) == {}
    linked.join()
    assert list(clients_on(SECOND_DAY).values()) == [frozenset(theirs)]
    read = read_for_run(horizon_id=store_horizon("test").pk, as_of=newest_as_of())
    with acting(person(linked.firm.desk[Role.RISK]), reason="A run for a test"):
        run = record_run(read, business_day=SECOND_DAY, purpose="end-of-day")  # type: ignore[arg-type]
    stands = group_bucket(linked.group).account
    result = run.results.get(scope__bucket__account=stands)

    everybody = set(Client.objects.values_list("pk", flat=True))
    found = _margins(Owners.on(SECOND_DAY, everybody, point=reading_point()), run)
    told = {client for client, lines in found.items() if stands.code in {x.account for x in lines}}
    assert told == theirs
    for client in theirs:
        (line,) = (each for each in found[client] if each.account == stands.code)
        assert line.equity == result.equity
    alone = _margins(Owners.on(SECOND_DAY, everybody - theirs, point=reading_point()), run)
    assert alone.keys() == found.keys() - theirs

    lines = {line.name: line for line in roll_up(read, run=run, by="client")}  # type: ignore[arg-type]
    codes = Client.objects.filter(pk__in=theirs).order_by("code").values_list("code", flat=True)
    assert lines[" + ".join(codes)].initial == result.initial_margin
