"""The trees behind a requirement that a portfolio model made: recomputed from the run's inputs."""

from dataclasses import dataclass
from typing import Any

from accounts.figures import plain
from margin.engine.explain import ExplanationError, Node
from margin.models import MarginResult
from margin.portfolio import portfolio_trees
from margin.runs import read_inputs_of


@dataclass(frozen=True, slots=True)
class ModelTrees:
    """Why a model required what it did of one scope.

    Attributes:
        initial_margin, maintenance_margin: trees whose leaves add up to the last cent.
    """

    initial_margin: Node
    maintenance_margin: Node
    model: str
    code: str
    version: int
    sha256: str
    binding: str

    def as_json(self) -> dict[str, Any]:
        """The trees with the parameter set they rest on."""
        return {
            "parameter_set": {
                "model": self.model,
                "code": self.code,
                "version": self.version,
                "sha256": self.sha256,
            },
            "binding": self.binding,
            "initial_margin": self.initial_margin.as_json(),
            "maintenance_margin": self.maintenance_margin.as_json(),
        }


def model_trees(result: MarginResult) -> ModelTrees | None:
    """The trees of a stored result, read again from the run's horizon; None under house rules.

    Raises:
        ExplanationError: `model_says_so`: the model says something else now.
    """
    used = result.parameter_set
    if used is None:
        return None
    run = result.run
    read = read_inputs_of(run)
    place = next(n for n, row in enumerate(read.scopes) if row.scope_id == result.scope_id)
    trees = portfolio_trees(read, scope=place)
    assert trees is not None, "the scope was under a model"
    initial, maintenance = trees
    said = initial.amount, maintenance.amount
    stored = result.initial_margin, result.maintenance_margin
    if said != stored:
        detail = f"{' and '.join(map(plain, said))}, not {' and '.join(map(plain, stored))}"
        raise ExplanationError("model_says_so", detail)
    return ModelTrees(
        initial_margin=initial,
        maintenance_margin=maintenance,
        model=used.model,
        code=used.code,
        version=used.version,
        sha256=used.sha256,
        binding=result.binding,
    )
