"""VS Code in a browser, with our extension in it, against a real host with the starter model.

`make test-vscode` installs what is needed into build/vscode and sets TEST_VSCODE to that folder;
without it these tests are left out, because that takes minutes and half a gigabyte.
"""

import os
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # lets the tests import what stands beside them

ROOT = Path(__file__).resolve().parents[2]
TOOLS = os.environ.get("TEST_VSCODE")
# Without it not even imported: what drives the browser is not installed then.
collect_ignore_glob = [] if TOOLS else ["test_vscode*.py"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Say what the windows of a test show when it fails, and keep a picture."""
    report = yield
    if report.failed:
        given = getattr(item, "funcargs", {})
        for window in [*given.get("windows", {}).values(), *filter(None, [given.get("window")])]:
            try:
                told = window.tell()
                window.photograph(f"failed-{item.name}-{window.name}")
            except Exception as error:  # a page that is gone must not hide why the test failed
                told = f"it does not answer: {error}"
            report.sections.append((f"window {window.name}", told))
    return report


@pytest.fixture(scope="session")
def tools() -> Path:
    assert TOOLS is not None
    return Path(TOOLS).resolve()


@pytest.fixture(scope="session")
def extension() -> Path:
    """The .vsix that `make vsix` built."""
    built = sorted((ROOT / "vscode-extension").glob("*.vsix"))
    assert built, "there is no .vsix: make vsix"
    return built[-1]


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from processes import Host

    host = Host(tmp_path_factory.mktemp("host"))
    host.start()
    yield host
    host.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def code_server(
    tools: Path, extension: Path, host: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """VS Code with Hone and two extensions of other people; starting it anew takes longest."""
    from neighbours import neighbours
    from processes import CodeServer

    hone = Path(sys.executable).parent / "hone"
    folder = tmp_path_factory.mktemp("code-server")
    server = CodeServer(tools, folder, {"hone.url": host.url, "hone.executable": str(hone)})
    server.install(extension, *neighbours(folder))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def open_window(browser: Any, code_server: Any) -> Iterator[Callable[..., Any]]:
    """Open VS Code on a new folder: `open_window(name, settings)`."""
    from window import Window

    windows: list[Window] = []

    def open_one(name: str, settings: dict[str, Any] | None = None) -> Window:
        windows.append(Window(browser, code_server, name, settings))
        return windows[-1]

    yield open_one
    for window in windows:
        window.close()
