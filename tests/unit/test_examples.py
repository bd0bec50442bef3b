"""The examples that people copy run as they stand."""

import doctest
import re
from pathlib import Path

import pytest

import linkedclone

README = Path(__file__).parents[2] / "README.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)


def test_the_packages_own_example_runs() -> None:
    results = doctest.testmod(linkedclone)
    assert results.attempted > 0
    assert results.failed == 0


def test_the_readme_has_an_example() -> None:
    assert EXAMPLES


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_readmes_example_runs_on_the_hypervisor_in_memory(example: str) -> None:
    here = re.sub(r"connect\([^)]*\)", 'connect("memory:")', example)
    exec(compile(here, "README.md", "exec"), {})
