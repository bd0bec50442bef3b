"""linkedclone image list."""

import click

from linkedclone.cli.choices import Choices
from linkedclone.cli.grammar import Verb


@click.command(cls=Verb)
@click.pass_obj
def command(choices: Choices) -> int:
    """List the imported images.

    Each with how many VMs hang from it.
    """
    from linkedclone.cli.images import image_document, render_images
    from linkedclone.cli.output import emit
    from linkedclone.cli.session import open_session
    from linkedclone.cli.streams import say

    with open_session(choices) as connection:
        images = connection.images()
    emit(
        choices,
        document=lambda: {"images": [image_document(image) for image in images]},
        text=lambda: render_images(images),
    )
    if not images:
        say("no image was imported yet: linkedclone image import FILE")
    return 0
