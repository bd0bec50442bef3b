"""linkedclone doctor."""

import click

from linkedclone.cli.choices import Choices
from linkedclone.cli.grammar import Verb


@click.command(cls=Verb)
@click.pass_obj
def command(choices: Choices) -> int:
    """Check what linked clones need of an endpoint.

    From the configuration file over connection, certificate and login to the
    privileges held. Changes nothing; exits with 1 if a check failed.
    """
    from linkedclone.app.doctor import diagnose
    from linkedclone.cli.output import emit
    from linkedclone.cli.session import ask_password
    from linkedclone.cli.setup import render_findings
    from linkedclone.cli.streams import has_terminal

    diagnosis = diagnose(choices.endpoint, ask=ask_password if has_terminal() else None)
    emit(
        choices,
        document=diagnosis.document,
        text=lambda: render_findings(diagnosis.findings),
    )
    return diagnosis.exit_code
