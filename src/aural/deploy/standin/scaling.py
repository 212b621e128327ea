"""Application Auto Scaling, as far as remembering goes: one machine has nothing to scale on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from aural.deploy.cloud import LOCAL_ACCOUNT


@dataclass(slots=True)
class Scaling:
    targets: dict[str, dict[str, Any]] = field(default_factory=dict)
    policies: dict[str, dict[str, Any]] = field(default_factory=dict)

    def answer(self, operation: str, asked: dict[str, Any]) -> dict[str, Any] | None:
        """None for an operation that is not known."""
        match operation:
            case "RegisterScalableTarget":
                self.targets[asked["ResourceId"]] = asked | {"CreationTime": 0, "RoleARN": "local"}
                return {}
            case "DescribeScalableTargets":
                wanted = asked.get("ResourceIds") or list(self.targets)
                return {"ScalableTargets": [self.targets[one] for one in wanted if one in self.targets]}
            case "DeregisterScalableTarget":
                return {} if self.targets.pop(asked["ResourceId"], None) else _missing("scalable target")
            case "PutScalingPolicy":
                arn = f"arn:aws:autoscaling:local:{LOCAL_ACCOUNT}:policyName/{asked['PolicyName']}"
                self.policies[asked["PolicyName"]] = asked | {"PolicyARN": arn, "CreationTime": 0}
                return {"PolicyARN": arn, "Alarms": []}
            case "DescribeScalingPolicies":
                wanted = asked.get("PolicyNames") or list(self.policies)
                return {"ScalingPolicies": [self.policies[one] for one in wanted if one in self.policies]}
            case "DeleteScalingPolicy":
                return {} if self.policies.pop(asked["PolicyName"], None) else _missing("scaling policy")
        return None


def _missing(kind: str) -> dict[str, Any]:
    return {"__type": "ObjectNotFoundException", "message": f"No {kind} found"}
