"""linkedclone pool: the group; one module per command below it."""

from linkedclone.cli.grammar import subgroup

command = subgroup(
    "pool",
    "Keep a set of linked clones as a file describes it: at size, on its image, healthy.",
    {
        "plan": "Show what would be done, and why.",
        "apply": "Bring a pool to the state that its file describes.",
        "status": "Show how each clone stands.",
        "refresh": "Make clones anew on the same image.",
        "recompose": "Move a pool onto another snapshot or parent.",
        "rollback": "Move a pool back onto its previous image.",
        "scale": "Change how many clones there are.",
        "hold": "Keep clones from being changed.",
        "adopt": "Take clones in that bear the pool's name and do not fit its file.",
        "release": "Let held or quarantined clones go again.",
        "delete": "Delete a whole pool, unless something hangs from it.",
    },
)
