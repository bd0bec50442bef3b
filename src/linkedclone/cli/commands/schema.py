"""linkedclone schema."""

import click

from linkedclone.cli.global_options import Choices
from linkedclone.cli.grammar import Verb


@click.command(cls=Verb)
@click.pass_obj
def command(choices: Choices) -> int:
    """Print the JSON Schema of pool files.

    Editors with a YAML language server use it to complete and check pool files: save it
    as pool.schema.json, and start the pool file with the line "# yaml-language-server:
    $schema=pool.schema.json".
    """
    from linkedclone.app.pools.pool_schema import build_schema
    from linkedclone.cli.output import render_document
    from linkedclone.cli.terminal import write_result

    output = "yaml" if choices.output == "yaml" else "json"
    write_result(render_document(build_schema(), output))
    return 0
