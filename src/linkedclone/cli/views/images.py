"""Images as people and programs are shown them."""

from collections.abc import Sequence

from linkedclone.cli.views.tables import Column, render_table
from linkedclone.model.images import Image
from linkedclone.model.values.sizes import render_size


def render_images(images: Sequence[Image]) -> str:
    """Draw a table of images."""
    columns = [
        Column(title="IMAGE"),
        Column(title="VERSION", right=True),
        Column(title="FORMAT"),
        Column(title="SIZE", right=True),
        Column(title="FILE", right=True),
        Column(title="USED BY", right=True),
        Column(title="SOURCE", from_width=80),
    ]
    rows = [
        [
            image.name,
            str(image.version),
            image.format,
            render_size(image.capacity_bytes),
            render_size(image.file_bytes),
            str(len(image.dependants)),
            image.source,
        ]
        for image in images
    ]
    return render_table(columns, rows)
