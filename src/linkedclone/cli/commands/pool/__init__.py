"""linkedclone pool: the group; one module per command below it."""

from linkedclone.cli.grammar import subgroup

command = subgroup(
    "pool",
    "Keep a set of linked clones as a file describes it: at size, on its image, healthy.",
    {
        "plan": "Show what would change, and why.",
        "apply": "Bring a pool into the state that its file describes.",
        "status": "Show the state of each clone.",
        "refresh": "Recreate clones on the same image.",
        "recompose": "Move a pool to another snapshot or parent.",
        "rollback": "Move a pool back to its previous image.",
        "scale": "Change the number of clones.",
        "hold": "Protect clones from changes.",
        "adopt": "Take over clones that have the pool's name but do not fit its file.",
        "release": "Release held or quarantined clones.",
        "delete": "Delete a whole pool, unless something depends on it.",
    },
)
