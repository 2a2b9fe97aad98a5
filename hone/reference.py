"""Turns the settings tree into its page: `python -m hone.reference`.

A test fails when the committed page differs. It knows nothing of what settings do.
"""

from pathlib import Path

from pydantic_core import PydanticUndefined

from hone.settings import Section, Settings, setting_names, variable_of

_INTRODUCTION = """\
# Settings

<!-- Made by `make docs` from hone/settings.py; edit that file. -->

A setting comes from a flag (`hone COMMAND --help` lists them), else from its `HONE_*` variable,
else from `hone.toml`, else it has its default. The file read is the one named by `--config` or
`HONE_CONFIG`, else `./hone.toml`, else `hone.toml` in the platform's configuration folder
(Linux: `~/.config/hone`). `hone lsp` never reads `./hone.toml`: an editor starts it inside
whatever repository is open, and a repository must not choose where source code is sent.
Relative paths in the file are relative to the file. Unknown names are refused, with exit code 2.

```toml
port = 8750
model = "starter"

[train]
min_pairs = 100

[night]
at = "03:00"
```
"""


def page() -> str:
    """Return the whole page as Markdown."""
    sections = [_INTRODUCTION, _table("General", "", "")]
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            about = (field.annotation.__doc__ or "").strip()
            sections.append(_table(f"[{name}]", about, f"{name}."))
    return "\n".join(sections)


def _table(title: str, about: str, prefix: str) -> str:
    lines = [f"## {title}", ""]
    lines += [about, ""] if about else []
    lines += ["| setting | default | variable | what it does |", "|---|---|---|---|"]
    for name, field in setting_names().items():
        section, dot, last = name.rpartition(".")
        if section + dot == prefix:
            default = _default(field.default)
            lines.append(f"| `{last}` | {default} | `{variable_of(name)}` | {field.description} |")
    return "\n".join(lines) + "\n"


def _default(value: object) -> str:
    if value is None or value is PydanticUndefined:
        return "unset"
    if value == ():
        return "none"
    return f"`{value}`"


if __name__ == "__main__":
    Path("docs/settings.md").write_text(page(), encoding="utf-8")
