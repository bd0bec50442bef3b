"""The commands and global options in words. Standard library only, and little of it.

``linkedclone --help`` is written from this alone, in a third of the time that
importing click takes; the grammar takes its texts from here too.
"""

PROGRAM = "linkedclone"

COMMANDS = {
    "Clones": {
        "clone": "Create linked clones of a VM and prove that each is linked.",
        "prepare": "Check a golden image before it is cloned, and fix what it can.",
        "delete": "Delete VMs, unless something depends on them.",
        "start": "Start VMs.",
        "stop": "Stop VMs hard, like a power failure.",
        "restart": "Stop VMs hard and start them again.",
        "rename": "Rename a VM.",
        "relocate": "Move VMs and keep them linked.",
        "promote": "Turn linked clones into full ones.",
        "grow": "Enlarge a disk of a VM.",
        "adopt": "Mark linked clones of other tools, and golden images, as ours.",
    },
    "Pools": {
        "pool": "Keep a set of linked clones as a file describes it.",
        "schema": "Print the JSON Schema of pool files.",
    },
    "Look": {
        "list": "List all VMs with their parents.",
        "show": "Show one VM with its disk chains and snapshots.",
        "tree": "Draw parents, snapshots and clones as a tree.",
        "usage": "Show how much space clones take and save.",
        "gc": "List unused files, VMs, snapshots and images; --yes removes them.",
        "console": "Connect to a VM's serial console, or print where its screen is.",
        "inventory": "Print the linked clones as a dynamic inventory for Ansible.",
        "snapshot": "List, create, delete and revert to snapshots.",
    },
    "On this machine (local:)": {
        "image": "Create parents from disk images; list and remove them.",
        "ssh": "Log in to a running clone.",
        "export": "Write a disk of a VM to one self-contained file.",
        "move": "Move the state folder to another path or file system.",
        "unit": "Print a systemd unit that starts VMs at login or boot.",
    },
    "Set up": {
        "endpoints": "Add, list, test and remove hypervisors.",
        "doctor": "Check that an endpoint has what linked clones need.",
        "completion": "Print the completion script for a shell.",
    },
}
"""Headings, and under each the commands with what they do."""

OPTIONS = {
    "endpoint": ("-e, --endpoint ENDPOINT", "Hypervisor: URL or configured name."),
    "output": ("-o, --output table|json|yaml", "Format of the results (default: table)."),
    "verbose": ("-v, --verbose", "Print more details to stderr."),
    "debug": ("--debug", "Print a traceback with each error."),
    "version": ("--version", "Show the version and exit."),
    "help": ("-h, --help", "Show this message and exit."),
}
"""Global options by name: how they are written, and what they do."""

ABOUT = "Create virtual machines in seconds, as linked clones."

_EXAMPLES = """\
Examples:
  linkedclone endpoints add lab vsphere://admin@vsphere.local@vcenter.example
  linkedclone clone golden desk-{001..020}
  linkedclone tree golden

Help for a command: linkedclone COMMAND --help
"""


def render_overview() -> str:
    """Return the help of the program as a whole."""
    parts = ["Usage: linkedclone [OPTIONS] COMMAND [ARGS]...", f"  {ABOUT}"]
    width = max(len(name) for commands in COMMANDS.values() for name in commands)
    for heading, commands in COMMANDS.items():
        lines = [f"  {name:{width}}  {text}" for name, text in commands.items()]
        parts.append("\n".join([f"{heading}:", *lines]))
    width = max(len(form) for form, _ in OPTIONS.values())
    lines = [f"  {form:{width}}  {text}" for form, text in OPTIONS.values()]
    parts.append("\n".join(["Options (the first four also after the command):", *lines]))
    return "\n\n".join([*parts, _EXAMPLES])
