"""Intended differences between musterd and the servers that it is compared with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

CaseT = TypeVar("CaseT")
"""A question, and the replies to it."""


@dataclass(frozen=True)
class Intended(Generic[CaseT]):
    """An intended difference: its fields, the cases it applies to, and the reason."""

    id: str
    fields: frozenset[str]
    applies: Callable[[CaseT], bool]
    reason: str
