"""The inventory that Ansible is given: groups with valid names, hosts that stay apart."""

import re
from dataclasses import replace
from typing import Any

import pytest

from linkedclone.app.ansible_inventory import (
    AnsibleHost,
    build_inventory,
    describe_host,
    find_variables,
)
from linkedclone.model.access import SshLogin
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Power, Vm
from tests.unit.building import clone_of, gold

GOLD = gold()


def host(name: str, *, uuid: str = "", parent: str = "gold", snapshot: str = "base") -> AnsibleHost:
    vm = replace(clone_of(GOLD, name), id=VmId(f"vm-{name}-{uuid}"))
    mark = vm.mark and replace(vm.mark, uuid=uuid or vm.uuid)
    vm = replace(vm, uuid=uuid or vm.uuid, mark=mark)
    return AnsibleHost(
        vm=vm,
        endpoint="memory:",
        parent=parent,
        parent_id=f"id of {parent}",
        snapshot=snapshot,
        snapshot_id="snapshot-1",
        linked=True,
    )


def inventory(*hosts: AnsibleHost) -> Any:
    return build_inventory(hosts)


def test_nothing_makes_an_empty_inventory() -> None:
    assert inventory() == {"_meta": {"hostvars": {}}, "all": {"hosts": [], "children": []}}


def test_there_are_groups_by_parent_snapshot_owner_and_power() -> None:
    made = inventory(host("one"), host("two"))
    for group in ("parent_gold", "snapshot_gold_base", "owner_linkedclone", "power_off"):
        assert made[group] == {"hosts": ["one", "two"]}
        assert group in made["all"]["children"]
    assert set(made["_meta"]["hostvars"]) == {"one", "two"}


@pytest.mark.parametrize("name", ["golden-2026.11", "Büro", "a b", "1st", "x/y", "{{ evil }}"])
def test_group_names_are_valid_variable_names(name: str) -> None:
    for group in inventory(host("one", parent=name))["all"]["children"]:
        assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", group)


def test_parents_that_would_share_a_group_have_one_each() -> None:
    made = inventory(host("one", parent="a-b"), host("two", parent="a_b"), host("three"))
    groups = [g for g in made if g.startswith("parent_a_b_")]
    assert sorted(made[group]["hosts"] for group in groups) == [["one"], ["two"]]
    assert "parent_a_b" not in made
    assert "parent_gold" in made
    again = inventory(host("two", parent="a_b"), host("one", parent="a-b"))
    assert {g: made[g] for g in groups} == {g: again[g] for g in groups}


def test_vms_of_one_name_stay_apart() -> None:
    one, two = host("twin", uuid="11111111-aa"), host("twin", uuid="22222222-bb")
    made = inventory(one, two)
    assert made["all"]["hosts"] == ["twin-11111111", "twin-22222222"]
    assert made["parent_gold"]["hosts"] == ["twin-11111111", "twin-22222222"]
    assert find_variables(made, "twin-22222222")["linkedclone_uuid"] == "22222222-bb"  # type: ignore[index]
    assert find_variables(made, "twin") is None


@pytest.mark.parametrize(
    "name",
    [
        "all",
        "ungrouped",
        "_meta",
        "power_off",
        "parent_gold",
        "localhost",
        "LocalHost",
        "127.0.0.1",
    ],
)
def test_no_host_is_called_like_a_group_or_this_machine(name: str) -> None:
    made = inventory(host(name, uuid="12345678-0"))
    assert made["all"]["hosts"] == [f"{name}-12345678"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("-oProxyCommand=reboot", "_-oProxyCommand=reboot"),
        ("a\nb\x1b[31m", "a_b_[31m"),
        ("", "_"),
        ("\ud800", "_"),
    ],
)
def test_no_host_is_called_like_an_option_or_a_line_of_its_own(name: str, shown: str) -> None:
    assert inventory(host(name, uuid="12345678-0"))["all"]["hosts"] == [shown]


def test_no_name_refers_to_two_hosts() -> None:
    twins = (host("x{{", uuid="11111111-a"), host("x{ {", uuid="22222222-b"))
    third = host("x{ {-11111111", uuid="33333333-c")
    made = inventory(*twins, third)
    assert len(set(made["all"]["hosts"])) == len(made["_meta"]["hostvars"]) == 3


def test_a_template_in_a_name_is_not_run() -> None:
    made = inventory(host("{{ lookup('pipe', 'id') }}", parent="{% x %}", snapshot="{# y"))
    ((name, variables),) = made["_meta"]["hostvars"].items()
    for text in (name, *variables.values()):
        assert not re.search(r"\{[{%#]", str(text))
    assert variables["linkedclone_parent"] == "{ % x %}"


def test_the_first_address_is_the_host() -> None:
    running = replace(host("one").vm, addresses=("10.0.0.9", "fd00::9"), power=Power.ON)
    variables = describe_host(replace(host("one"), vm=running))
    assert variables["ansible_host"] == "10.0.0.9"
    assert variables["linkedclone_addresses"] == ["10.0.0.9", "fd00::9"]
    assert variables["linkedclone_power"] == "on"
    assert "ansible_port" not in variables


def test_without_an_address_there_is_none() -> None:
    assert "ansible_host" not in describe_host(host("one"))


def test_a_login_is_shown_in_full() -> None:
    login = SshLogin(
        host="127.0.0.1",
        port=40022,
        user="root",
        key_file="/state/id_ed25519",
        options=(("UserKnownHostsFile", '"/a b/known_hosts"'), ("HostKeyAlias", "guest")),
    )
    variables = describe_host(replace(host("one"), login=login))
    assert variables["ansible_host"] == "127.0.0.1"
    assert variables["ansible_port"] == 40022
    assert variables["ansible_user"] == "root"
    assert variables["ansible_ssh_private_key_file"] == "/state/id_ed25519"
    assert variables["ansible_ssh_common_args"] == (
        "-o 'UserKnownHostsFile=\"/a b/known_hosts\"' -o HostKeyAlias=guest"
    )


def test_a_key_in_a_folder_with_odd_letters_reaches_ssh_whole() -> None:
    login = SshLogin(host="127.0.0.1", port=40022, user="root", key_file='/a 100% "b"/key')
    variables = describe_host(replace(host("one"), login=login))
    assert variables["ansible_ssh_private_key_file"] == '/a 100%% \\"b\\"/key'


def test_a_vm_without_a_parent_is_in_no_family() -> None:
    alone = AnsibleHost(vm=Vm(id=VmId("vm-1"), name="alone", uuid="u"), endpoint="memory:")
    made = inventory(alone)
    assert made["all"]["children"] == ["power_unknown"]
    assert made["_meta"]["hostvars"]["alone"]["linkedclone_parent"] is None
