"""The firm on which tests of the book work: its assets, pools, clients, accounts and locations."""

from collections.abc import Mapping
from datetime import date

from accounts.models import Bucket, Client, LegalEntity, MarginAccount, PersonKey
from accounts.personal import new_key, seal_text
from ledger.models import Asset, Location, LocationAsset, Pool
from ledger.posting import AccountKey

DAY = date(2026, 2, 5)

# name: pool, kind, title, assets
LOCATIONS = {
    "client_bank": ("CLIENT", "bank", "omnibus", ("USD",)),
    "carol_bank": ("CLIENT", "bank", "individual", ("USD",)),
    "client_wallet": ("CLIENT", "wallet", "omnibus", ("BTC",)),
    "client_vault": ("CLIENT", "wallet", "omnibus", ("BTC",)),
    "custodian": ("CLIENT", "custodian", "omnibus", ("SPY",)),
    "venue": ("CLIENT", "venue", "omnibus", ("USD", "BTC-PERP")),
    "house_bank": ("HOUSE", "bank", "own", ("USD",)),
    "house_savings": ("HOUSE", "custodian", "own", ("USD",)),
    "house_custodian": ("HOUSE", "custodian", "own", ("SPY",)),
    "insurance_bank": ("INSURANCE", "bank", "own", ("USD",)),
    "other_bank": ("OTHER", "bank", "own", ("USD",)),
}
# name: pool, class
FIRM_SIDES = {
    "residual": ("CLIENT", "residual_interest"),
    "shortfall": ("CLIENT", "shortfall"),
    "unallocated": ("CLIENT", "unallocated"),
    "client_transit": ("CLIENT", "in_transit"),
    "house_equity": ("HOUSE", "own_equity"),
    "house_transit": ("HOUSE", "in_transit"),
    "insurance_equity": ("INSURANCE", "own_equity"),
    "other_equity": ("OTHER", "own_equity"),
}
# name: owner (None is the firm), mode, {bucket: is margined}
ACCOUNTS: Mapping[str, tuple[str | None, str, Mapping[str, bool]]] = {
    "alice": ("alice", "isolated", {"FREE": False, "ISO": True, "HOLD": False}),
    "bob": ("bob", "cross", {"FREE": True, "HOLD": False}),
    "carol": ("carol", "cash", {"FREE": False}),
    "prop": (None, "cross", {"FREE": False}),
}


def account_key(
    name: str,
    *,
    pools: Mapping[str, Pool],
    assets: Mapping[str, Asset],
    locations: Mapping[str, Location],
    buckets: Mapping[str, Bucket],
) -> AccountKey:
    """What makes the ledger account of this name."""
    base, _, code = name.partition(":")
    asset = assets[code or "USD"]
    if base in locations:
        place = locations[base]
        return AccountKey(place.pool_id, asset.pk, "custody", location_id=place.pk)
    if base in FIRM_SIDES:
        pool, account_class = FIRM_SIDES[base]
        return AccountKey(pools[pool].pk, asset.pk, account_class)
    what, _, whose = base.partition("/")
    if what == "opening":
        return AccountKey(pools[whose].pk, asset.pk, "opening")
    if what == "loan":
        bucket = buckets[whose]
        return AccountKey(pools["HOUSE"].pk, asset.pk, "loan_receivable", bucket_id=bucket.pk)
    bucket = buckets[base]
    account_class = "claim" if asset.kind == "money" else "position"
    pool = pools[bucket.account.owner_class]
    return AccountKey(pool.pk, asset.pk, account_class, bucket_id=bucket.pk)


def found_assets() -> dict[str, Asset]:
    usd = Asset.objects.create(code="USD", kind="money", scale=2)
    btc = Asset.objects.create(code="BTC", kind="money", scale=8)
    spy = Asset.objects.create(code="SPY", kind="security", scale=0, price_scale=2, settles_in=usd)
    perp = Asset.objects.create(
        code="BTC-PERP", kind="derivative", scale=4, price_scale=2, settles_in=usd
    )
    return {asset.code: asset for asset in (usd, btc, spy, perp)}


def found_client(entity: LegalEntity, name: str) -> Client:
    key = PersonKey.objects.create(key=new_key())
    return Client.objects.create(
        legal_entity=entity, code=name, name_sealed=seal_text(key, name), person_key=key
    )


def found_accounts(entity: LegalEntity, clients: Mapping[str, Client]) -> dict[str, Bucket]:
    buckets = {}
    for name, (owner, mode, codes) in ACCOUNTS.items():
        account = MarginAccount.objects.create(
            legal_entity=entity,
            code=name,
            owner_class="HOUSE" if owner is None else "CLIENT",
            client=None if owner is None else clients[owner],
            mode=mode,
            opened_on=DAY,
        )
        for code, is_margined in codes.items():
            bucket = Bucket.objects.create(
                account=account,
                code=code,
                role="ISOLATED" if code == "ISO" else code,
                instrument_code="BTC-PERP" if code == "ISO" else "",
                is_margined=is_margined,
            )
            buckets[name if code == "FREE" else f"{name}/{code}"] = bucket
    return buckets


def found_locations(
    pools: Mapping[str, Pool], assets: Mapping[str, Asset], *, carol: Client
) -> dict[str, Location]:
    locations = {}
    for code, (pool, kind, title, carried) in LOCATIONS.items():
        place = Location.objects.create(
            code=code,
            pool=pools[pool],
            kind=kind,
            title=title,
            individual_client=carol if title == "individual" else None,
            letter_reference=f"letter {code}" if pool == "CLIENT" else "",
        )
        for asset in carried:
            LocationAsset.objects.create(location=place, asset=assets[asset])
        locations[code] = place
    return locations
