"""linkedclone snapshot: the group; one module per command below it."""

from linkedclone.cli.grammar import subgroup

command = subgroup(
    "snapshot",
    "List, create, delete and revert to snapshots.",
    {
        "list": "List the snapshots of a VM.",
        "create": "Take a snapshot of a VM, with or without its memory.",
        "delete": "Delete a snapshot, unless clones depend on it.",
        "revert": "Revert a VM to a snapshot.",
    },
)
