"""Results as the server's own COPY format, made of columns: no object for any cell.

Rows of one state with the same flags have one width, so each such group is one array of records.
They are sent in the order of scopes, in which the server adds them to the end of its index.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from margin.engine.column_rules import ColumnResult
from margin.engine.exact import Index
from margin.engine.house_rules import BELOW_MTA, INSUFFICIENT_MARK, OVERRIDDEN_MARK
from margin.engine.states import CENTS, State
from margin.engine.wide import DECIMALS, Ints, Wide

COLUMNS: Final = (
    "run_id", "scope_id", "agreement_version_id", "equity", "initial_margin",
    "maintenance_margin", "state", "call_amount", "flags",
)  # fmt: skip
HEAD: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TAIL: Final = b"\xff\xff"
VARCHAR: Final = 1043  # the server's number of the type of a flag

# A numeric is sent as digits of 10,000: four before the point and five behind it.
DIGIT: Final = 10_000
BEFORE, BEHIND = 4, 5
NUMERIC: Final = np.dtype(
    [
        ("size", ">i4"), ("ndigits", ">i2"), ("weight", ">i2"), ("sign", ">i2"), ("dscale", ">i2"),
        ("digits", ">i2", (BEFORE + BEHIND,)),
    ]
)  # fmt: skip
NEGATIVE: Final = 0x4000
# How many zeros a digit ends with.
ZEROS: Final = np.array(
    [4 if n == 0 else len(str(n)) - len(str(n).rstrip("0")) for n in range(DIGIT)], dtype=np.int64
)


class Named(NamedTuple):
    """(A,) what results are of."""

    scopes: Ints
    agreements: Ints


def result_rows(run_id: int, named: Named, result: ColumnResult) -> bytes:
    """The rows of all scopes that the columns speak of, to stand between HEAD and TAIL."""
    numbers = [numerics(each) for each in (result.equity, result.initial, result.maintenance)]
    called = numerics(Wide(result.call_cents, np.zeros_like(result.call_cents)), decimals_min=CENTS)
    found = [b""] * len(named.scopes)
    for state, flags, places in _groups(result):
        rows = np.zeros(len(places), dtype=_layout(state, flags))
        rows["fields"] = len(COLUMNS)
        for name, values in (
            ("run_id", run_id),
            ("scope_id", named.scopes[places]),
            ("agreement_version_id", named.agreements[places]),
        ):
            rows[name + ".size"] = 8
            rows[name] = values
        for name, number in zip(
            ("equity", "initial_margin", "maintenance_margin", "call_amount"),
            (*numbers, called),
            strict=True,
        ):
            rows[name] = number[places]
        for name, text in (("state", _sized(state.encode())), ("flags", _array(flags))):
            rows[name] = np.frombuffer(text, dtype=np.uint8)
        sent, width = rows.tobytes(), rows.itemsize
        for nth, place in enumerate(places.tolist()):
            found[place] = sent[nth * width : (nth + 1) * width]
    return b"".join(found)


def numerics(values: Wide, *, decimals_min: int = 2) -> NDArray[np.void]:
    """Pairs in order as numbers of the server, with the decimals that say something, or so many."""
    negative = values.high < 0
    # Minus a pair in order: its low is taken from the next whole.
    borrowed = (negative & (values.low > 0)).astype(np.int64)
    low = np.where(negative & (values.low > 0), 10**18 - values.low, values.low)
    high = np.where(negative, -values.high - borrowed, values.high)
    # In units of 10^-4: the last digit of 10,000 that holds cents.
    upper, rest = high * 100 + low // 10**16, low % 10**16
    digits = np.zeros((len(high), BEFORE + BEHIND), dtype=np.int64)
    for place in range(BEFORE, -1, -1):
        upper, digits[:, place] = np.divmod(upper, DIGIT)
    for place in range(BEFORE + BEHIND - 1, BEFORE, -1):
        rest, digits[:, place] = np.divmod(rest, DIGIT)
    dscale = np.full(len(high), decimals_min, dtype=np.int64)
    for place in range(1, BEHIND + 1):
        digit = digits[:, BEFORE + place - 1]
        said = np.where(digit != 0, 4 * place - ZEROS[digit], 0)
        np.maximum(dscale, said, out=dscale)
    found = np.zeros(len(high), dtype=NUMERIC)
    found["size"] = NUMERIC.itemsize - 4
    found["ndigits"], found["weight"] = BEFORE + BEHIND, BEFORE - 1
    found["sign"] = np.where(negative, NEGATIVE, 0)
    found["dscale"], found["digits"] = dscale, digits
    return found


assert DECIMALS == 4 * BEHIND, "digits of the server meet the decimals of a pair"


def _groups(result: ColumnResult) -> Iterator[tuple[str, tuple[str, ...], Index]]:
    """State, flags and places of rows that have both in common."""
    flags = {
        BELOW_MTA: result.below_mta,
        INSUFFICIENT_MARK: result.insufficient,
        OVERRIDDEN_MARK: result.overridden,
    }
    key = result.states.astype(np.int64)
    for bit, raised in enumerate(flags.values()):
        key = key | raised.astype(np.int64) << (4 + bit)
    for each in np.unique(key[~result.is_odd]).tolist():
        names = tuple(name for bit, name in enumerate(flags) if each >> (4 + bit) & 1)
        yield State(each & 15).name, names, np.flatnonzero((key == each) & ~result.is_odd)


def _layout(state: str, flags: tuple[str, ...]) -> np.dtype[np.void]:
    numbers = [(name, NUMERIC) for name in ("equity", "initial_margin", "maintenance_margin")]
    ids = [
        field
        for name in ("run_id", "scope_id", "agreement_version_id")
        for field in ((name + ".size", ">i4"), (name, ">i8"))
    ]
    return np.dtype(
        [
            ("fields", ">i2"),
            *ids,
            *numbers,
            ("state", np.uint8, (len(state) + 4,)),
            ("call_amount", NUMERIC),
            ("flags", np.uint8, (len(_array(flags)),)),
        ]
    )


def _sized(content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + content


def _array(texts: tuple[str, ...]) -> bytes:
    """A list of texts as the server receives one."""
    dimensions = [1, 0, VARCHAR, len(texts), 1] if texts else [0, 0, VARCHAR]
    head = b"".join(each.to_bytes(4, "big") for each in dimensions)
    return _sized(head + b"".join(_sized(text.encode()) for text in texts))
