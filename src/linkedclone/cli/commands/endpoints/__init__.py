"""linkedclone endpoints: the group; one module per command below it."""

from linkedclone.cli.grammar import subgroup

command = subgroup(
    "endpoints",
    "Add, list, test and remove hypervisors.",
    {
        "add": "Add a hypervisor, or change one that is configured.",
        "list": "List the configured hypervisors.",
        "test": "Log in and show which server answers.",
        "remove": "Remove a hypervisor with its pin and its password.",
    },
)
