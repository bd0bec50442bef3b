"""The examples that people copy run as they stand."""

import doctest
import re
from pathlib import Path

import pytest

import linkedclone

ROOT = Path(__file__).parents[2]
EXAMPLES = {
    f"{page}-{number}": example
    for page in ("README.md", "docs/library.md")
    for number, example in enumerate(
        re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)
    )
}


def test_the_packages_own_example_runs() -> None:
    results = doctest.testmod(linkedclone)
    assert results.attempted > 0
    assert results.failed == 0


def test_each_page_has_an_example() -> None:
    assert {name.partition("-")[0] for name in EXAMPLES} == {"README.md", "docs/library.md"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_pages_example_runs_on_the_hypervisor_in_memory(name: str) -> None:
    here = re.sub(r"connect\(\"(?!memory:)[^)]*\)", 'connect("memory:")', EXAMPLES[name])
    exec(compile(here, name, "exec"), {})
