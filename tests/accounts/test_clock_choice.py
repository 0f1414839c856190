"""Each person reads the clock they chose; the desk's days and exports do not follow it."""

from datetime import UTC, datetime

import pytest
from django.test import Client as Browser
from django.urls import reverse

from accounts.clock import ZONES, desk_zone, read_in, shown_instant, shown_zone, zone_label
from accounts.models import Operator, Role
from tests.accounts.people import Desk, found_desk, sign_in

CLOSE = datetime(2031, 3, 3, 21, tzinfo=UTC)


@pytest.fixture
def desk(db: None) -> Desk:
    return found_desk()


def test_an_instant_is_written_in_the_zone_of_the_reader() -> None:
    assert shown_instant(CLOSE, form="full") == "3 Mar 2031 16:00:00 EST"
    with read_in("Asia/Tokyo"):
        assert shown_instant(CLOSE, form="full") == "4 Mar 2031 06:00:00 JST"
        assert desk_zone().key == "America/New_York"
    assert zone_label(CLOSE) == "EST"


def test_a_zone_that_this_machine_does_not_know_is_the_desks() -> None:
    with read_in("Mars/Olympus"):
        assert shown_zone() == desk_zone()


@pytest.mark.parametrize("zone", ZONES)
def test_every_zone_to_choose_is_known(zone: str) -> None:
    with read_in(zone):
        assert shown_zone().key == zone


def test_a_person_chooses_the_clock_and_others_keep_theirs(desk: Desk, client: Browser) -> None:
    sign_in(client, desk[Role.OPERATIONS])
    page = reverse("accounts:audit")
    assert "Times in New York, UTC beside" in client.get(page).content.decode()
    answer = client.post(reverse("accounts:clock"), {"zone": "Asia/Tokyo", "next": page})
    assert answer["Location"] == page
    assert Operator.objects.get(username="l.brandt").time_zone == "Asia/Tokyo"
    shown = client.get(page).content.decode()
    assert "Times in Tokyo, UTC beside" in shown
    assert "JST" in shown
    sign_in(client, desk[Role.RISK])
    assert "Times in New York, UTC beside" in client.get(page).content.decode()


def test_a_zone_that_is_not_offered_is_refused(desk: Desk, client: Browser) -> None:
    sign_in(client, desk[Role.OPERATIONS])
    answer = client.post(reverse("accounts:clock"), {"zone": "Mars/Olympus"})
    assert answer.status_code == 400
    assert Operator.objects.get(username="l.brandt").time_zone == ""
