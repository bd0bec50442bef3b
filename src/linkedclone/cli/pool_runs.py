"""What the commands about pools have in common: reading the file, asking, showing."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from linkedclone.cli.global_options import Answered, Choices
from linkedclone.cli.output import emit
from linkedclone.cli.references import name_fields
from linkedclone.cli.terminal import find_asker, has_terminal, printable, say
from linkedclone.cli.views.pools import render_report, say_report, say_skipped, summarize_plan
from linkedclone.cli.views.reports import say_failures
from linkedclone.errors import InputError
from linkedclone.model.pool import Act, PoolSpec
from linkedclone.model.pool_report import PoolOutlook

if TYPE_CHECKING:
    from linkedclone.app.connection import Connection
    from linkedclone.app.pools.pools import Pools, PoolScene

_TAKES_AWAY = frozenset({Act.DELETE, Act.REPLACE, Act.RECONFIGURE, Act.STOP})
"""What is asked about first."""

_UNASKED = "at a terminal it shows first what it would do; or repeat with --yes"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPool:
    """A pool whose endpoint is open, looked up once.

    Attributes:
        connection: The endpoint.
        pools: What is asked of it about pools.
        spec: What the file says.
        scene: What was looked up.
    """

    connection: "Connection"
    pools: "Pools"
    spec: PoolSpec
    scene: "PoolScene"


def read_spec(file: Path) -> PoolSpec:
    """Read a pool's file; answers before any endpoint is opened.

    What is said of the pool's settings from then on, as that an endpoint refuses one,
    names them as the file does.
    """
    from linkedclone.app.pools.pool_file import name_setting, read_pool

    spec = read_pool(file)
    name_fields(lambda field: name_setting(file, spec, field))
    return spec


@contextmanager
def open_pool(
    choices: Choices,
    file: Path,
    spec: PoolSpec,
    *,
    asked: Sequence[str] = (),
    everything: bool = False,
    before: PoolSpec | None = None,
) -> Iterator[OpenPool]:
    """Open the endpoint and look up what the pool is made of.

    Args:
        choices: The options of every command.
        file: The pool's file.
        spec: What it says.
        asked: Clones that are to be made anew.
        everything: Whether all are.
        before: What the file said before a command changed it on purpose.
    """
    from linkedclone.app.pools.pool_file import find_pool_secrets
    from linkedclone.cli.session import open_session

    secrets = find_pool_secrets(spec, folder=file.parent, environ=os.environ, ask=find_asker())
    with open_session(choices) as connection:
        pools = connection.pools
        scene = pools.survey(
            spec, asked=asked, everything=everything, secrets=secrets, before=before
        )
        yield OpenPool(connection=connection, pools=pools, spec=spec, scene=scene)


class PoolQuestion:
    """Shows what would be done to a pool, and asks whether it may; creations alone need no asking.

    Attributes:
        refused: True once the answer was no.
    """

    def __init__(self, *, verb: str) -> None:
        self._verb = verb
        self.refused = False

    def __call__(self, outlook: PoolOutlook) -> bool:
        """Ask."""
        if not any(change.act in _TAKES_AWAY for change in outlook.plan.changes):
            return True
        if not has_terminal():
            brief = f"{self._verb} asks before it replaces or deletes, and there is no terminal"
            raise InputError(brief, hint=_UNASKED)
        say(printable(f"at {outlook.endpoint}, pool {outlook.pool}:"))
        for line in summarize_plan(outlook.plan):
            say(f"  {printable(line)}")
        for note in outlook.plan.notes:
            say(f"note: {printable(note)}")
        self.refused = not click.confirm("Go on?", err=True)
        return not self.refused


def ask_pool_unless(yes: bool, *, verb: str) -> PoolQuestion | None:  # noqa: FBT001 - a flag of the command line
    """Return who asks; None if it was answered on the command line."""
    return None if yes else PoolQuestion(verb=verb)


def apply_pool(choices: Choices, opened: OpenPool, *, sure: Answered, verb: str) -> int:
    """Bring a pool to its spec, and show what was done; return the exit code."""
    from linkedclone.cli.views.progress import watch

    question = ask_pool_unless(sure["yes"], verb=verb)
    scene = replace(opened.scene, despite_unreadable=sure["despite_unreadable"])
    with watch(choices) as progress:
        report = opened.pools.apply(scene, confirm=question, progress=progress)
    emit(choices, document=report.document, text=lambda: render_report(report))
    say_failures([(r.slot, r.error) for r in report.results if r.error])
    if question is not None and question.refused:
        say("nothing was done")
        return 1
    say_skipped(report)
    say_report(report)
    return report.exit_code


# -- changes of the file ----------------------------------------------------------------


def change_and_apply(
    choices: Choices,
    file: Path,
    settings: Mapping[str, object],
    *,
    sure: Answered,
    verb: str,
    before: PoolSpec | None = None,
) -> int:
    """Change settings of a pool's file, and apply it; the file stays as it was if nothing is done.

    The new settings are looked up first, and a person is asked; then the file
    is written, so that whatever happens later it says what is wanted.

    Args:
        choices: The options of every command.
        file: The pool's file.
        settings: What it is to say.
        sure: What a person has answered already.
        verb: The command.
        before: What the file said, if its clones are to come along onto another parent.
    """
    from linkedclone.app.pools.pool_file import preview_settings, write_settings

    spec = preview_settings(file, settings)
    with open_pool(choices, file, spec, before=before) as opened:
        question = ask_pool_unless(sure["yes"], verb=verb)
        scene = replace(opened.scene, despite_unreadable=sure["despite_unreadable"])
        outlook = opened.pools.plan(scene)
        if question is not None and not outlook.plan.empty and not question(outlook):
            say("nothing was done")
            return 1
        if opened.scene.accepted:
            opened.pools.keep(opened.scene)
        write_settings(file, settings)
        for key, value in settings.items():
            say(printable(f"{file}: {key} is {value} from now on"))
        return apply_pool(choices, opened, sure={**sure, "yes": True}, verb=verb)


def find_rollback(choices: Choices, spec: PoolSpec) -> dict[str, object]:
    """Return the settings that lead a pool back to the image before."""
    from linkedclone.cli.session import open_session

    with open_session(choices) as connection:
        parent, snapshot = connection.pools.previous_of(spec)
    settings: dict[str, object] = {"snapshot": snapshot}
    if parent:
        settings["parent"] = parent
    return settings
