"""Fixtures of the tests of people and four eyes."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from accounts.audit import Actor, acting
from accounts.provider import discovery
from tests.accounts.four import Four
from tests.accounts.people import add_operator, found_desk
from tests.accounts.provider import CLIENT, HERE, SECRET, SmallProvider, small_provider
from tests.accounts.raw import Connection

Connect = Callable[[str], Connection]


@pytest.fixture
def four(db: None, connect: Connect) -> Four:
    desk = found_desk()
    with acting(Actor.command("setup"), reason="A newcomer"):
        newcomer = add_operator("j.adeyemi", "J. Adeyemi")
    return Four(desk, connect("runtime"), connect("owner"), connect("superuser"), newcomer)


@pytest.fixture
def there(settings: Any) -> Iterator[SmallProvider]:
    discovery.forget()
    with small_provider() as found:
        settings.OIDC_ISSUER, settings.OIDC_CLIENT_ID = found.address, CLIENT
        settings.OIDC_CLIENT_SECRET, settings.OIDC_RETURN_ADDRESS = SECRET, HERE
        yield found
    discovery.forget()
