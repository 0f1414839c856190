"""Fixtures of the tests of people and four eyes."""

from collections.abc import Callable

import pytest

from accounts.audit import Actor, acting
from tests.accounts.four import Four
from tests.accounts.people import add_operator, found_desk
from tests.accounts.raw import Connection

Connect = Callable[[str], Connection]


@pytest.fixture
def four(db: None, connect: Connect) -> Four:
    desk = found_desk()
    with acting(Actor.command("setup"), reason="A newcomer"):
        newcomer = add_operator("j.adeyemi", "J. Adeyemi")
    return Four(desk, connect("runtime"), connect("owner"), connect("superuser"), newcomer)
