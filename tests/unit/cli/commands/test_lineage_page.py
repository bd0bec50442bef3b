"""docs/lineage.md shows what the commands really print. ``--regenerate`` writes it anew."""

import re
import shlex
from pathlib import Path

import pytest

from linkedclone.drivers.memory.demo import fill_family
from linkedclone.drivers.memory.hypervisor import MemoryHypervisor
from tests.unit.cli.conftest import Run

PAGE = Path(__file__).parents[4] / "docs" / "lineage.md"
BLOCK = re.compile(r"^```\n(\$ linkedclone .*?)^```$", re.DOTALL | re.MULTILINE)
TIME = re.compile(r"\b\d\.\d s\b")


def _steady(text: str) -> str:
    """Return an output without what differs from run to run."""
    return TIME.sub("0.0 s", text)


@pytest.mark.usefixtures("family")
def test_the_page_of_families_shows_real_output(
    run: Run, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setenv("LINKEDCLONE_ENDPOINT", "memory:family")

    def play(match: "re.Match[str]") -> str:
        """Run the commands of a block one after the other, on one fresh hypervisor."""
        fresh = MemoryHypervisor()
        fill_family(fresh)
        monkeypatch.setattr("linkedclone.drivers.memory.driver.make_scene", lambda _: fresh)
        lines = [line for line in match[1].splitlines() if line.startswith("$ linkedclone ")]
        shown = []
        for line in lines:
            outcome = run(*shlex.split(line)[2:])
            shown.append(f"{line}\n{_steady(outcome.out + outcome.err)}")
        return "```\n" + "\n".join(shown) + "```"

    text = PAGE.read_text()
    assert len(BLOCK.findall(text)) >= 10
    real = BLOCK.sub(play, text)
    if request.config.getoption("--regenerate"):
        PAGE.write_text(real)
    assert real == PAGE.read_text()
