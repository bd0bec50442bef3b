"""ARCHITECTURE.md leads a newcomer to the right file: its table is true, and leaves no room out."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "linkedclone"
TABLE = (ROOT / "ARCHITECTURE.md").read_text().partition("## Find it")[2]
PATHS = re.findall(r"`([\w./-]+)`", TABLE)
MOST_FILES = 15
VERBS = SOURCE / "cli" / "commands"


def find(path: str) -> Path:
    """A path of the table, relative to the source or to the repository."""
    inside = SOURCE / path
    return inside if inside.exists() else ROOT / path


def test_each_path_in_the_table_exists() -> None:
    assert len(PATHS) > 80
    assert [path for path in PATHS if not find(path).exists()] == []


def test_the_table_fits_on_a_screen() -> None:
    assert len(re.findall(r"^\| ", TABLE, re.MULTILINE)) <= 30


def test_each_folder_of_the_source_is_in_the_table() -> None:
    listed = {find(path).resolve() for path in PATHS}
    listed |= {path.parent for path in listed if path.is_file()}
    folders = {path.parent for path in SOURCE.rglob("*.py") if VERBS not in path.parents}
    assert sorted(str(f.relative_to(SOURCE)) for f in folders - listed - set(VERBS.parents)) == []


def test_no_room_has_more_files_than_one_takes_in_at_a_glance() -> None:
    """One file per verb is the way of this field, and the verbs have names that all know."""
    for top in (SOURCE, ROOT / "tests"):
        for folder in {path.parent for path in top.rglob("*.py")} - {VERBS}:
            files = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
            assert len(files) <= MOST_FILES, folder


def test_what_has_a_json_form_gives_it_itself_in_the_model() -> None:
    makers = {
        path.relative_to(SOURCE).parts[0]
        for path in SOURCE.rglob("*.py")
        if "def document(" in path.read_text()
    }
    assert makers == {"lineage", "model"}


def test_nothing_asks_which_driver_it_talks_to() -> None:
    """What differs between endpoints is data: their features and services."""
    asked = [
        f"{path.relative_to(SOURCE)}:{node.lineno}"
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"isinstance", "type"}
        if node.args and re.search(r"\b_?driver$", ast.unparse(node.args[0]))
    ]
    assert asked == []
