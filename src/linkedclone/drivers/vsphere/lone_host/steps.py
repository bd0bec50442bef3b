"""The steps that a lone host takes otherwise than a vCenter."""

from collections.abc import Mapping

from linkedclone.drivers.vsphere.cloning.preview import render
from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.jobs.tasks import Jobs
from linkedclone.drivers.vsphere.lone_host.create_spec import check_create_spec
from linkedclone.drivers.vsphere.lone_host.creating import Creations
from linkedclone.drivers.vsphere.lone_host.directory import claim_of, directory_of
from linkedclone.drivers.vsphere.lone_host.requests import Call, build_calls
from linkedclone.drivers.vsphere.lone_host.source import Sources
from linkedclone.model.jobs import Job
from linkedclone.model.plan import AttachClone, CreateClone, JobStep


class LoneHost:
    """Starts those steps."""

    def __init__(
        self, session: Session, jobs: Jobs, sources: Sources, creations: Creations
    ) -> None:
        self._session = session
        self._jobs = jobs
        self._sources = sources
        self._creations = creations

    def start(self, step: JobStep) -> Job | None:
        """Start a step; return None for one that is started as at a vCenter."""
        match step:
            case CreateClone():
                job = self._jobs.number(step.about, step.action)
                self._creations.create(job, step)
                return self._jobs.begin(job)
            case AttachClone(create=create):
                job = self._jobs.number(step.about, step.action)
                self._creations.follow(job, create)
                return self._jobs.begin(job)
            case _:
                return None

    def check(self, step: CreateClone) -> None:
        """Refuse a clone that cannot be made as the machine is that is cloned."""
        check_create_spec(step, self._sources.read(step).frozen)

    def preview(self, step: CreateClone) -> Mapping[str, object]:
        """Return the calls that make a clone, as plain data."""
        claim = claim_of(step)
        calls = build_calls(self._session, step, self._sources.read(step), claim)
        paths = filter(None, (directory_of(step), claim))
        locks = [{"method": "MakeDirectory", "name": path} for path in paths]
        return {"calls": [*locks, *map(render_call, calls)]}


def render_call(call: Call) -> Mapping[str, object]:
    """Return a call as plain data; what is called of a VM that is yet to be made names none."""
    this = {"_this": render(call.this)} if call.this is not None else {}
    arguments = {name: render(value) for name, value in call.arguments().items()}
    return {"method": call.method, **this, **arguments}
