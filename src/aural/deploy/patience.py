"""How often to look at what takes its time at AWS, and when to give up."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from aural.deploy.spec import Deployment

POLL_S, LIMIT_S = 15.0, 3600.0
PROVISION_S = 900
"""For instances, before they download anything."""
TERMINATION_S = 120
"""The old fleet stays so long after the last step."""
LONGEST_UPDATE_S = 28_800
"""SageMaker gives no update more."""
BACK_S = 1800
"""For SageMaker to send back what failed or took too long."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Tests bring a clock of their own."""

    poll_s: float = POLL_S
    limit_s: float = LIMIT_S
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.monotonic


def update_s(deployment: Deployment) -> int:
    """The longest that an update may take: one fleet in steps, or one copy of a component after the other."""
    machine, wait_s = deployment.machine, deployment.release.wait_s
    start_s = PROVISION_S + machine.download_s + machine.startup_s
    if deployment.uses_components:
        return min(LONGEST_UPDATE_S, _copies(deployment) * (start_s + wait_s))
    return start_s + _steps(deployment) * wait_s + TERMINATION_S


def limit_s(deployment: Deployment) -> float:
    """When SageMaker itself must have given up, and gone back."""
    return LIMIT_S if deployment.existing else float(update_s(deployment) + BACK_S)


def _steps(deployment: Deployment) -> int:
    release = deployment.release
    return {"all_at_once": 1, "canary": 2, "linear": ceil(100 / release.percent)}[release.strategy]


def _copies(deployment: Deployment) -> int:
    """As many as autoscaling may have made."""
    most = deployment.scaling.max if deployment.scaling else 1
    return max(most, *(model.copies for model in deployment.models))
