"""What the attacks came to."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from brokerage.attacks.forms import Attack


@dataclass
class AttackReport:
    """Refused and accepted, by rule.

    Attributes:
        refused: how many attacks on a rule were refused by that rule, with nothing moved.
        accepted: attacks that passed, or moved something although they were refused.
        broken: attacks that were refused by something else, so that they show nothing.
        not_tried: rules of the database that no attack here is about, each with the reason.
    """

    refused: Counter[str] = field(default_factory=Counter)
    accepted: list[Attack] = field(default_factory=list)
    broken: list[tuple[Attack, str]] = field(default_factory=list)
    not_tried: dict[str, str] = field(default_factory=dict)

    @property
    def is_sound(self) -> bool:
        """Whether every attack was refused, by the rule it is about."""
        return not self.accepted and not self.broken and bool(self.refused)

    @property
    def total(self) -> int:
        return self.refused.total() + len(self.accepted) + len(self.broken)

    def as_json(self) -> dict[str, Any]:
        """The report as `attack --json` prints it."""
        accepted = Counter(each.rule for each in self.accepted)
        broken = Counter(each.rule for each, _ in self.broken)
        return {
            "sound": self.is_sound,
            "total": self.total,
            "refused": self.refused.total(),
            "rules": {
                rule: {
                    "refused": self.refused[rule],
                    "accepted": accepted[rule],
                    "broken": broken[rule],
                }
                for rule in sorted(self.refused.keys() | accepted.keys() | broken.keys())
            },
            "accepted": [_told(each) for each in self.accepted],
            "broken": [_told(each) | {"because": why} for each, why in self.broken],
            "not_tried": dict(sorted(self.not_tried.items())),
        }


def _told(attack: Attack) -> dict[str, str]:
    return {"rule": attack.rule, "tried": attack.says, "as": attack.who}
