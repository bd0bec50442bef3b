"""The commands and global options in words. Standard library only, and little of it.

``linkedclone --help`` is written from this alone, in a third of the time that
importing click takes; the grammar takes its texts from here too.
"""

PROGRAM = "linkedclone"

COMMANDS = {
    "Clones": {
        "clone": "Make linked clones of a VM, each proven to be linked.",
        "prepare": "Check a golden image before it is cloned, and mend it.",
        "delete": "Delete VMs, unless something hangs from them.",
        "start": "Start VMs.",
        "stop": "Stop VMs hard, as if the plug were pulled.",
        "restart": "Stop VMs hard and start them again.",
        "rename": "Give a VM another name.",
        "relocate": "Move VMs so that they stay linked.",
        "promote": "Make linked clones full ones.",
        "grow": "Make a disk of a VM larger.",
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
        "usage": "Show how much space families take and save.",
        "gc": "Find unused files and snapshots; with --yes remove them.",
        "console": "Join a VM's serial console, or say where its screen is.",
        "inventory": "Print the linked clones as a dynamic inventory for Ansible.",
        "snapshot": "List, take, delete and revert to snapshots.",
    },
    "On this machine (local:)": {
        "image": "Make parents from disk images, list and remove them.",
        "ssh": "Log in to a running clone.",
        "export": "Write a disk of a VM to one self-contained file.",
        "move": "Move the state folder to another path or file system.",
        "unit": "Print a systemd unit that starts VMs when you log in, or at boot.",
    },
    "Set up": {
        "endpoints": "Add, list, test and remove hypervisors.",
        "doctor": "Check what linked clones need of an endpoint.",
        "completion": "Print the completion script for a shell.",
    },
}
"""Headings, and under each the commands with what they do."""

OPTIONS = {
    "endpoint": ("-e, --endpoint ENDPOINT", "Hypervisor: URL or configured name."),
    "output": ("-o, --output table|json|yaml", "How results are written (default: table)."),
    "verbose": ("-v, --verbose", "Say more while at it, on stderr."),
    "debug": ("--debug", "Show where in the program an error arose."),
    "version": ("--version", "Show the version and exit."),
    "help": ("-h, --help", "Show this message and exit."),
}
"""Global options by name: how they are written, and what they do."""

ABOUT = "Virtual machines in seconds, as linked clones."

_EXAMPLES = """\
Examples:
  linkedclone endpoints add lab vsphere://admin@vsphere.local@vcenter.example
  linkedclone clone golden desk-{001..020}
  linkedclone tree golden

More about a command: linkedclone COMMAND --help
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
