"""One look at the rows of a long list: its groups counted and added up, and the keys of one page.

What a list joins and filters costs more than all that is asked of it afterwards. So the rows are
gone through once, and counted, added up and put in order from there.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import F, QuerySet
from django.db.models.expressions import OrderBy

# What the rows of a group are counted as, beside its sums.
COUNTED: Final = "rows_counted"
# The first branch gives each group, the second, with nulls for one, the keys of the page.
SEEN: Final = """
WITH seen AS MATERIALIZED ({rows})
SELECT {groups}, count(*), {sums} NULL::bigint[] AS keys FROM seen GROUP BY {numbers}
UNION ALL
SELECT {no_group}, NULL, {no_sums} ARRAY(
    SELECT row_key FROM seen {kept} ORDER BY {order} LIMIT %s OFFSET {offset}
)
"""
# A page beyond the last is the last; the first needs no count.
OFFSET: Final = "(SELECT least(%s, greatest(count(*) - 1, 0) / %s) * %s FROM seen {kept})"
# Beyond every page there is.
LAST: Final = 10**9


class Order(NamedTuple):
    """A field to sort by; rows without it come last, whichever way."""

    field: str
    is_descending: bool

    @property
    def expression(self) -> OrderBy:
        """The same for a query set."""
        field = F(self.field)
        return field.desc(nulls_last=True) if self.is_descending else field.asc(nulls_last=True)


class Seen(NamedTuple):
    """What one look found.

    Attributes:
        groups: for each value of the grouping fields, these, how many rows, and the sums.
        keys: of the rows of the page, in order.
    """

    groups: list[dict[str, Any]]
    keys: list[int]


def page_number(asked: str) -> int:
    """The page that an address asks for: the first where it cannot be read, else one from 1 on.

    What is less than one means the last page, as it does to Django's paginator.
    """
    try:
        number = int(asked)
    except ValueError:
        return 1
    return number if 1 <= number <= LAST else LAST


def look(
    rows: "QuerySet[Any]",
    *,
    by: Sequence[str],
    sums: Mapping[str, str],
    kept: Collection[object] | None,
    order: Sequence[Order],
    number: int,
    size: int,
) -> Seen:
    """Group rows, and find the keys of a page of those that are kept.

    Args:
        by: fields to group by, one at least; the first is the one that is chosen from.
        sums: by name, the field that is added up.
        kept: values of the first field; None keeps all rows.
        order: of the rows; those that sort alike follow their keys.
        number: of the page, as `page_number` reads it.
        size: rows of a page.
    """
    named = {
        "row_key": "pk",
        **{f"group_{n}": field for n, field in enumerate(by)},
        **{f"sum_{n}": field for n, field in enumerate(sums.values())},
        **{f"sort_{n}": each.field for n, each in enumerate(order)},
    }
    asked = rows.order_by().annotate(**{name: F(field) for name, field in named.items()})
    try:
        text, values = asked.values_list(*named).query.sql_with_params()
    except EmptyResultSet:
        return Seen([], [])
    chosen: list[list[Any]] = [] if kept is None else [list(kept)]
    offset: list[Any] = [number - 1, size, size, *chosen] if number > 1 else []
    with connection.cursor() as cursor:
        cursor.execute(
            _statement(text, by=by, sums=sums, kept=kept, order=order, is_first=number == 1),
            [*values, *chosen, size, *offset],
        )
        found = cursor.fetchall()
    names = (*by, COUNTED, *sums)
    groups = [dict(zip(names, row, strict=False)) for row in found if row[-1] is None]
    (keys,) = [row[-1] for row in found if row[-1] is not None]
    return Seen(groups, keys)


def _statement(
    rows: str,
    *,
    by: Sequence[str],
    sums: Mapping[str, str],
    kept: Collection[object] | None,
    order: Sequence[Order],
    is_first: bool,
) -> str:
    ways = [
        f"sort_{n} {'DESC' if each.is_descending else 'ASC'} NULLS LAST, "
        for n, each in enumerate(order)
    ]
    chosen = "" if kept is None else "WHERE group_0 = ANY(%s)"
    return SEEN.format(
        rows=rows,
        kept=chosen,
        offset="0" if is_first else OFFSET.format(kept=chosen),
        groups=", ".join(f"group_{n}" for n in range(len(by))),
        sums="".join(f"sum(sum_{n}), " for n in range(len(sums))),
        numbers=", ".join(str(n + 1) for n in range(len(by))),
        no_group=", ".join("NULL" for _ in by),
        no_sums="NULL, " * len(sums),
        order="".join(ways) + "row_key",
    )
