"""Carrying out a plan. What was made for a deployment that then fails is taken away again: no orphan costs money."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from aural.deploy.cloud import Cloud, Missing, Uncertain, look
from aural.deploy.patience import Patience
from aural.deploy.plan import Action, Plan, Verdict
from aural.deploy.resources import Call, Resource, changes
from aural.deploy.settle import STATUS, is_settled, settle, wait_gone
from aural.deploy.upload import send
from aural.errors import DeployError

PLACEHOLDER = re.compile(r"\$\{(.+)\.(\w+)\}")
ROLE_NOT_YET = re.compile(r"assume|role.*(invalid|not|cannot)|not authorized to perform: sts", re.IGNORECASE)
"""A new role is known to IAM before it is known to SageMaker."""
ROLE_LIMIT_S = 120.0
ALREADY = re.compile(r"already exist", re.IGNORECASE)

FOUNDATION = frozenset({"role", "role policy", "model", "endpoint config"})
"""What an endpoint or component rests on, and what costs nothing."""

Say = Callable[[str], None]


@dataclass(slots=True)
class Work:
    """One run: what it has made so far, which that stood it has changed, and what the calls answered."""

    cloud: Cloud
    say: Say
    patience: Patience
    made: list[Resource] = field(default_factory=list)
    changed: list[Resource] = field(default_factory=list)
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)

    def do(self, action: Action) -> None:
        """Bring one resource to what is wanted and wait until it stands. Raises DeployError."""
        resource = action.resource
        if action.verdict is Verdict.SKIP:
            return
        if action.verdict is not Verdict.KEEP:
            self.say(f"{action.verdict} {resource.kind} {resource.name}")
        match action.verdict:
            case Verdict.CREATE:
                self._create(resource)
            case Verdict.REPLACE:
                remove(self.cloud, resource, self.patience)
                self._create(resource)
            case Verdict.CHANGE:
                self._change(resource)
            case _:
                self.answers[resource.key] = action.there or {}
        settle(self.cloud, resource, self.patience, self.say, wanted=action.verdict is not Verdict.CREATE)

    def _change(self, resource: Resource) -> None:
        """What was under way may have brought it to what is wanted already."""
        there = settle(self.cloud, resource, self.patience, self.say, wanted=False)
        if there is not None and not changes(resource, there):
            return
        assert resource.update is not None
        self.changed.append(resource)
        self.answers[resource.key] = self.cloud.call(self._resolved(resource.update))

    def _create(self, resource: Resource) -> None:
        call = self._resolved(resource.create)
        try:
            self.answers[resource.key] = self._patiently(call)
        except Uncertain:
            self.made.append(resource)
            raise
        except DeployError as error:
            if not ALREADY.search(str(error)):
                raise
            self.answers[resource.key] = look(self.cloud, resource) or {}
            return
        self.made.append(resource)

    def _patiently(self, call: Call) -> dict[str, Any]:
        """Repeat while a role that we have just made is not known everywhere."""
        deadline = self.patience.now() + ROLE_LIMIT_S
        while True:
            try:
                return self.cloud.call(call)
            except DeployError as error:
                fresh = any(made.kind == "role" for made in self.made)
                if not (fresh and ROLE_NOT_YET.search(str(error))) or self.patience.now() > deadline:
                    raise
                self.say("waiting for the new role to be known")
                self.patience.sleep(self.patience.poll_s)

    def _resolved(self, call: Call) -> Call:
        return Call(call.service, call.operation, self._fill(call.request))

    def _fill(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._fill(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._fill(item) for item in value]
        match = PLACEHOLDER.fullmatch(value) if isinstance(value, str) else None
        return self.answers[match[1]][match[2]] if match else value

    def kept(self) -> list[Resource]:
        """What this run made and an endpoint or component that it changed now rests on."""
        try:
            serving = [(one, look(self.cloud, one)) for one in self.changed if one.kind in STATUS]
        except DeployError:
            return self.made
        if not all(is_settled(*pair) for pair in serving):
            return self.made
        if any(there and not changes(replace(one, compare=one.compare[:1]), there) for one, there in serving):
            return [one for one in self.made if one.kind in FOUNDATION]
        return []


def carry_out(cloud: Cloud, plan: Plan, say: Say, patience: Patience | None = None) -> None:
    """Raises DeployError when it fails; what this run made is gone then. An interrupt leaves everything as it is: the
    next run goes on from there."""
    if plan.problems:
        raise DeployError("nothing was made:\n" + "\n".join(plan.problems))
    work = Work(cloud, say, patience or Patience())
    try:
        for upload in plan.uploads:
            say(f"upload {upload.source} → {upload.address}: {send(cloud, upload)} new files")
        for action in plan.actions:
            if action.verdict is not Verdict.DELETE:
                work.do(action)
    except DeployError as error:
        say(f"failed: {error}")
        kept = work.kept()
        doomed = [one for one in reversed(work.made) if one not in kept]
        left = remove_all(cloud, doomed, work.patience, say)
        raise DeployError("\n".join([str(error), *_epitaph(plan, kept, doomed, left)])) from error
    gone = [action.resource for action in plan.actions if action.verdict is Verdict.DELETE]
    if left := remove_all(cloud, gone, work.patience, say):
        raise DeployError("all stands; these are no longer needed and could not be deleted:\n" + "\n".join(left))


def _epitaph(plan: Plan, kept: list[Resource], gone: list[Resource], left: list[str]) -> list[str]:
    """Uploads stay: a second one of gigabytes would cost more than they do."""
    lines = ["These could not be taken away again; delete them by hand:", *left] if left else []
    if kept:
        names = ", ".join(f"{one.kind} {one.name}" for one in kept)
        lines.append(
            f"The endpoint was changed before that; what it may use stays: {names}. Apply again, or roll back."
        )
    elif gone and not left:
        lines.append("What this run had made is gone again.")
    lines += [f"What was uploaded stays for the next run, or for destroy: {one.address}" for one in plan.uploads]
    return lines or ["Nothing had been made."]


def remove(cloud: Cloud, resource: Resource, patience: Patience) -> bool:
    """Delete and wait until it is gone; False when it was not there. Raises DeployError."""
    if resource.delete is None:
        return False
    try:
        cloud.call(resource.delete)
    except Missing:
        return False
    wait_gone(cloud, resource, patience)
    return True


def remove_all(cloud: Cloud, resources: list[Resource], patience: Patience, say: Say) -> list[str]:
    """Delete all that can be; a line for each that would not go. What an endpoint or component rests on comes after it,
    and stays when it does."""
    left: list[str] = []
    for resource in resources:
        try:
            if remove(cloud, resource, patience):
                say(f"deleted {resource.kind} {resource.name}")
        except DeployError as error:
            left.append(f"{resource.kind} {resource.name}: {error}")
            if resource.kind in STATUS:
                return [*left, "and what comes after it: models, configurations, the role"]
    return left
