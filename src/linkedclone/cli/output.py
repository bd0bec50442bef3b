"""Results on standard output: a table for people, JSON or YAML for programs."""

from collections.abc import Callable, Mapping
from typing import Any

from linkedclone.cli.choices import Choices
from linkedclone.cli.streams import speaks_utf8, write_result


def emit(
    choices: Choices, *, document: Callable[[], Mapping[str, object]], text: Callable[[], str]
) -> None:
    """Write a result as it was asked for; ``text`` is what people are shown."""
    if choices.output == "table":
        shown = text()
        if shown:
            write_result(shown)
    else:
        write_result(render_document(document(), choices.output))


def render_document(document: Mapping[str, object], output: str) -> str:
    """Write a document as JSON or YAML."""
    import json

    if output == "json":
        return json.dumps(document, indent=2, ensure_ascii=not speaks_utf8())
    from io import StringIO

    from ruamel.yaml import YAML

    yaml: Any = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False
    yaml.width = 4096
    text = StringIO()
    # Through JSON, so that both formats say the same, whatever types are inside.
    yaml.dump(json.loads(json.dumps(document)), text)
    return text.getvalue()
