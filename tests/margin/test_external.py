"""Margin as others computed it: kept as it came, compared by component, promised by a hash."""

import csv
import io
import json
from datetime import date
from decimal import Decimal
from hashlib import sha256
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client as Browser
from django.urls import reverse

from accounts.audit import Actor
from accounts.models import Agreement, LegalEntity, Role
from brokerage.inbox.cycle import run_day
from ledger.times import one_snapshot
from margin.alternatives import previewed
from margin.book import read_with_models
from margin.external import (
    HEAD,
    ExternalRefusedError,
    commit,
    our_components,
    receive,
    statement_of,
)
from margin.models import (
    ExternalBreak,
    ExternalComponent,
    ExternalMargin,
    MarginResult,
    MarginRun,
    Task,
)
from tests.accounts.people import Desk, found_desk, sign_in
from tests.accounts.raw import act
from tests.accounts.raw import refused as raw_refused
from tests.margin.under_models import PRODUCTION, decide, set_parameters, used_by
from tests.stage import booked_days, staged

D = Decimal
DAY = date(2031, 3, 4)
DESK = Actor.command("test")


@pytest.fixture
def desk(db: None, tmp_path: Path) -> Desk:
    """A firm under the delta margin; a set that differs in one parameter is in production too."""
    days = booked_days(tmp_path / "firm", accounts=30, seed=4, days=2, booked=1)

    def build() -> Desk:
        desk = found_desk(entity=LegalEntity.objects.get())
        used_by(desk, Agreement.objects.get(code="STD"), "delta", DAY)
        set_parameters(desk, "delta", DAY, code="OTHER", residual=0.03)
        decide(desk, "delta", PRODUCTION, DAY, code="OTHER")
        run_day(days[1])
        return desk

    return staged("delta and one parameter more", build)


def a_result(**which: Any) -> MarginResult:
    """A scope with something to require on the day; under the model unless said otherwise."""
    wanted = {"parameter_set__isnull": False} | which
    rows = MarginResult.objects.filter(run__business_day=DAY, initial_margin__gt=0, **wanted)
    found = rows.select_related("run", "scope__bucket__account", "agreement_version").first()
    assert found is not None
    return found


def file_of(said: dict[str, Any]) -> bytes:
    return json.dumps(said).encode()


def theirs(result: MarginResult) -> dict[str, Any]:
    """What a venue says that computes the same with one parameter of its own."""
    run = result.run
    with one_snapshot():
        read = read_with_models(run)
        place = next(n for n, row in enumerate(read.scopes) if row.scope_id == result.scope_id)
        done = previewed(read, places=[place], key=("delta", "OTHER"))
    charge = done.charged.charges[0]
    said = statement_of(result, source="VENUE-X")
    said["components"] = [
        {"total": total, "component": name, "amount": format(amount, "f")}
        for total, parts in (
            ("initial_margin", charge.initial), ("maintenance_margin", charge.maintenance),
        )
        for name, amount in parts
    ]  # fmt: skip
    return said


def test_our_own_number_agrees_with_itself(desk: Desk) -> None:
    for result in (a_result(), a_result(parameter_set__isnull=True)):
        ours = our_components(result)
        assert sum(a for (total, _), a in ours.items() if total == "initial_margin") == (
            result.initial_margin
        )
        received = receive(
            file_of(statement_of(result, source="VENUE-X")), entity=desk.entity, actor=DESK
        )
        assert received.breaks == ()
        assert received.run == result.run
        assert received.statement.components.count() == len(ours)


def test_one_other_parameter_breaks_its_component_by_its_amount(desk: Desk) -> None:
    result = a_result()
    said = theirs(result)
    received = receive(file_of(said), entity=desk.entity, actor=DESK)
    names = {(each.total, each.component) for each in received.breaks}
    assert names == {("initial_margin", "gross_delta"), ("maintenance_margin", "gross_delta")}
    ours = our_components(result)
    for each in ExternalBreak.objects.filter(statement=received.statement):
        key = each.total, each.component
        amount = next(
            D(c["amount"]) for c in said["components"] if (c["total"], c["component"]) == key
        )
        assert (each.ours, each.theirs) == (ours[key], amount)
        assert each.difference == amount - ours[key] > 0
    # Half as much again: 0.03 in place of 0.02 of gross delta.
    initial = next(each for each in received.breaks if each.total == "initial_margin")
    assert initial.ours is not None
    assert abs(initial.difference - initial.ours / 2) <= D("0.02")


