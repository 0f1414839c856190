"""What options add to the equity of scopes: contracts x units x premium of their side."""

import numpy as np

from margin.engine.collateral import Detail
from margin.engine.components import ComponentKind, Part
from margin.engine.exact import ZERO, Exact, Index, column
from margin.engine.inputs import HouseRulesInput, OptionTerms


def option_parts(inputs: HouseRulesInput) -> list[Part]:
    """One part for each position; those that the requirement counts are said, at 0.

    Call inside `exact()`.
    """
    rows = [row for row in inputs.options if inputs.quantities[row.position] != ZERO]
    if not rows:
        return []
    row: Index = np.array([each.position for each in rows], dtype=np.intp)
    asset, quantity = inputs.position_assets[row], inputs.quantities[row]
    price = column(each.price for each in rows)
    detail: Exact = np.empty(len(rows), dtype=object)
    for place, each in enumerate(rows):
        detail[place] = Detail((), each.facts)
    units = column(
        terms.multiplier if each.counts and isinstance(terms, OptionTerms) else ZERO
        for each, terms in zip(rows, (inputs.terms[n] for n in asset), strict=True)
    )
    return [
        Part(
            kind=ComponentKind.OPTION,
            scope=inputs.position_scopes[row],
            asset=asset,
            row=row,
            amount=quantity * price * units + ZERO,  # never a minus zero
            quantity=quantity,
            price=price,
            rate=units,
            detail=detail,
        )
    ]
