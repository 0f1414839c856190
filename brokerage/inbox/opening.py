"""Opening the book: reference data and opening state become rows and entries, once."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal

from accounts.bulk import copy_rows
from accounts.models import (
    AccountAgreement,
    Agreement,
    AgreementVersion,
    Bucket,
    Client,
    LegalEntity,
    MarginAccount,
    PersonKey,
    Scope,
)
from accounts.personal import new_key, seal_text
from brokerage.inbox.reference import Reference
from brokerage.inbox.reference.terms import BASE, FIRM, FREE, PerpTerms
from brokerage.models import Firm
from ledger.models import (
    Asset,
    Location,
    LocationAsset,
    Pool,
    Statement,
    StatementFile,
)
from ledger.posting import AccountKey, Draft, Leg, open_accounts, post_entries
from margin.models import Bracket, Haircut, InstrumentTerms, Mark

ENTITY_CODE = "MAIN"
MODEL = "house-rules"
PARAMETERS = "v1"
CALL_DUE_FOR = timedelta(days=1)
NO_LETTER = "declared in reference.yaml"
ZERO = Decimal(0)


def open_book(reference: Reference, *, reference_file: bytes) -> Firm:
    """Write everything reference.yaml says; call inside an act, on an empty book."""
    entity, _ = LegalEntity.objects.get_or_create(
        code=ENTITY_CODE, defaults={"name": reference.firm_name}
    )
    assets = _open_assets(reference)
    locations = _open_locations(reference, entity=entity, assets=assets)
    buckets = _open_accounts(reference, entity=entity)
    _open_terms(reference, assets=assets)
    _open_statements(reference, locations=locations, reference_file=reference_file)
    _post_opening(reference, assets=assets, locations=locations, buckets=buckets)
    return Firm.objects.create(
        legal_entity=entity,
        as_of_time=reference.as_of_time,
        house_rules=PARAMETERS,
        reference_sha256=reference.content_sha256,
        opening_day=reference.opening.business_day,
    )


def _open_assets(reference: Reference) -> dict[str, Asset]:
    assets = {
        asset.code: Asset(code=asset.code, kind="money", scale=asset.scale)
        for asset in reference.assets.values()
    }
    copy_rows(assets.values())
    instruments = {
        terms.code: Asset(
            code=terms.code,
            kind="derivative" if isinstance(terms, PerpTerms) else "security",
            scale=terms.quantity_scale,
            price_scale=terms.price_scale,
            settles_in=assets[terms.settles_in if isinstance(terms, PerpTerms) else BASE],
        )
        for terms in reference.instruments.values()
    }
    copy_rows(instruments.values())
    return assets | instruments


def _open_locations(
    reference: Reference, *, entity: LegalEntity, assets: dict[str, Asset]
) -> dict[str, Location]:
    pools = {
        code: Pool(legal_entity=entity, code=code, owner_class=code) for code in reference.pools
    }
    copy_rows(pools.values())
    locations = {
        place.code: Location(
            code=place.code,
            pool=pools[place.pool],
            kind=place.kind,
            title="omnibus" if place.pool == "CLIENT" else "own",
            account_number=place.account_id or "",
            venue=place.code.partition(":")[2] if place.kind == "venue" else "",
            letter_reference=NO_LETTER if place.pool == "CLIENT" else "",
        )
        for place in reference.locations.values()
    }
    copy_rows(locations.values())
    copy_rows(
        LocationAsset(location=locations[place.code], asset=assets[code])
        for place in reference.locations.values()
        for code in place.assets
    )
    return locations


def _open_accounts(reference: Reference, *, entity: LegalEntity) -> dict[tuple[str, str], Bucket]:
    """Clients, accounts, buckets, scopes and the agreements they are under."""
    first_day = reference.opening.business_day
    keys = {code: PersonKey(key=new_key()) for code in reference.clients}
    copy_rows(keys.values())
    clients = {
        client.code: Client(
            legal_entity=entity,
            code=client.code,
            name_sealed=seal_text(keys[client.code], client.name),
            person_key=keys[client.code],
        )
        for client in reference.clients.values()
    }
    copy_rows(clients.values())
    accounts = {
        account.code: MarginAccount(
            legal_entity=entity,
            code=account.code,
            owner_class=account.pool,
            client=None if account.owner == FIRM else clients[account.owner],
            mode=account.mode,
            opened_on=first_day,
        )
        for account in reference.accounts.values()
    }
    copy_rows(accounts.values())
    _open_agreements(reference, entity=entity, accounts=accounts)
    buckets = {
        (account.code, code): Bucket(
            account=accounts[account.code],
            code=code,
            role="FREE" if code == FREE else "ISOLATED",
            instrument_code="" if code == FREE else code.removeprefix("ISO-"),
            is_margined=account.mode != "isolated" or code != FREE,
        )
        for account in reference.accounts.values()
        for code in account.buckets
    }
    copy_rows(buckets.values())
    copy_rows(Scope(bucket=bucket) for bucket in buckets.values() if bucket.is_margined)
    return buckets


def _open_agreements(
    reference: Reference, *, entity: LegalEntity, accounts: dict[str, MarginAccount]
) -> None:
    first_day = reference.opening.business_day
    agreements = {code: Agreement(legal_entity=entity, code=code) for code in reference.agreements}
    copy_rows(agreements.values())
    copy_rows(
        AgreementVersion(
            agreement=agreements[terms.code],
            version=1,
            effective_from=first_day,
            model=MODEL,
            parameters=PARAMETERS,
            call_level=terms.call_level,
            liquidation_level=terms.liquidation_level,
            minimum_transfer_amount=terms.minimum_transfer_amount,
            currency=BASE,
            call_due_for=CALL_DUE_FOR,
            eligible_collateral=sorted(reference.assets),
        )
        for terms in reference.agreements.values()
    )
    copy_rows(
        AccountAgreement(
            account=accounts[account.code],
            agreement=agreements[account.agreement],
            effective_from=first_day,
        )
        for account in reference.accounts.values()
    )


def _open_terms(reference: Reference, *, assets: dict[str, Asset]) -> None:
    """Haircuts, rates and brackets, version 1; and the marks of the evening before."""
    first_day = reference.opening.business_day
    copy_rows(
        Haircut(asset=assets[a.code], version=1, effective_from=first_day, haircut=a.haircut)
        for a in reference.assets.values()
    )
    terms = {
        code: InstrumentTerms(
            asset=assets[code],
            version=1,
            effective_from=first_day,
            initial_rate=None if isinstance(t, PerpTerms) else t.initial_rate,
            maintenance_rate=None if isinstance(t, PerpTerms) else t.maintenance_rate,
        )
        for code, t in reference.instruments.items()
    }
    copy_rows(terms.values())
    copy_rows(
        Bracket(
            terms=terms[code],
            floor=b.floor,
            initial_rate=b.initial_rate,
            maintenance_rate=b.maintenance_rate,
        )
        for code, t in reference.instruments.items()
        if isinstance(t, PerpTerms)
        for b in t.brackets
    )
    copy_rows(
        Mark(
            asset=assets[code],
            as_of=reference.as_of(first_day),
            business_day=first_day,
            price=price,
            state=Mark.State.VALID,
            used=[],
            dropped=[],
        )
        for code, price in reference.opening.marks.items()
    )


def _open_statements(
    reference: Reference, *, locations: dict[str, Location], reference_file: bytes
) -> None:
    """The closing balance of each bank's last statement, which its next one opens with."""
    file = StatementFile.objects.create(
        sha256=reference.content_sha256, name="reference.yaml", content=reference_file
    )
    copy_rows(
        Statement(
            location=locations[code],
            business_day=reference.opening.business_day,
            file=file,
            format="reference",
            parser_version="1",
            closing=closing,
            lines_read=0,
        )
        for code, closing in reference.opening.statement_closing.items()
    )


