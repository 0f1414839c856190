"""The tree of a portfolio model as the drawer shows it: positions, prices, parameters, terms."""

from collections.abc import Iterator
from datetime import date

from django.urls import reverse

from accounts.explanation import Part, Source
from accounts.figures import WIDE, grouped
from margin.engine.explain import Node, Reference
from margin.model_trees import ModelTrees
from margin.models import MarginResult, ParameterSet
from margin.screens.drawer_links import (
    agreement_address,
    agreement_words,
    mark_shown,
    price_address,
)


def model_part(node: Node, *, trees: ModelTrees, result: MarginResult) -> Part:
    """A node of the tree with all beneath it; each leaf leads to price, parameter and agreement."""
    day = result.run.business_day
    sources = list(_sources(node, trees, day))
    if not node.children:
        if not any(source.what == "Parameter" for source in sources):
            sources.append(_set_source(trees.used))
        sources.append(Source("Agreement", agreement_words(result), agreement_address(result)))
    return Part(
        label=node.label,
        amount=node.amount,
        how=node.how,
        sources=tuple(sources),
        parts=tuple(model_part(each, trees=trees, result=result) for each in node.children),
        beside=tuple(model_part(each, trees=trees, result=result) for each in node.beside),
    )


def _sources(node: Node, trees: ModelTrees, day: date) -> Iterator[Source]:
    for said in node.inputs:
        if said.get("what") == "mark":
            found = trees.marks[said["asset"]]
            yield Source(
                "Price",
                f"{said['asset']} {grouped(found.mark.price.normalize(WIDE))}",
                price_address(said["asset"], day=day),
                mark_shown(found.mark, found.valid),
            )
        elif said.get("what") == "parameter":
            yield _parameter_source(said, trees.used)
        elif said.get("what") == "contract" and "strike" in said:
            words = f"{said['right']} {said['strike']} on {said['underlying']}"
            yield Source("Contract", words, reverse("margin:contracts"))
        elif "scenario" in said:
            yield Source("Scenario", str(said["scenario"]))


def _parameter_source(said: Reference, used: ParameterSet) -> Source:
    value = f" {said['value']}" if "value" in said else ""
    words = f"{said['parameter']}{value}, {used.code} v{used.version}"
    anchor = f"-{said['parameter']}" if "value" in said else ""
    return Source("Parameter", words, f"{set_address(used)}{anchor}")


def _set_source(used: ParameterSet) -> Source:
    return Source("Parameter", f"{used.code} v{used.version}", set_address(used))


def set_address(used: ParameterSet) -> str:
    """The version of a parameter set on the page of its model."""
    return f"{reverse('margin:model', args=[used.model])}#set-{used.pk}"
