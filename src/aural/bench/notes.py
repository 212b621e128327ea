"""The answers of a cell: written down one by one as they come, and held against the goal of a search."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from aural.bench.capacity import Goal
from aural.bench.records import Answer, Load


@dataclass
class Notes:
    load: Load
    write: Callable[[Answer], None]
    goal: Goal | None = None
    answers: list[Answer] = field(default_factory=list)
    """Those of the warm-up first."""
    _late: int = 0

    def add(self, answer: Answer) -> None:
        self.answers.append(answer)
        self.write(answer)
        if self.goal is not None and len(self.answers) > self.load.warm_up:
            self._late += not self.goal.kept_by(answer)

    @property
    def counted(self) -> list[Answer]:
        """Those after the warm-up."""
        return self.answers[self.load.warm_up :]

    def enough(self) -> bool:
        """Whether so many came too late that no further one could save the step."""
        return self.goal is not None and self._late > (1 - self.goal.share) * self.load.requests
