"""Failures on demand: what shall go wrong, how often, and at which moment."""

from dataclasses import dataclass
from typing import Literal

from linkedclone.errors import (
    CustomizationError,
    HypervisorError,
    LinkedCloneError,
    PowerOnError,
)

Action = Literal[
    "clone",
    "power-on",
    "power-off",
    "shut-down",
    "rename",
    "customize",
    "relocate",
    "delete",
    "unregister",
    "snapshot",
    "delete-snapshot",
    "revert",
    "promote",
    "grow",
    "mark",
    "reconfigure",
    "remove",
    "disconnect-media",
    "make a VM",
    "make a template",
    "create-folder",
]
"""What jobs do, and what can be made to fail or to take its time."""

At = Literal["submit", "job"]
"""When a failure strikes: the call itself is refused, or the job ends in it."""


@dataclass(slots=True, kw_only=True)
class Rule:
    """One failure to come."""

    action: Action
    name: str  # the VM that it fails for; empty for any
    error: LinkedCloneError
    at: At = "job"
    times: int = 1  # how often it still strikes; below zero for ever
    leave: bool = False  # whether a failed clone leaves a half-made VM behind


def default_error(action: Action) -> LinkedCloneError:
    """Return what an action fails with unless a test says otherwise."""
    brief = f"{action} failed"
    details = "A general system error occurred."
    if action == "customize":
        return CustomizationError(brief, details=details, kind="CustomizationFault")
    if action == "power-on":
        return PowerOnError(brief, details=details, kind="SystemError")
    return HypervisorError(brief, details=details, kind="SystemError")


class Faults:
    """The failures to come."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []

    def add(self, rule: Rule) -> None:
        """Arm a failure."""
        self._rules.append(rule)

    def clear(self) -> None:
        """Disarm all that are left."""
        self._rules.clear()

    def take(self, action: str, name: str, at: At) -> Rule | None:
        """Use up one matching failure, the oldest first."""
        for rule in self._rules:
            if rule.times and rule.action == action and rule.at == at and rule.name in {"", name}:
                rule.times -= 1
                return rule
        return None

    def strike(self, action: str, name: str, at: At) -> None:
        """Raise the error of a matching failure, if there is one."""
        rule = self.take(action, name, at)
        if rule is not None:
            raise rule.error
