"""Neovim with the README's set-up: ghost text, and what became of it in the store, exactly."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import Host, wait_until
from stories import Story, check, faults_of, stories_of

ROOT = Path(__file__).parents[2]
NVIM = str(Path(os.environ.get("TEST_NEOVIM", "nowhere")).resolve())
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not Path(NVIM).exists(),
        reason="TEST_NEOVIM names no Neovim 0.12; make test-neovim installs it from Debian forky",
    ),
]

TEXT = "import os\n\n\ndef main():\n    for index in ra"
KEY = "n"
GHOST = """(function()
  local namespace = vim.api.nvim_get_namespaces()['nvim.lsp.inline_completion']
  local marks = vim.api.nvim_buf_get_extmarks(0, namespace, 0, -1, {details = true})
  return marks[1] and marks[1][4].virt_text[1][1] or ''
end)()"""


class Neovim:
    """A headless Neovim, driven by keys; what it shows is read from its marks."""

    def __init__(self, folder: Path, host: Host) -> None:
        self.folder, self.socket = folder, str(folder / "nvim.sock")
        (folder / "init.lua").write_text(documented_setup())
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HONE_URL": host.url,
            "HONE_DATA": str(folder / "hone"),
            "HONE_EDITOR__TIMEOUT_MS": "20000",
            "XDG_STATE_HOME": str(folder / "state"),
        }
        command = [NVIM, "--headless", "--clean", "-u", str(folder / "init.lua")]
        self.process = subprocess.Popen(
            [*command, "--listen", self.socket], cwd=folder, env=environment
        )
        wait_until(lambda: Path(self.socket).exists(), "Neovim listens")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)

    def send(self, keys: str) -> None:
        """Press keys, as Vim spells them."""
        subprocess.run([NVIM, "--server", self.socket, "--remote-send", keys], check=True)

    def lua(self, expression: str) -> Any:
        """Return the value of a Lua expression."""
        wanted = f"json_encode(luaeval({json.dumps(' '.join(expression.split()))}))"
        command = [NVIM, "--server", self.socket, "--remote-expr", wanted]
        return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)

    def write(self, name: str, text: str) -> None:
        """Open a new file in insert mode, at its end."""
        (self.folder / name).write_text(text)
        self.send(f"<Esc>:edit {name}<CR>GA")

    def wait_for_server(self) -> None:
        """Wait until the language server has the file."""
        attached = "#vim.lsp.get_clients({name = 'hone', bufnr = 0})"
        wait_until(lambda: self.lua(attached) == 1, "the server is attached")

    def ghost(self) -> str:
        """Wait for ghost text; return its first line."""
        return str(wait_until(lambda: self.lua(GHOST), "ghost text"))

    def text(self) -> str:
        """Return the buffer's text."""
        return "\n".join(self.lua("vim.api.nvim_buf_get_lines(0, 0, -1, false)"))

    def leave(self) -> None:
        """Save and close the file."""
        self.send("<Esc>:write | bdelete<CR>")


def documented_setup() -> str:
    """Return the set-up as the README has it."""
    (setup,) = re.findall(r"^```lua\n(.*?)^```", (ROOT / "README.md").read_text(), re.S | re.M)
    return str(setup)


@pytest.fixture(scope="module")
def neovim(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neovim]:
    neovim = Neovim(tmp_path_factory.mktemp("neovim"), host)
    yield neovim
    neovim.stop()


@pytest.fixture
def offered(neovim: Neovim, request: pytest.FixtureRequest) -> str:
    """Type a key in a file of this test's own; the ghost text, once it was there to be read."""
    neovim.write(f"{request.node.name}.py", TEXT)
    neovim.wait_for_server()
    neovim.send(KEY)
    offered = neovim.ghost()
    # Seen for less than 400 ms counts as unseen; Neovim itself says when that is over.
    neovim.lua("vim.wait(700)")
    return offered


def leave(neovim: Neovim, host: Host, request: pytest.FixtureRequest) -> list[Story]:
    neovim.leave()
    stories = stories_of(host, f"{request.node.name}.py")
    assert faults_of(host) == {}
    return stories


def test_it_is_a_neovim_that_can_do_it(neovim: Neovim) -> None:
    assert neovim.lua("vim.fn.has('nvim-0.12')") == 1
    assert len(documented_setup().strip().splitlines()) <= 10


def test_tab_accepts(
    neovim: Neovim, offered: str, host: Host, request: pytest.FixtureRequest
) -> None:
    neovim.send("<Tab>")
    wait_until(lambda: neovim.text() == TEXT + KEY + offered, "it is accepted")
    story = check(leave(neovim, host, request), "accepted")
    assert story.kinds == ["shown", "accepted", "settled"]
    assert story.outcome["settled_text"] == offered


def test_tab_is_a_tab_where_nothing_is_offered(neovim: Neovim) -> None:
    neovim.write("plain.txt", "")
    neovim.send("<Tab>")
    wait_until(lambda: neovim.text() == "\t", "a tab is typed")


def test_typing_it_is_a_success(
    neovim: Neovim, offered: str, host: Host, request: pytest.FixtureRequest
) -> None:
    for key in offered:
        neovim.send(key)
    wait_until(lambda: neovim.text() == TEXT + KEY + offered, "it is typed")
    story = check(leave(neovim, host, request), "typed_through")
    assert story.kinds == ["shown", "typed_through", "settled"]


def test_something_else_is_typed(
    neovim: Neovim, offered: str, host: Host, request: pytest.FixtureRequest
) -> None:
    neovim.send("dom")
    story = check(leave(neovim, host, request), "diverged")
    assert story.kinds == ["shown", "diverged", "settled"]
    assert story.outcome["settled_text"] == "dom"
