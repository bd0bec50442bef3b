"""Results on standard output: a table for people, JSON or YAML for programs."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from linkedclone.cli.global_options import Choices
from linkedclone.cli.terminal import speaks_utf8, write_result, write_shown
from linkedclone.model.values.vm_names import encodable


def emit(
    choices: Choices, *, document: Callable[[], Mapping[str, object]], text: Callable[[], str]
) -> None:
    """Write a result as it was asked for; ``text`` is what people are shown."""
    if choices.output == "table":
        shown = text()
        if shown:
            write_shown(shown)
    else:
        write_result(render_document(document(), choices.output))


def render_document(document: Mapping[str, object], output: str) -> str:
    """Write a document as JSON or YAML.

    What steers a terminal is escaped, so that the document stays exact.
    """
    import json

    clean = _clean(document)
    plain = json.dumps(clean, indent=2, ensure_ascii=False)
    escaped = not speaks_utf8() or not all(map(str.isprintable, plain.split("\n")))
    if output == "json":
        return json.dumps(clean, indent=2) if escaped else plain
    from io import StringIO

    from ruamel.yaml import YAML

    yaml: Any = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False
    yaml.allow_unicode = not escaped
    yaml.width = 4096
    text = StringIO()
    # Through JSON, so that both formats say the same, whatever types are inside.
    yaml.dump(json.loads(plain), text)
    return text.getvalue()


_FOREIGN: Final = frozenset({"because", "details", "note", "notes", "reason", "stopped", "text"})
"""Fields that hold words of others, who may repeat what was sent to them."""

_SENTENCES: Final = _FOREIGN | {
    "about",
    "brief",
    "hint",
    "linkedclone_unreadable",
    "not_seen",
    "remedy",
    "trouble",
    "unreadable",
    "why_not",
}
"""Fields that hold sentences of ours, which may name fields and commands."""


def _clean(value: object, key: str = "") -> object:
    """Return plain data that is valid in a document: UTF-8, and no password in others' words."""
    if isinstance(value, str):
        from linkedclone.cli.references import render_references
        from linkedclone.config.redaction import scrub

        shown = render_references(value) if key in _SENTENCES else value
        return encodable(scrub(shown) if key in _FOREIGN else shown)
    if isinstance(value, Mapping):
        return {encodable(str(name)): _clean(one, str(name)) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(one, key) for one in value]
    return value
