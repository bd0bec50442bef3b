"""linkedclone completion."""

import click

from linkedclone.cli.command_table import PROGRAM
from linkedclone.cli.grammar import Verb

_SHELLS = ("bash", "zsh", "fish")


@click.command(
    cls=Verb,
    epilog="""\
\b
To enable it permanently, add a line to the shell's start-up file:
  bash  ~/.bashrc:                  source <(linkedclone completion bash)
  zsh   ~/.zshrc, after compinit:   source <(linkedclone completion zsh)
  fish  ~/.config/fish/config.fish: linkedclone completion fish | source
""",
)
@click.argument("shell", type=click.Choice(_SHELLS), metavar="SHELL")
@click.pass_context
def command(ctx: click.Context, shell: str) -> int:
    """Print the completion script for a shell: bash, zsh or fish."""
    from click.shell_completion import get_completion_class

    from linkedclone.cli.terminal import write_result

    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"there is no completion for {shell}", ctx)
    script = found(ctx.find_root().command, {}, PROGRAM, f"_{PROGRAM.upper()}_COMPLETE")
    write_result(script.source_template % script.source_vars())
    return 0
