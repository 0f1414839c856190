"""The API: what the screens show, with the same rights and refusals."""

from pathlib import Path

import pytest
import yaml
from django.test import Client

from accounts.models import Role
from margin.models import CallEvent, MarginCall
from tests.accounts.people import Desk, found_desk, sign_in
from tests.stage import booked_days

LISTS = (
    "approvals", "audit", "balances", "entries", "locations", "breaks", "segregation",
    "margin-calls", "margin-runs", "marks", "tasks", "business-days", "reports", "jobs",
)  # fmt: skip


@pytest.fixture
def desk(db: None, tmp_path: Path) -> Desk:
    """A firm with one day in the book and somebody in every role."""
    booked_days(tmp_path / "firm", accounts=60, seed=3, days=1)
    from accounts.models import LegalEntity

    return found_desk(entity=LegalEntity.objects.get())


@pytest.mark.parametrize("name", LISTS)
def test_every_list_answers_a_reader_and_no_stranger(desk: Desk, client: Client, name: str) -> None:
    assert client.get(f"/api/{name}/").status_code in (302, 403)
    sign_in(client, desk[Role.RISK])
    assert client.get(f"/api/{name}/").status_code == 200


def test_the_schema_names_every_resource(desk: Desk, client: Client) -> None:
    sign_in(client, desk[Role.RISK])
    schema = yaml.safe_load(client.get("/api/schema/").content)
    for name in LISTS:
        assert f"/api/{name}/" in schema["paths"]


def test_numbers_are_texts(desk: Desk, client: Client) -> None:
    sign_in(client, desk[Role.RISK])
    call = client.get("/api/margin-calls/").json()["results"][0]
    stored = MarginCall.objects.get(number=call["number"])
    assert call["amount"] == format(stored.amount, "f")
    balance = client.get("/api/balances/").json()["results"][0]
    assert isinstance(balance["amount"], str)


def test_a_call_is_acknowledged_once_and_only_by_who_may(desk: Desk, client: Client) -> None:
    call = MarginCall.objects.filter(state="delivered").order_by("number")[0]
    address = f"/api/margin-calls/{call.number}/acknowledge/"
    said = {"words": "Wire this afternoon."}

    sign_in(client, desk[Role.AUDITOR])
    before = CallEvent.objects.count()
    assert client.post(address, said, content_type="application/json").status_code == 403
    assert CallEvent.objects.count() == before

    sign_in(client, desk[Role.OPERATIONS])
    first = client.post(address, said, content_type="application/json")
    assert first.status_code == 200
    assert first.json()["state"] == "acknowledged"
    again = client.post(address, said, content_type="application/json")
    assert again.status_code == 409
    assert again.json()["rule"] == "margin_call_transition_is_legal"
    assert CallEvent.objects.filter(call=call, event="acknowledged").count() == 1


def test_another_legal_entity_sees_nothing(desk: Desk, client: Client) -> None:
    other = found_desk(code="EB-UK")
    sign_in(client, other[Role.OPERATIONS])
    assert client.get("/api/margin-calls/").json()["results"] == []
    assert client.get("/api/balances/").json()["results"] == []
    call = MarginCall.objects.order_by("number")[0]
    assert client.get(f"/api/margin-calls/{call.number}/").status_code == 404


def test_the_explanation_adds_up(desk: Desk, client: Client) -> None:
    sign_in(client, desk[Role.RISK])
    run = client.get("/api/margin-runs/").json()["results"][0]["number"]
    scope = client.get(f"/api/margin-runs/{run}/results/").json()["results"][0]
    tree = client.get(
        f"/api/margin-runs/{run}/explanation/{scope['account']}/{scope['bucket']}/"
    ).json()
    assert tree["equity"]["amount"].rstrip("0") == scope["equity"].rstrip("0")


def test_a_report_comes_with_its_manifest(desk: Desk, client: Client) -> None:
    sign_in(client, desk[Role.COMPLIANCE])
    first = client.get("/api/reports/segregation/?date=2031-03-03&as=csv")
    assert first.content == client.get("/api/reports/segregation/?date=2031-03-03&as=csv").content
    manifest = client.get("/api/reports/segregation/?date=2031-03-03&as=manifest").json()
    assert manifest["run"] == "MR-310303-1"
    assert client.get("/api/reports/segregation/?date=1999-01-01").status_code == 409
