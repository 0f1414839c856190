"""Parameter rows as the engine's terms."""

from margin.engine.inputs import (
    AssetTerms,
    Bracket,
    MoneyTerms,
    SecurityTerms,
    perpetual_terms,
)
from margin.terms import TermsInForce


def engine_terms(in_force: TermsInForce, *, asset_id: int, kind: str) -> AssetTerms | None:
    """What the rules apply to an asset; None where no version is in force."""
    if kind == "money":
        haircut = in_force.haircuts.get(asset_id)
        return None if haircut is None else MoneyTerms(haircut.haircut)
    terms = in_force.instruments.get(asset_id)
    if terms is None:
        return None
    if kind == "security":
        assert terms.initial_rate is not None, "a security has rates"
        assert terms.maintenance_rate is not None, "a security has rates"
        return SecurityTerms(terms.initial_rate, terms.maintenance_rate)
    return perpetual_terms(
        [
            Bracket(each.floor, each.initial_rate, each.maintenance_rate)
            for each in in_force.brackets[terms.pk]
        ]
    )
