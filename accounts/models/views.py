"""Views of lists that people keep: a filter with its order and columns, under a name."""

from django.db import models
from django.db.models import Q

from accounts.fields import CurrentTransaction, TransactionIdField
from accounts.models.operators import Operator
from accounts.models.owners import LegalEntity

SLUG_LENGTH_MAX = 60
QUERY_LENGTH_MAX = 2000


class SavedView(models.Model):
    """A view of one list at one legal entity, its owner's alone or shared with everybody there.

    Attributes:
        list_name: of the list it is a view of: `margin-calls`.
        slug: its name in the address: `?filter=slug`.
        query: parameters of the address, as they stand behind the question mark.
        is_removed: removed by its owner; the row stays, its name is free again.
    """

    legal_entity = models.ForeignKey(LegalEntity, models.PROTECT, related_name="+")
    list_name = models.CharField(max_length=60)
    slug = models.CharField(max_length=SLUG_LENGTH_MAX)
    title = models.CharField(max_length=80)
    query = models.CharField(max_length=QUERY_LENGTH_MAX, blank=True)
    owner = models.ForeignKey(Operator, models.PROTECT, related_name="+")
    is_shared = models.BooleanField(default=False)
    is_removed = models.BooleanField(default=False)
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="view_name_is_unique",
                fields=["legal_entity", "list_name", "slug"],
                condition=Q(is_removed=False),
            ),
            models.CheckConstraint(
                name="view_name_fits_an_address",
                condition=Q(slug__regex=r"^[a-z0-9]+(-[a-z0-9]+)*$")
                & Q(list_name__regex=r"^[a-z0-9]+(-[a-z0-9]+)*$")
                & ~Q(title=""),
            ),
        ]

    def __str__(self) -> str:
        return self.title
