"""docs/facts.md: what is cited stands there, and what stands there is cited."""

import re
from collections import Counter
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
FACTS = (ROOT / "docs" / "facts.md").read_text()
ENTRY = re.compile(r'^- <a id="([^"]+)"></a>\*\*`([^`]+)`\*\* \((.+?)\): ', re.MULTILINE)
CERTAINTIES = {"documented", "source", "reported", "measured", "inferred"}
CITING = ("src", "tests", "script", "bench", "guest")
SUFFIXES = {".py", ".go", ".md", ".sh", ""}
# Built up here, so that this file cites nothing.
CITATION = re.compile(r"\[" + r"fact:\s([^\]]+)\]")


@cache
def read_citations() -> dict[str, str]:
    """The facts that are cited, each with a file that does."""
    found: dict[str, str] = {}
    for folder in CITING:
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in SUFFIXES and path.is_file() and "golden" not in path.parts:
                text = path.read_text(errors="replace")
                # A citation may go on in the next line of a comment.
                for names in CITATION.findall(re.sub(r"\n\s*(?://|#)?\s*", " ", text)):
                    found |= {name.strip(): path.name for name in names.split(",")}
    return found


def test_each_fact_is_named_once_and_says_how_certain_it_is() -> None:
    entries = ENTRY.findall(FACTS)
    assert len(entries) == FACTS.count("<a id=") > 100
    assert [name for anchor, name, _ in entries if anchor != name] == []
    assert [
        name for name, times in Counter(name for _, name, _ in entries).items() if times > 1
    ] == []
    assert [name for _, name, said in entries if re.split(r"\W", said)[0] not in CERTAINTIES] == []


def test_each_fact_that_is_cited_exists() -> None:
    cited, known = read_citations(), {name for name, _, _ in ENTRY.findall(FACTS)}
    assert {name: where for name, where in cited.items() if name not in known} == {}


def test_each_fact_is_cited_by_code_or_tests() -> None:
    cited = read_citations()
    assert [name for name, _, _ in ENTRY.findall(FACTS) if name not in cited] == []
