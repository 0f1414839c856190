"""Which buckets are margined together as a group, on the day of a gate or of now."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property

from django.utils import timezone

from accounts.groups import any_margined, pooled_buckets
from accounts.models import Bucket
from margin.market.marks import known_marks


@dataclass(frozen=True)
class Pools:
    """Buckets of members by the bucket that their group is margined as.

    Attributes:
        groups: by bucket of a member the bucket of its group.
    """

    groups: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def on(cls, day: date) -> "Pools":
        """Those of a day, as it is known now."""
        return cls(pooled_buckets(day)) if any_margined() else cls()

    @classmethod
    def newest(cls) -> "Pools":
        """Those of now; where the book is ahead of the clock, of its newest day."""
        return cls.on(newest_day()) if any_margined() else cls()

    def group_of(self, bucket_id: int) -> int | None:
        """The bucket of the group with which a bucket is margined; None where it stands alone."""
        if bucket_id in self.groups:
            return self.groups[bucket_id]
        return bucket_id if bucket_id in self._members else None

    def together(self, bucket_id: int) -> list[Bucket]:
        """Every bucket that is margined with this one, that of the group first; itself is one."""
        group = self.group_of(bucket_id)
        return [] if group is None else self._members[group]

    def stands_for(self, bucket: Bucket) -> int:
        """The account whose agreement decides on a bucket: that of its group where it is in one."""
        group = self.group_of(bucket.pk)
        return bucket.account_id if group is None else self._members[group][0].account_id

    @cached_property
    def _members(self) -> dict[int, list[Bucket]]:
        ids = {*self.groups, *self.groups.values()}
        found = Bucket.objects.select_related("account").in_bulk(ids)
        members = {group: [found[group]] for group in set(self.groups.values())}
        for member, group in sorted(self.groups.items()):
            members[group].append(found[member])
        return members


def newest_day() -> date:
    """The day of now; where the book is ahead of the clock, its newest."""
    return max([timezone.now().date(), *(mark.business_day for mark in known_marks().values())])
