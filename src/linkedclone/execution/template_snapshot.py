"""Take a snapshot of a template: make it a VM for the moment, and a template again whatever comes.

A template cannot be snapshotted [fact: vs-template-snapshot]. Only a process that is
killed outright leaves a VM behind; the run log then ends with ``make a VM``.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from linkedclone.drivers.features import require
from linkedclone.errors import (
    BusyError,
    HypervisorError,
    InterruptedByUserError,
    LinkedCloneError,
)
from linkedclone.execution.progress import Event
from linkedclone.execution.stages import Landing, Stages, StageWorker
from linkedclone.model.jobs import Job, JobStatus
from linkedclone.model.plan import SetTemplate, TakeSnapshot

_TRIES: Final = 5
_PAUSE_SECONDS: Final = 1.0


class TemplateSnapshots(StageWorker):
    """Takes snapshots of templates, one after the other.

    An interrupt waits for the snapshot that is under way, because a busy VM
    cannot be made a template; a second one gives that wait up.
    """

    tells = True

    @classmethod
    def claim(cls, stages: Stages, steps: Sequence[TakeSnapshot]) -> Sequence[TakeSnapshot]:  # noqa: ARG003
        """Take those of templates."""
        return [step for step in steps if step.template_pool]

    @property
    def in_flight(self) -> tuple[str, ...]:
        """Nothing: a snapshot that is under way was waited for, or given up."""
        return ()

    def run(self, steps: Sequence[TakeSnapshot]) -> Iterator[Landing[TakeSnapshot]]:
        """Take each; the VM is a template again when it lands."""
        for step in steps:
            since, made, error = time.monotonic(), None, None
            try:
                require(self._stages.driver.features, SetTemplate)
                made = _Preparation(self._stages, step).run()
            except LinkedCloneError as failure:
                error = failure
            seconds = time.monotonic() - since
            yield Landing(
                item=step, result=made, error=error, accepted=True, known=True, seconds=seconds
            )


@dataclass(frozen=True, slots=True)
class _Preparation:
    """One snapshot of one template."""

    runner: Stages
    step: TakeSnapshot

    def run(self) -> str:
        failure: LinkedCloneError | None = None
        made = ""
        try:
            # Also after an answer that was lost: it may be a VM then.
            self._tell("make a VM", JobStatus.QUEUED)
            self._set_template(template=False, pool=self.step.template_pool)
            self._tell("make a VM", JobStatus.DONE)
            made = self._take()
        except LinkedCloneError as error:
            failure = error
        except KeyboardInterrupt:
            self.runner.interrupted = True
        self._restore(failure)
        if failure is not None:
            raise failure
        if self.runner.interrupted:
            has = f", with the snapshot {self.step.name!r}" if made else ""
            raise InterruptedByUserError(
                f"interrupted: {self.step.vm_name} is a template as before{has}",
                hint="no clone was made; run the same command again to make them",
            )
        return made

    def _take(self) -> str:
        """Take the snapshot and wait for it, if need be past one interrupt."""
        job = self.runner.start(self.step)
        self._tell("snapshot", JobStatus.QUEUED)
        try:
            return self._wait(job)
        except KeyboardInterrupt:
            self.runner.interrupted = True
            return self._wait(job)

    def _wait(self, job: Job) -> str:
        try:
            made = self.runner.wait(job)
        except LinkedCloneError as error:
            self._tell("snapshot", JobStatus.FAILED, str(error))
            raise
        self._tell("snapshot", JobStatus.DONE)
        return made or ""

    def _set_template(self, *, template: bool, pool: str = "") -> None:
        vm, name = self.step.vm, self.step.vm_name
        self.runner.finish(SetTemplate(vm=vm, vm_name=name, template=template, pool=pool))

    def _restore(self, failure: LinkedCloneError | None) -> None:
        """Make it a template again; retried while it is busy, and past interrupts."""
        trouble: LinkedCloneError | None = None
        for _ in range(_TRIES):
            try:
                if isinstance(trouble, BusyError):
                    time.sleep(_PAUSE_SECONDS)
                self._set_template(template=True)
            except KeyboardInterrupt:
                self.runner.interrupted = True
                trouble = None
            except BusyError as error:
                trouble = error
            except LinkedCloneError as error:
                trouble = error
                break
            else:
                self._tell("make a template", JobStatus.DONE)
                return
        self._tell("make a template", JobStatus.FAILED, str(trouble or ""))
        words = [str(error) for error in (failure, trouble) if error is not None]
        raise HypervisorError(
            f"{self.step.vm_name} was made a VM and could not be made a template again",
            details="\n".join(words),
            hint=f"make it one by hand: govc vm.markastemplate {self.step.vm_name}",
        ) from trouble

    def _tell(self, action: str, status: JobStatus, text: str = "") -> None:
        self.runner.progress.update(
            Event(name=self.step.vm_name, action=action, status=status, text=text)
        )
