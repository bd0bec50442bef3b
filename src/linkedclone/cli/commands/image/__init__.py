"""linkedclone image: the group; one module per command below it."""

from linkedclone.cli.grammar import subgroup

command = subgroup(
    "image",
    "Create parents from disk images; list and remove them.",
    {
        "build": "Build a parent VM, with the snapshot 'base', from Debian packages.",
        "import": "Import an image as a parent VM with the snapshot 'base'.",
        "list": "List the imported images.",
        "remove": "Remove an image that nothing depends on.",
    },
)
