"""What no model answers: positions of instruments that the market does not have."""

from typing import Any

import pytest

from margin.engine.books import books_of
from margin.engine.model import Model
from margin.engine.models import MODELS
from margin.engine.rejected import RejectedInputError
from margin.engine.worlds import world


@pytest.mark.parametrize("model", MODELS.values(), ids=list(MODELS))
def test_a_position_of_nothing_in_the_market_is_refused(model: Model[Any]) -> None:
    market, _books = world(7)
    beyond = books_of(scopes=[0], instruments=[len(market.instruments)], quantities=[1], cash=[0])
    with pytest.raises(RejectedInputError):
        model.prepare(market, model.standard).requirement(beyond)
