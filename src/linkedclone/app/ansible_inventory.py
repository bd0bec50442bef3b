"""VMs as a dynamic inventory of Ansible: the JSON of its script format. Pure.

The format is that of Ansible's developer guide, "Developing dynamic inventory":
groups with their hosts, and ``_meta.hostvars`` so that Ansible need not ask for
each host. A group's name is a valid variable name, or Ansible warns.
"""

import hashlib
import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from linkedclone.model.access import SshLogin
from linkedclone.model.vm import Vm

_INVALID = re.compile(r"[^A-Za-z0-9_]")
_TEMPLATE = re.compile(r"\{(?=[{%#])")
_TAG_LETTERS = 6
_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})
"""Names under which playbooks mean the machine that Ansible runs on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsibleHost:
    """One VM as an Ansible host."""

    vm: Vm
    endpoint: str
    parent: str = ""  # name of the VM that it depends on; empty if none
    parent_id: str = ""  # what tells that from others of its name
    snapshot: str = ""  # name of the snapshot that it depends on; empty if none
    snapshot_id: str = ""  # what tells that from others of its name
    linked: bool | None = None  # whether it is linked; None where that cannot be seen
    login: SshLogin | None = None  # how to log in; None leaves it to its first address


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """A group before it has a name: what it says, and what tells it from others that say so."""

    words: str
    key: str

    @property
    def name(self) -> str:
        return _INVALID.sub("_", self.words)

    @property
    def tagged(self) -> str:
        digest = hashlib.sha256(f"{self.words}\n{self.key}".encode()).hexdigest()
        return f"{self.name}_{digest[:_TAG_LETTERS]}"


def build_inventory(hosts: Sequence[AnsibleHost]) -> dict[str, object]:
    """Return what ``--list`` prints."""
    members: dict[_Group, list[AnsibleHost]] = defaultdict(list)
    for host in hosts:
        for group in _groups(host):
            members[group].append(host)
    titles = _name_groups(tuple(members))
    names = name_hosts(hosts, taken=titles.values())
    groups = {
        titles[group]: {"hosts": sorted(names[host.vm.id] for host in some)}
        for group, some in members.items()
    }
    return {
        "_meta": {"hostvars": {names[h.vm.id]: describe_host(h) for h in hosts}},
        "all": {"hosts": sorted(names.values()), "children": sorted(groups)},
        **dict(sorted(groups.items())),
    }


def name_hosts(hosts: Sequence[AnsibleHost], taken: Iterable[str] = ()) -> dict[str, str]:
    """Return what each VM is called, by id: its name, with a part of its UUID where that is taken.

    Two VMs of one name stay apart, and no host is called like a group, like the machine
    that Ansible runs on, or like an option of ssh, which is given a host's name where no
    address is known.
    """
    names = {host.vm.id: _name_host(host.vm.name) for host in hosts}
    counts = Counter(names.values())
    reserved = {"all", "ungrouped", "_meta", *_THIS_MACHINE, *taken}
    told = {
        host.vm.id: name
        if counts[name] == 1 and name.casefold() not in reserved and name not in reserved
        else f"{name}-{(host.vm.uuid or host.vm.id)[:8]}"
        for host in hosts
        for name in (names[host.vm.id],)
    }
    again = Counter(told.values())  # another VM may be called what a tag made of this one
    return {vm: name if again[name] == 1 else f"{name}-{vm}" for vm, name in told.items()}


def _name_host(name: str) -> str:
    shown = _plain("".join(c if c.isprintable() else "_" for c in name))
    return shown if shown and not shown.startswith("-") else f"_{shown}"


def _plain(text: str) -> str:
    """Pull apart what Ansible would take for a template and run: names come from anybody."""
    return _TEMPLATE.sub("{ ", text)


def _defused(value: object) -> object:
    if isinstance(value, list):
        return [_defused(part) for part in value]
    return _plain(value) if isinstance(value, str) else value


def find_variables(inventory: Mapping[str, object], name: str) -> dict[str, object] | None:
    """Return what ``--host NAME`` prints; None if there is no such host."""
    meta = inventory["_meta"]
    variables = meta["hostvars"] if isinstance(meta, dict) else {}
    found = variables.get(name)
    return dict(found) if found is not None else None


def describe_host(host: AnsibleHost) -> dict[str, object]:
    """Return the variables of one host; where to log in is left out where it is not known."""
    vm = host.vm
    variables: dict[str, object] = {
        "linkedclone_name": vm.name,
        "linkedclone_id": vm.id,
        "linkedclone_uuid": vm.uuid,
        "linkedclone_path": vm.path,
        "linkedclone_endpoint": host.endpoint,
        "linkedclone_parent": host.parent or None,
        "linkedclone_snapshot": host.snapshot or None,
        "linkedclone_linked": host.linked,
        "linkedclone_unreadable": vm.unreadable or None,
        "linkedclone_power": vm.power.value,
        "linkedclone_owner": vm.owner,
        "linkedclone_addresses": list(vm.addresses),
    }
    return {key: _defused(value) for key, value in (variables | _describe_login(host)).items()}


def _describe_login(host: AnsibleHost) -> dict[str, object]:
    login = host.login
    if login is None:
        return {"ansible_host": host.vm.addresses[0]} if host.vm.addresses else {}
    options = (f"-o {name}={value}" for name, value in login.options)
    return {
        "ansible_host": login.host,
        "ansible_port": login.port,
        "ansible_user": login.user,
        "ansible_ssh_private_key_file": _escape_for_ssh(login.key_file),
        "ansible_ssh_common_args": " ".join(
            shlex.quote(part) for option in options for part in option.split(" ", 1)
        ),
    }


def _escape_for_ssh(path: str) -> str:
    """Escape what ssh would expand in a path: Ansible quotes the path, and does no more."""
    return path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")


def _groups(host: AnsibleHost) -> tuple[_Group, ...]:
    found = [_Group(words=f"power_{host.vm.power.value}", key="")]
    if host.vm.owner:
        found.append(_Group(words=f"owner_{host.vm.owner}", key=""))
    if host.parent:
        found.append(_Group(words=f"parent_{host.parent}", key=host.parent_id))
    if host.parent and host.snapshot:
        words = f"snapshot_{host.parent}_{host.snapshot}"
        found.append(_Group(words=words, key=f"{host.parent_id}/{host.snapshot_id}"))
    return tuple(found)


def _name_groups(groups: Sequence[_Group]) -> Mapping[_Group, str]:
    """Return the groups' names; those that would be called the same have a tag each.

    The tag is made of the group alone, so it stays when others come and go.
    """
    counts = Counter(group.name for group in groups)
    return {group: group.name if counts[group.name] == 1 else group.tagged for group in groups}