def _post_opening(
    reference: Reference,
    *,
    assets: dict[str, Asset],
    locations: dict[str, Location],
    buckets: dict[tuple[str, str], Bucket],
) -> None:
    """One entry per balance against the pool's opening clearing, which ends at zero."""
    pools = {place.pool.code: place.pool for place in locations.values()}
    wanted: list[tuple[str, AccountKey, Decimal, Decimal | None]] = []

    def balance(
        name: str,
        account: AccountKey,
        amount: Decimal,
        average: Decimal | None = None,
    ) -> None:
        wanted.append((name, account, amount, average))

    for location, asset in (
        (locations[place.code], assets[code])
        for place in reference.locations.values()
        for code in place.assets
    ):
        key = AccountKey(location.pool_id, asset.pk, "custody", None, location.pk)
        balance(f"custody:{location.code}:{asset.code}", key, ZERO)
    for held in reference.opening.custody:
        place = locations[held.location]
        key = AccountKey(place.pool_id, assets[held.asset].pk, "custody", None, place.pk)
        balance(f"custody:{held.location}:{held.asset}", key, held.quantity)
    for claim in reference.opening.claims:
        bucket = buckets[claim.account, claim.bucket]
        pool = pools[bucket.account.owner_class]
        key = AccountKey(pool.pk, assets[claim.asset].pk, "claim", bucket.pk)
        balance(f"claim:{claim.account}:{claim.bucket}:{claim.asset}", key, -claim.amount)
    for held_by in reference.opening.positions:
        bucket = buckets[held_by.account, held_by.bucket]
        pool = pools[bucket.account.owner_class]
        key = AccountKey(pool.pk, assets[held_by.instrument].pk, "position", bucket.pk)
        name = f"position:{held_by.account}:{held_by.bucket}:{held_by.instrument}"
        balance(name, key, -held_by.quantity, held_by.average_cost)
    for loan in reference.opening.loans:
        bucket = buckets[loan.account, FREE]
        key = AccountKey(pools["HOUSE"].pk, assets[BASE].pk, "loan_receivable", bucket.pk)
        balance(f"loan:{loan.account}", key, loan.amount)
    for firm in reference.opening.firm_balance:
        pool = pools[firm.pool]
        key = AccountKey(pool.pk, assets[firm.asset].pk, _firm_class(firm.pool, firm.amount))
        balance(f"firm:{firm.pool}:{firm.asset}", key, -firm.amount)

    clearing = {
        (key.pool_id, key.asset_id): AccountKey(key.pool_id, key.asset_id, "opening")
        for _, key, _, _ in wanted
    }
    ids = open_accounts(list(dict.fromkeys([*(k for _, k, _, _ in wanted), *clearing.values()])))
    at = datetime.combine(reference.opening.business_day, time(23, 59, 59), tzinfo=UTC)
    post_entries(
        Draft(
            key=f"opening:{name}",
            kind="opening",
            effective_at=at,
            reference="opening",
            legs=[
                Leg(ids[key], amount, average=average),
                Leg(ids[clearing[key.pool_id, key.asset_id]], -amount),
            ],
        )
        for name, key, amount, average in _custody_first(wanted)
        if amount
    )


def _firm_class(pool: str, amount: Decimal) -> str:
    """Where the firm's balance of a pool stands: of CLIENT, what is missing is the shortfall."""
    if pool != "CLIENT":
        return "own_equity"
    return "residual_interest" if amount >= 0 else "shortfall"


def _custody_first(
    wanted: list[tuple[str, AccountKey, Decimal, Decimal | None]],
) -> Iterator[tuple[str, AccountKey, Decimal, Decimal | None]]:
    """What is held before what is owed; a name that is listed twice is one balance."""
    totals: dict[str, Decimal] = defaultdict(Decimal)
    for name, _, amount, _ in wanted:
        totals[name] += amount
    unique = {name: (name, key, totals[name], average) for name, key, _, average in wanted}
    yield from sorted(unique.values(), key=lambda item: not item[0].startswith("custody:"))
