"""linkedclone image list."""

import click

from linkedclone.cli.global_options import Choices
from linkedclone.cli.grammar import Verb


@click.command(cls=Verb)
@click.pass_obj
def command(choices: Choices) -> int:
    """List the imported images.

    Shows for each image how many VMs depend on it.
    """
    from linkedclone.cli.output import emit
    from linkedclone.cli.session import open_session
    from linkedclone.cli.terminal import say
    from linkedclone.cli.views.images import render_images

    with open_session(choices) as connection:
        images = connection.images.list()
    emit(
        choices,
        document=lambda: {"images": [image.document() for image in images]},
        text=lambda: render_images(images),
    )
    if not images:
        say("no image was imported yet: linkedclone image import FILE")
    return 0
