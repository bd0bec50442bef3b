"""What the commands about pools have in common: reading the file, asking, showing."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from linkedclone.cli.confirm import carry_out, confirm
from linkedclone.cli.global_options import Answered, Choices
from linkedclone.cli.output import emit
from linkedclone.cli.references import name_fields
from linkedclone.cli.terminal import find_asker, has_terminal, printable, say
from linkedclone.cli.views.pools import render_report, say_report, say_skipped
from linkedclone.cli.views.reports import say_failures
from linkedclone.errors import InputError
from linkedclone.model.pool import Act, PoolSpec
from linkedclone.model.pool_report import PoolOutlook, PoolReport

if TYPE_CHECKING:
    from linkedclone.app.pools.pools import Pools
    from linkedclone.app.pools.survey import PoolScene

_TAKES_AWAY = frozenset({Act.DELETE, Act.REPLACE, Act.RECONFIGURE, Act.STOP})
"""What is asked about first."""

_UNASKED = "at a terminal it shows first what it would do; or repeat with --yes"


OpenPool = tuple["Pools", "PoolScene"]
"""What is asked about a pool whose endpoint is open, and what was looked up once."""


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
        yield (
            pools,
            pools.survey(spec, asked=asked, everything=everything, secrets=secrets, before=before),
        )


def _asks(outlook: PoolOutlook, *, verb: str) -> bool:
    """Say whether a person is asked first: creations alone need no asking."""
    if not any(change.act in _TAKES_AWAY for change in outlook.plan.changes):
        return False
    if not has_terminal():
        brief = f"{verb} asks before it replaces or deletes, and there is no terminal"
        raise InputError(brief, hint=_UNASKED)
    return True


def apply_pool(choices: Choices, opened: OpenPool, *, sure: Answered, verb: str) -> int:
    """Bring a pool to its spec, and show what was done; return the exit code."""
    from linkedclone.cli.views.progress import watch

    pools, scene = opened[0], replace(opened[1], despite_unreadable=sure["despite_unreadable"])
    report: PoolReport | None
    with watch(choices) as progress:
        if sure["yes"]:
            report = nothing = pools.apply(scene, progress=progress)
        else:
            proposal = pools.propose_apply(scene)
            asks, shown = _asks(proposal.plan, verb=verb), proposal.plan
            report = carry_out(proposal, progress, asks=shown.endpoint if asks else "")
            nothing = PoolReport(endpoint=shown.endpoint, pool=shown.pool, image=shown.image)
    told = report or nothing
    emit(choices, document=told.document, text=lambda: render_report(told))
    say_failures([(r.slot, r.error) for r in told.results if r.error])
    if report is None:
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
        before: What the file said, if its clones move onto another parent.
    """
    from linkedclone.app.pools.pool_file import preview_settings

    spec = preview_settings(file, settings)
    with open_pool(choices, file, spec, before=before) as opened:
        if not _agree(opened, sure=sure, verb=verb):
            return 1
        _write(file, settings, opened)
        return apply_pool(choices, opened, sure={**sure, "yes": True}, verb=verb)


def _agree(opened: OpenPool, *, sure: Answered, verb: str) -> bool:
    """Look what would be done, and ask; say so if nothing is to be done."""
    pools, scene = opened
    proposal = pools.propose_apply(replace(scene, despite_unreadable=sure["despite_unreadable"]))
    if sure["yes"] or not _asks(proposal.plan, verb=verb):
        return True
    if not confirm(proposal.plan, proposal.plan.endpoint):
        say("nothing was done")
        return False
    proposal.look_again()
    return True


def _write(file: Path, settings: Mapping[str, object], opened: OpenPool) -> None:
    from linkedclone.app.pools.pool_file import write_settings

    pools, scene = opened
    if scene.accepted:
        pools.keep(scene)
    if settings:
        write_settings(file, settings)
    for key, value in settings.items():
        say(printable(f"{file}: {key} is {value} from now on"))


def recompose_instant(
    choices: Choices, file: Path, settings: Mapping[str, object], *, sure: Answered
) -> int:
    """Fork all clones of a pool anew: from the parent as it runs now.

    Where they are forked from snapshots, one with memory is taken first, once a person
    has agreed, and the file names it from then on.
    """
    from linkedclone.app.pools.pool_file import preview_settings
    from linkedclone.cli.views.progress import watch

    verb, before = "pool recompose", read_spec(file)
    spec, agreed = preview_settings(file, settings), Answered(**{**sure, "yes": True})
    # The snapshot that the file names may be stale or gone: another is about to be taken.
    look = replace(spec, snapshot="")
    with open_pool(choices, file, look, before=before, everything=True) as opened:
        pools, scene = opened
        if scene.forks_snapshots:
            pools.refuse_resting(scene)
            scene = replace(scene, blocked=None)
        if not _agree((pools, scene), sure=sure, verb=verb):
            return 1
        if not scene.forks_snapshots:
            _write(file, settings, opened)
            return apply_pool(choices, opened, sure=agreed, verb=verb)
        with watch(choices) as progress:
            settings = {**settings, "snapshot": pools.take_image(scene, progress)}
    return change_and_apply(choices, file, settings, sure=agreed, verb=verb, before=before)


def find_rollback(choices: Choices, spec: PoolSpec) -> dict[str, object]:
    """Return the settings that lead a pool back to the image before."""
    from linkedclone.cli.session import open_session

    with open_session(choices) as connection:
        parent, snapshot = connection.pools.previous(spec)
    settings: dict[str, object] = {"snapshot": snapshot}
    if parent:
        settings["parent"] = parent
    return settings
