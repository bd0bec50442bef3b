"""The examples of docs/customization.md, as they stand there."""

from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "customization.md"
TEXT = PAGE.read_text()


def _find_examples() -> dict[str, str]:
    """Return the whole YAML files, by the headings that they stand under."""
    sections = TEXT.split("\n### ")[1:]
    found = {}
    for section in sections:
        title, _, rest = section.partition("\n")
        found[title] = rest.partition("```yaml\n")[2].partition("```")[0]
    return found


EXAMPLES = _find_examples()

LINUX = "Linux with fixed addresses"
WINDOWS = "Windows in a domain"
CLOUD_INIT = "cloud-init"
SEVERAL = "Several network cards and IPv6"
STORED = "On top of a stored specification"

ENVIRONMENT = {"DESKTOP_ADMIN_PASSWORD": "c4nary-admin"}
KEYRING = {("corp.example", "joiner"): "c4nary-joiner"}
"""The passwords that the examples name the sources of."""


def write_example(folder: Path, title: str) -> Path:
    """Write an example into a file as it stands."""
    path = folder / "guests.yaml"
    path.write_text(EXAMPLES[title])
    return path
