"""Turns `python -m lsp_server.editor` into a language server over stdio.

Editors start `hone lsp`, which reads hone.toml as well; this way needs no settings file.
"""

import argparse
from pathlib import Path

from lsp_server.editor.config import EditorConfig
from lsp_server.editor.server import run


def main() -> None:
    """Read the arguments and serve until the editor leaves."""
    parser = argparse.ArgumentParser(prog="python -m lsp_server.editor", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--url", default="http://127.0.0.1:8750")
    parser.add_argument("--token")
    parser.add_argument("--clock", choices=("system", "client"), default="system")
    parser.add_argument("--debounce-ms", type=int, default=0)
    parser.add_argument("--timeout-ms", type=int, default=3500)
    parser.add_argument("--num-candidates", type=int, default=1)
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--exclude", action="append", default=[])
    options = vars(parser.parse_args())
    run(EditorConfig(**{**options, "exclude": tuple(options["exclude"])}))


if __name__ == "__main__":
    main()
