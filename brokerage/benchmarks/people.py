"""People of a benchmark's firm, so that its pages can be asked for."""

import json

from django.contrib.auth.hashers import make_password
from django.contrib.sessions.backends.db import SessionStore
from django.db import connection
from django.http import HttpRequest

from accounts import operators
from accounts.audit import acting
from accounts.models import LegalEntity, Operator, Role
from brokerage.benchmarks.scratch import BENCH, Scratch
from ledger.models import Pool

ROLES = (Role.RISK, Role.ADMINISTRATOR, Role.ADMINISTRATOR)


def signed_in(scratch: Scratch) -> str:
    """Found the desk of the firm, sign somebody of risk in; the key of the session."""
    pool = Pool.objects.get(pk=scratch.pool)
    return signed_in_at(LegalEntity.objects.get(pk=pool.legal_entity_id))


def signed_in_at(entity: LegalEntity) -> str:
    """Found the desk of a legal entity, sign somebody of risk in; the key of the session."""
    with acting(BENCH, reason="The people of the benchmark"):
        people = [
            Operator.objects.create(
                username=f"bench.{n}", full_name=f"Bench {n}", password=make_password(None)
            )
            for n, _ in enumerate(ROLES)
        ]
        grants = [
            {"operator": operator.pk, "role": role.value}
            for operator, role in zip(people, ROLES, strict=True)
        ]
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT accounts.found_desk(%s, %s::jsonb)", [entity.pk, json.dumps(grants)]
            )
    request = HttpRequest()
    request.session = SessionStore()
    key: str = operators.open_session(request, people[0])
    request.session.save()
    return key
