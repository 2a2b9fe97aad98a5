"""Makes a code-server refuse proposed APIs, as VS Code from a shop does.

usage: enforce_proposed_api.py .../out/vs/workbench/api/node/extensionHostProcess.js

code-server says yes to every proposal, so an extension that would break elsewhere works there.
"""

import re
import sys
from pathlib import Path

ALWAYS_YES = re.compile(
    r"function (?P<name>\w+)\((?P<extension>\w+),(?P<proposal>\w+)\)\{return!0\}"
    r"(?=function \w+\(\w+,\w+\)\{if\(!(?P=name)\(\w+,\w+\)\)"
    r"throw new Error\(`Extension '[^`]*CANNOT use API proposal)"
)
ONLY_IF_LISTED = (
    r"function \g<name>(\g<extension>,\g<proposal>){return!!(\g<extension>.enabledApiProposals"
    r"&&\g<extension>.enabledApiProposals.includes(\g<proposal>))}"
)


def enforce(source: str) -> str:
    """Return the source with its one check of proposals in force; ValueError if it has none."""
    enforced, count = ALWAYS_YES.subn(ONLY_IF_LISTED, source)
    if count != 1:
        raise ValueError(f"expected one check of proposals, found {count}: it is built differently")
    return enforced


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(enforce(path.read_text(encoding="utf-8")), encoding="utf-8")
