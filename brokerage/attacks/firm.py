"""The invented firm whose book is attacked, and what the attacks call its parts."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_hex
from string import Template
from typing import Any

from django.conf import settings
from django.db import connection, connections
from psycopg.conninfo import make_conninfo

from accounts.audit import Actor, acting
from accounts.models import AccountGroup, GroupMember, LegalEntity, MarginAccount, Operator, Role
from brokerage.attacks.forms import draft
from brokerage.attacks.names import AGREED, CARL_VERSION, NAMES, PERP_PRICE, TRADE
from brokerage.attacks.scratch import AttackRefusedError
from brokerage.inbox.day_job import run_day_here
from brokerage.synthetic import CALM, write_firm
from ledger.models import Break, Location, LocationAsset, Pool
from ledger.posting import AccountKey, open_accounts

# By name, everything that attacks speak of: ids, session keys, texts.
Scene = dict[str, str]

SETUP = Actor.command("attack")
ACCOUNTS, SEED = 24, 5
PEOPLE = (
    ("operations", Role.OPERATIONS),
    ("operations_2", Role.OPERATIONS),
    ("treasury", Role.TREASURY),
    ("risk", Role.RISK),
    ("compliance", Role.COMPLIANCE),
    ("auditor", Role.AUDITOR),
    ("administrator", Role.ADMINISTRATOR),
    ("administrator_2", Role.ADMINISTRATOR),
)


@contextmanager
def at_work_in(database: str) -> Iterator[Scene]:
    """Have the product work in a database of this name, and found the firm there.

    Yields:
        What the attacks call its parts.
    """
    addresses = dict(settings.DATABASE_ADDRESSES)
    name, heads = connection.settings_dict["NAME"], settings.SEAL_HEADS
    connections.close_all()
    connection.settings_dict["NAME"] = database
    with tempfile.TemporaryDirectory(prefix="brokerage-attack-") as folder:
        settings.SEAL_HEADS = Path(folder) / "heads.ndjson"
        for role, address in addresses.items():
            settings.DATABASE_ADDRESSES[role] = make_conninfo(address, dbname=database)
        try:
            yield found_firm(Path(folder))
        finally:
            connections.close_all()
            connection.settings_dict["NAME"], settings.SEAL_HEADS = name, heads
            settings.DATABASE_ADDRESSES.update(addresses)


def found_firm(folder: Path) -> Scene:
    """Run a day of an invented firm, and make what the attacks need besides."""
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    while yesterday.weekday() > 4:
        yesterday -= timedelta(days=1)
    (day,) = write_firm(
        folder / "inbox", accounts=ACCOUNTS, seed=SEED, first_day=yesterday, days=1, profile=CALM
    )
    run_day_here(day)
    scene = {"now": datetime.now(UTC).isoformat(), "day": yesterday.isoformat()}
    entity = LegalEntity.objects.get()
    scene |= _people(entity)
    _open_more(entity)
    for called, query in NAMES.items():
        scene[called] = _one(Template(query).substitute(scene), called)
    _open_positions(scene)
    _around(entity, scene)
    _requests(scene)
    _history(scene)
    return scene


def _one(query: str, called: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(query)
        row = cursor.fetchone()
    if row is None or row[0] is None:
        raise AttackRefusedError(f"The invented firm has no {called}.")
    return str(row[0])


# ---------------------------------------------------------------- people


def _people(entity: LegalEntity) -> Scene:
    with acting(SETUP, reason="The people of the invented firm"):
        people = {
            called: Operator.objects.create(username=f"attack.{called}", full_name=called)
            for called, _ in PEOPLE
        }
        grants = [{"operator": people[called].pk, "role": role.value} for called, role in PEOPLE]
        newcomer = Operator.objects.create(username="attack.new", full_name="new")
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT accounts.found_desk(%s, %s::jsonb)", [entity.pk, json.dumps(grants)]
            )
    scene = {"newcomer": str(newcomer.pk), "entity": str(entity.pk)}
    for called, operator in people.items():
        scene[called] = str(operator.pk)
        scene[f"key_{called}"] = _session(operator.pk)
    ended = _session(people["operations"].pk)
    with connection.cursor() as cursor:
        cursor.execute("SELECT accounts.end_session(%s)", [ended])
    return scene | {"key_ended": ended}


def _session(operator: int) -> str:
    key = token_hex(16)
    with connection.cursor() as cursor:
        cursor.execute("SELECT accounts.open_session(%s, %s, interval '1 hour')", [operator, key])
    return key


# ---------------------------------------------------------------- places and accounts


def _open_more(entity: LegalEntity) -> None:
    """Ledger accounts a calm day has no use for, and a second firm."""
    client = Pool.objects.get(code="CLIENT")
    dollars = int(_one("SELECT id FROM ledger_asset WHERE code = 'USD'", "dollar"))
    with acting(SETUP, reason="Accounts that a calm day has no use for"):
        other = LegalEntity.objects.create(code="OTHER", name="Another firm")
        pool = Pool.objects.create(legal_entity=other, code="HOUSE", owner_class="HOUSE")
        wanted = [
            AccountKey(client.pk, dollars, account_class)
            for account_class in ("shortfall", "unallocated", "in_transit")
        ]
        bank = Location.objects.create(code="other_bank", pool=pool, kind="bank", title="own")
        LocationAsset.objects.create(location=bank, asset_id=dollars)
        open_accounts(
            [
                *wanted,
                AccountKey(pool.pk, dollars, "opening"),
                AccountKey(pool.pk, dollars, "own_equity"),
                AccountKey(pool.pk, dollars, "custody", location_id=bank.pk),
            ]
        )


def _open_positions(scene: Scene) -> None:
    """Positions of a client who has none yet."""
    pool, bucket = int(scene["clients"]), int(scene["alice_bucket"])
    keys = {
        called: AccountKey(pool, int(scene[asset]), "position", bucket_id=bucket)
        for called, asset in (("alice_perp", "perp_asset"), ("alice_shares", "share"))
    }
    with acting(SETUP, reason="Positions of the invented firm"):
        ids = open_accounts(list(keys.values()))
    scene |= {called: str(ids[key]) for called, key in keys.items()}


def _around(entity: LegalEntity, scene: Scene) -> None:
    """What hangs on accounts and places: a group, a break."""
    account = MarginAccount.objects.get(pk=scene["alice_account"])
    with acting(SETUP, reason="A group and a break"):
        group = AccountGroup.objects.create(
            legal_entity=entity, code="attack", owner_class="CLIENT", client=account.client
        )
        GroupMember.objects.create(group=group, account=account, joined_on=scene["day"])
        found = Break.objects.create(
            location=Location.objects.get(pk=scene["client_bank_place"]),
            business_day=scene["day"], ordinal=900, kind=Break.Kind.MISSING_IN_LEDGER,
        )  # fmt: skip
    scene |= {"group": str(group.pk), "break": str(found.pk)}


# ---------------------------------------------------------------- what needs two people


def _ask(scene: Scene, maker: str, action: str, payload: dict[str, Any]) -> str:
    with acting(Actor.person(scene[f"key_{maker}"]), reason="Asks"), connection.cursor() as cursor:
        cursor.execute(
            "SELECT accounts.request_approval(%s, %s, %s, %s::jsonb, %s)",
            [scene["entity"], action, payload.get("key", "attack"), json.dumps(payload),
             "A reason that is long enough"],
        )  # fmt: skip
        return str(cursor.fetchone()[0])


def _decide(scene: Scene, checker: str, approval: str, verdict: str = "approved") -> str:
    actor = Actor.person(scene[f"key_{checker}"])
    with acting(actor, reason="Decides"), connection.cursor() as cursor:
        cursor.execute(
            "SELECT accounts.decide_approval(%s, %s, 'A reason that is long enough')",
            [approval, verdict],
        )
    return approval


def _requests(scene: Scene) -> None:
    """Requests in every state."""
    role = {"operator": int(scene["newcomer"]), "role": "risk", "desk": ""}
    scene["role_payload"] = json.dumps(role)
    scene["asked"] = _ask(scene, "administrator", "role.grant", role)
    rejected = _ask(scene, "administrator", "role.grant", role)
    scene["rejected"] = _decide(scene, "administrator_2", rejected, "rejected")
    given = _ask(scene, "administrator", "role.grant", role)
    scene["approved"] = _decide(scene, "administrator_2", given)
    used = _ask(scene, "administrator", "role.grant", role | {"role": "treasury"})
    scene["used"] = _decide(scene, "administrator_2", used)
    with acting(SETUP, reason="Gives a role"), connection.cursor() as cursor:
        cursor.execute("SELECT accounts.grant_role(%s)", [used])
        scene["grant"] = str(cursor.fetchone()[0])


def _agreed(scene: Scene, content: dict[str, Any]) -> str:
    """The approval of exactly this entry by two people."""
    told = json.loads(Template(json.dumps(content)).substitute(scene))
    asked = _ask(scene, "operations", f"entry.{told['kind']}", told)
    return _decide(scene, "treasury", asked)


# ---------------------------------------------------------------- history


def _post(scene: Scene, content: dict[str, Any]) -> str:
    batch = Template(json.dumps([content])).substitute(scene)
    with acting(SETUP, reason="The past of the invented firm"), connection.cursor() as cursor:
        cursor.execute("SELECT entry_id FROM ledger.post_entries(%s::jsonb)", [batch])
        return str(cursor.fetchone()[0])


def _reversal(scene: Scene, entry: str, key: str) -> dict[str, Any]:
    legs = json.loads(_one(f"SELECT ledger.reversal_of({entry})", "reversal"))
    return {**draft("reversal", key=key, reverses=int(entry)), "legs": legs}


def _history(scene: Scene) -> None:
    """Entries that attacks speak of: undone, traded over, released, and short of money."""
    deposit = draft("deposit", ("client_bank", "5"), ("alice", "-5"), key="past deposit")
    scene["deposit"] = _post(scene, deposit)
    undone = _reversal(scene, scene["deposit"], "past reversal")
    _post(scene, {**undone, "approval": _agreed(scene, undone)})
    for called, of in (("second_reversal", "deposit"), ("older_trade", "traded")):
        if of == "traded":
            scene["traded"] = _post(scene, TRADE | {"key": "past trade"})
            _post(scene, TRADE | {"key": "past trade 2"})
        content = _reversal(scene, scene[of], f"attack {called}")
        agreed = json.dumps([{**content, "approval": _agreed(scene, content)}])
        scene[called] = Template(agreed).substitute(scene)
    receipt = draft("unidentified_receipt", ("client_bank", "7"), ("unallocated", "-7"))
    _post(scene, receipt | {"key": "past receipt"})
    _sums(scene)
    # All that the firm has in the pool is needed to cover what is missing there.
    missing = draft("bank_error", ("shortfall", "$most"), ("client_bank", "-$most"), key="error")
    _post(scene, {**missing, "approval": _agreed(scene, missing)})
    for called, content in AGREED.items():
        scene[f"agreed_{called}"] = _agreed(scene, content)
    _releases(scene)


def _sums(scene: Scene) -> None:
    """Amounts that follow from what stands: more than there is, and a loss beyond a bucket."""
    stands = "SELECT trim_scale(-amount + ({more})) FROM ledger_balance WHERE account_id = {of}"
    for called, of, more in (
        ("most", "residual", "0"),
        ("beyond", "residual", "0.01"),
        ("too_much", "residual", "1"),
        ("beyond_alice", "alice", "0.01"),
        ("alice_has", "alice", "0"),
        ("alice_loses", "alice", "50"),
        ("loan_beyond", "loan", "-0.01"),  # a debit, so the other way round
    ):
        scene[called] = _one(stands.format(of=scene[of], more=more), called).removeprefix("-")
    scene["loss_price"] = _one(
        f"SELECT trim_scale({PERP_PRICE} - {scene['alice_loses']} / 2)", "price"
    )


def _releases(scene: Scene) -> None:
    """Releases of a margined bucket: as it stands, as it does not, and one that was used."""
    withdrawal = draft("withdrawal", ("carl", "5"), ("client_bank", "-5"), key="past withdrawal")
    scene["used_release"] = _release(scene, version=_version(scene))
    _post(scene, withdrawal | {"release": scene["used_release"]})
    scene["release"] = _release(scene, version=_version(scene))
    scene["stale_release"] = _release(scene, version=_version(scene) + 1)


def _version(scene: Scene) -> int:
    return int(_one(Template(CARL_VERSION).substitute(scene), "version"))


def _release(scene: Scene, *, version: int) -> str:
    with acting(SETUP, reason="Margin releases"), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO ledger_release (id, bucket_id, kind_id, asset_id, amount,"
            " price_snapshot, scope_version, binding_term) VALUES (gen_random_uuid(), %s,"
            " 'withdrawal', %s, 5, '', %s, '') RETURNING id",
            [scene["carl_bucket"], scene["dollars"], version],
        )
        return str(cursor.fetchone()[0])