def test_a_component_that_one_side_lacks_is_a_break(desk: Desk) -> None:
    result = a_result()
    said = statement_of(result, source="CCP-1")
    gone = next(c for c in said["components"] if D(c["amount"]))
    said["components"].remove(gone)
    said["components"].append(
        {"total": gone["total"], "component": "concentration", "amount": "12.5"}
    )
    received = receive(file_of(said), entity=desk.entity, actor=DESK)
    found = {each.component: each for each in received.breaks}
    assert found.keys() == {gone["component"], "concentration"}
    assert (found["concentration"].ours, found["concentration"].difference) == (None, D("12.5"))
    assert (found[gone["component"]].theirs, found[gone["component"]].difference) == (
        None, -D(gone["amount"]),
    )  # fmt: skip


def test_a_table_says_the_same_as_an_object(desk: Desk) -> None:
    result = a_result()
    said = statement_of(result, source="CLIENT")
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(HEAD)
    for each in said["components"]:
        writer.writerow([said[name] for name in HEAD[:5]] + [each[name] for name in HEAD[5:]])
    received = receive(text.getvalue().encode(), entity=desk.entity, actor=DESK)
    assert received.breaks == ()
    assert dict(
        ExternalComponent.objects.filter(statement=received.statement).values_list(
            "component", "amount"
        )
    ).keys() == {each["component"] for each in said["components"]}


# ---------------------------------------------------------------- commitments


def test_a_commitment_is_opened_by_exactly_its_file(desk: Desk) -> None:
    result = a_result()
    bucket: Any = result.scope.bucket
    content = file_of(theirs(result))
    commit(
        source="VENUE-X", bucket=bucket, business_day=DAY, digest=sha256(content).hexdigest(),
        actor=DESK,
    )  # fmt: skip
    assert not ExternalComponent.objects.exists()
    other = file_of(statement_of(result, source="VENUE-X"))
    with pytest.raises(ExternalRefusedError, match="promised another file"):
        receive(other, entity=desk.entity, actor=DESK)
    assert not ExternalMargin.objects.filter(kind="statement").exists()
    received = receive(content, entity=desk.entity, actor=DESK)
    assert received.statement.opens == ExternalMargin.objects.get(kind="commitment")
    assert len(received.breaks) == 2


def test_the_database_refuses_another_opening_and_components_of_a_promise(
    desk: Desk, owner: Any
) -> None:
    result = a_result()
    bucket: Any = result.scope.bucket
    promise = commit(source="VENUE-X", bucket=bucket, business_day=DAY, digest="a" * 64, actor=DESK)
    opening = (
        "INSERT INTO margin_externalmargin (source, scope_id, business_day, kind, currency, sha256,"
        f" opens_id) VALUES ('VENUE-X', {result.scope_id}, '{DAY}', 'statement', 'USD',"
        f" '{'b' * 64}', {promise.pk})"
    )
    component = (
        "INSERT INTO margin_externalcomponent (statement_id, total, component, amount)"
        f" VALUES ({promise.pk}, 'initial_margin', 'x', 1)"
    )
    wrong = (
        "INSERT INTO margin_externalbreak (statement_id, run_id, total, component, ours, theirs,"
        f" difference) VALUES ({promise.pk}, {result.run_id}, 'initial_margin', 'x', 1, 3, 5)"
    )
    for rule, statement in (
        ("opening_is_what_was_committed", opening),
        ("commitment_says_nothing", component),
        ("external_break_is_a_difference", wrong),
    ):
        with raw_refused(rule), act(owner):
            owner.execute(statement)
    assert ExternalMargin.objects.count() == 1


