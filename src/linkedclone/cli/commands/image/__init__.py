"""linkedclone image: the group; one module per command below it."""

from linkedclone.cli.grammar import subgroup

command = subgroup(
    "image",
    "Make parents from disk images, list and remove them.",
    {
        "build": "Make a parent VM with the snapshot base of Debian's packages.",
        "import": "Make a parent VM with the snapshot base of an image.",
        "list": "List the imported images.",
        "remove": "Remove an image that nothing hangs from.",
    },
)
