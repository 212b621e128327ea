"""The contestants: one file per arm that says how it starts and how it is asked. A new one is one file and one line."""

from __future__ import annotations

from benchmarks.arms import article, aural, litserve, raw
from benchmarks.arms.base import Arm

ALL: dict[str, Arm] = {
    arm.name: arm
    for arm in (
        article.ARM,
        aural.FITTED,
        aural.FULL,
        raw.FITTED,
        raw.FULL,
        raw.FITTED_ALONE,
        raw.FULL_ALONE,
        litserve.FITTED,
        litserve.FULL,
    )
}