# ---------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"format": "x"}, "file_is_read"),
        ({"components": []}, "file_has_components"),
        ({"components": 5}, "file_has_components"),
        ({"source": ""}, "file_is_whole"),
        ({"account": "nobody"}, "scope_is_known"),
        ({"business_day": "2031-03-09"}, "there_is_a_result"),
        ({"business_day": "soon"}, "day_is_a_date"),
        ({"currency": "EUR"}, "currency_is_the_same"),
        ({"components": [{"total": "equity", "component": "x", "amount": "1"}]}, "total_is_known"),
        (
            {"components": [{"total": "initial_margin", "component": "x", "amount": "NaN"}]},
            "amount_is_a_number",
        ),
        (
            {"components": [{"total": "initial_margin", "component": "x", "amount": "1"}] * 2},
            "component_is_said_once",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_and_nothing_is_kept(
    desk: Desk, change: dict[str, Any], rule: str
) -> None:
    said = statement_of(a_result(), source="VENUE-X") | change
    with pytest.raises(ExternalRefusedError) as refused:
        receive(file_of(said), entity=desk.entity, actor=DESK)
    assert refused.value.rule == rule
    assert not ExternalMargin.objects.exists()


def test_the_same_file_is_received_once(desk: Desk) -> None:
    content = file_of(statement_of(a_result(), source="VENUE-X"))
    receive(content, entity=desk.entity, actor=DESK)
    with pytest.raises(ExternalRefusedError, match="received already"):
        receive(content, entity=desk.entity, actor=DESK)
    assert ExternalMargin.objects.count() == 1


# ---------------------------------------------------------------- at the desk


def test_the_screen_takes_a_file_and_names_the_component(desk: Desk) -> None:
    result = a_result()
    browser = Browser()
    sign_in(browser, desk[Role.OPERATIONS])
    address = reverse("margin:external-new")
    wrong = browser.post(address, {"file": SimpleUploadedFile("a.json", b"{}")})
    assert wrong.status_code == 422
    content = file_of(theirs(result))
    answer = browser.post(address, {"file": SimpleUploadedFile("a.json", content)})
    assert answer.status_code == 302
    page = browser.get(reverse("margin:external")).content.decode()
    assert "gross_delta" in page
    assert "VENUE-X" in page
    promise = browser.post(
        f"{address}?as=commitment",
        {"source": "CCP-1", "scope": "A/B", "business_day": DAY.isoformat(), "sha256": "a" * 64},
    )
    assert promise.status_code == 422
    reader = Browser()
    sign_in(reader, desk[Role.AUDITOR])
    assert reader.get(reverse("margin:external")).status_code == 200
    assert reader.post(address, {"file": SimpleUploadedFile("b.json", content)}).status_code == 403
    assert ExternalMargin.objects.count() == 1


def test_the_command_prints_the_break_and_ends_with_one(desk: Desk, tmp_path: Path) -> None:
    result = a_result()
    bucket: Any = result.scope.bucket
    path, printed = tmp_path / "theirs.json", StringIO()
    path.write_bytes(file_of(theirs(result)))
    with pytest.raises(SystemExit) as ended:
        call_command("external_margin", str(path), "--json", stdout=printed)
    assert ended.value.code == 1
    breaks = json.loads(printed.getvalue())["breaks"]
    assert {each["component"] for each in breaks} == {"gross_delta"}
    ours = StringIO()
    call_command(
        "external_margin", "--ours", result.run.number, f"{bucket.account.code}/{bucket.code}",
        stdout=ours,
    )  # fmt: skip
    path.write_text(ours.getvalue())
    agreed = StringIO()
    call_command("external_margin", str(path), stdout=agreed)
    assert "agrees" in agreed.getvalue()
    with pytest.raises(CommandError) as refused:
        call_command("external_margin", str(tmp_path / "none.json"), stdout=StringIO())
    assert refused.value.returncode == 2
    assert MarginRun.objects.count() == 2


# ---------------------------------------------------------------- until it agrees


def open_tasks() -> list[Task]:
    return list(Task.objects.filter(kind=Task.Kind.EXTERNAL, closed_at__isnull=True))


def test_what_differs_has_an_owner_and_a_clock_until_a_corrected_statement_agrees(
    desk: Desk,
) -> None:
    result = a_result()
    said = theirs(result)
    receive(file_of(said), entity=desk.entity, actor=DESK)
    (task,) = open_tasks()
    assert task.owner == desk[Role.RISK]
    assert (task.scope, task.business_day) == (result.scope, DAY)
    assert task.due_at > task.opened_at
    assert "gross_delta" in task.detail
    said["components"][0]["amount"] = "1.00"
    receive(file_of(said), entity=desk.entity, actor=DESK)
    assert open_tasks() == [task], "one task, however many statements differ"
    other = statement_of(result, source="VENUE-Y")
    receive(file_of(other), entity=desk.entity, actor=DESK)
    assert open_tasks() == [task], "another source corrects nothing"
    corrected = statement_of(result, source="VENUE-X")
    received = receive(file_of(corrected), entity=desk.entity, actor=DESK)
    assert received.breaks == ()
    assert open_tasks() == []
    task.refresh_from_db()
    assert "corrected statement agrees" in task.close_reason


def test_where_both_sides_agree_a_person_says_so_and_nobody_else_closes_it(desk: Desk) -> None:
    receive(file_of(theirs(a_result())), entity=desk.entity, actor=DESK)
    (task,) = open_tasks()
    browser = Browser()
    sign_in(browser, desk[Role.RISK])
    address = reverse("margin:task-close", args=[task.pk])
    assert browser.post(address, {"reason": ""}).status_code == 422
    assert open_tasks() == [task]
    said = {"reason": "The venue uses 3 % and says so in its notice"}
    assert browser.post(address, said).status_code == 302
    assert open_tasks() == []
    page = browser.get(reverse("margin:external")).content.decode()
    assert "VENUE-X" in page
