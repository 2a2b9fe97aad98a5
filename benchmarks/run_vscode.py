"""Measures Hone in VS Code in a browser: from the provider's call to ghost text, start, memory.

    make bench-vscode     # installs what drives the browser, then this; writes results/vscode.json

A stopwatch extension tells when VS Code called the providers of ghost text; the browser tells when
the text was painted. In files of its own the stopwatch answers itself, at once: what that takes is
VS Code's share, and what Hone takes on top of it and of generation is ours. Both are measured in
turn in the same window.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import psutil
from facts import facts, summary, write
from neighbours import packed
from playwright.sync_api import Browser, sync_playwright
from processes import CodeServer, Host, wait_until
from window import GHOST, Window

GOALS = {"ours_beyond_generation_p50_ms": 30.0, "activation_ms": 150.0, "memory_over_mb": 30.0}
NUM_PLACES = 100  # of either kind
NUM_WINDOWS = 3
STOPWATCH = """
const vscode = require("vscode");
const fs = require("node:fs");
exports.activate = (context) => context.subscriptions.push(
  vscode.languages.registerInlineCompletionItemProvider({ pattern: "**/*.py" }, {
    provideInlineCompletionItems(document, position) {
      const calledMs = performance.timeOrigin + performance.now();
      const line = document.lineAt(position.line).text;
      fs.appendFileSync(%s, JSON.stringify({ line, calledMs }) + "\\n");
      if (!document.fileName.endsWith("control.py")) return [];
      const range = new vscode.Range(position, position);
      return [new vscode.InlineCompletionItem("ge(len(values)):", range)];
    },
  }));
"""
# A frame after the text is in the page it is on the screen.
WATCH = """(ghost) => {
  window.paintedMs = null;
  const watch = new MutationObserver(() => {
    if (!document.querySelector(ghost)) return;
    watch.disconnect();
    requestAnimationFrame(() => setTimeout(() => {
      window.paintedMs = performance.timeOrigin + performance.now();
    }));
  });
  watch.observe(document.body, { childList: true, subtree: true });
}"""


class Bench:
    """A host, and VS Code with and without Hone, each in a folder of its own."""

    def __init__(self, tools: Path, folder: Path, browser: Browser) -> None:
        self.tools, self.folder, self.browser = tools, folder, browser
        (folder / "host").mkdir()
        self.host = Host(folder / "host")
        self.calls = folder / "calls.jsonl"
        self.stopwatch = packed(folder, "stopwatch", STOPWATCH % json.dumps(str(self.calls)))

    def code_server(self, name: str, *extensions: Path) -> CodeServer:
        """Return VS Code with these extensions and the stopwatch, started."""
        hone = Path(sys.executable).parent / "hone"
        settings = {"hone.url": self.host.url, "hone.executable": str(hone)}
        server = CodeServer(self.tools, self.folder / name, settings)
        server.install(self.stopwatch, *extensions)
        server.start()
        return server

    def called_ms(self, line: str) -> float:
        """Return when VS Code last asked for a suggestion behind a line."""
        calls = [json.loads(call) for call in self.calls.read_text().splitlines()]
        return max(float(call["calledMs"]) for call in calls if call["line"] == line)

    def engine_ms(self, line: str) -> float:
        """Return how long the host generated for a line, as it recorded."""
        query = f"select engine_ms from completions where prefix like '%{line}' escape '!'"
        ((engine_ms,),) = wait_until(lambda: self.host.rows(query), f"{line} is stored")
        return float(engine_ms)


def insert(window: Window, line: str) -> None:
    """Type a line in one go, as pasting from a snippet does: one change, one question."""
    window.press("Escape")
    window.no_ghost()
    window.page.evaluate(WATCH, GHOST)
    window.page.keyboard.insert_text("\n" + line)
    window.page.wait_for_function("window.paintedMs !== null")


def measure_latency(bench: Bench, window: Window) -> dict[str, Any]:
    """From the provider's call to paint, ours and the stopwatch's own, in turns of ten."""
    whole: list[float] = []
    beyond: list[float] = []
    control: list[float] = []
    for start in range(0, NUM_PLACES, 10):
        for name, times in (("measured.py", whole), ("control.py", control)):
            window.write(f"{start}-{name}", "def main(values):\n    pass\n")
            for number in range(start, start + 10):
                line = f"for index{number} in ran"
                insert(window, line)
                painted_ms = window.page.evaluate("window.paintedMs")
                times.append(painted_ms - bench.called_ms(line))
                if times is whole:
                    beyond.append(times[-1] - bench.engine_ms(line))
            window.press("Escape")
            window.leave()
    ours = statistics.median(beyond) - statistics.median(control)
    return {
        "ours_beyond_generation_p50_ms": round(ours, 1),
        "call_to_ghost_text_ms": summary(whole, 1),
        "without_generation_ms": summary(beyond, 1),
        "vscode_alone_ms": summary(control, 1),
    }


def measure_activation(window: Window) -> float:
    """Return what VS Code's list of running extensions says of ours, in milliseconds."""
    window.run("Developer: Show Running Extensions")
    row = window.page.locator(".runtime-extensions-editor .extension", has_text="Hone").first
    text = row.locator(".activation-time").inner_text()
    digits = [word.removesuffix("ms") for word in text.split() if word.endswith("ms")]
    return float(digits[0])


def measure_memory(window: Window) -> float:
    """Return the memory of the window's extension host alone after some work, in MiB."""
    window.write("memory.py", "def main(values):\n")
    window.type("    for index in range(3):\n" * 5)
    window.saved()
    assert window.server.process
    children = psutil.Process(window.server.process.pid).children(recursive=True)
    hosts = [one for one in children if "--type=extensionHost" in " ".join(one.cmdline())]
    newest = max(hosts, key=lambda one: one.create_time())
    return float(newest.memory_full_info().uss / 2**20)


def over_windows(bench: Bench, server: CodeServer, name: str) -> list[float]:
    """Return the memory of several windows of one VS Code, one after the other."""
    values = []
    for number in range(NUM_WINDOWS):
        window = Window(bench.browser, server, f"{name}{number}", has_hone=name == "with")
        values.append(measure_memory(window))
        window.close()
    return values


def measure(bench: Bench, extension: Path) -> dict[str, Any]:
    """Measure everything."""
    bench.host.start()
    with_hone = bench.code_server("with-hone", extension)
    without = bench.code_server("without-hone")
    try:
        window = Window(bench.browser, with_hone, "latency")
        window.says_yes("def main(values):\n    for index in ra", "n")
        figures = measure_latency(bench, window)
        activation_ms = measure_activation(window)
        window.close()
        memory = {
            "with_mb": [round(mb, 1) for mb in over_windows(bench, with_hone, "with")],
            "without_mb": [round(mb, 1) for mb in over_windows(bench, without, "without")],
        }
    finally:
        with_hone.stop()
        without.stop()
        bench.host.stop()
    over = statistics.median(memory["with_mb"]) - statistics.median(memory["without_mb"])
    return {
        **figures,
        "activation_ms": activation_ms,
        "memory_over_mb": round(over, 1),
        "extension_host": memory,
    }


def main() -> None:
    """Measure, print, write down."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tools", type=Path, help="where install-code-server put it")
    parser.add_argument("extension", type=Path, help="the .vsix")
    arguments = parser.parse_args()
    os.environ["TEST_VSCODE"] = str(arguments.tools)
    about = facts()
    with tempfile.TemporaryDirectory(prefix="hone-bench-") as name, sync_playwright() as play:
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        about["versions"] |= {
            "chromium": browser.version,
            "code-server": (arguments.tools / ".installed").read_text().strip(),
        }
        bench = Bench(arguments.tools.resolve(), Path(name), browser)
        figures = measure(bench, arguments.extension.resolve())
        browser.close()
    print(json.dumps(figures, indent=2))
    for goal, limit in GOALS.items():
        reached = "ok" if figures[goal] <= limit else "MISSED"
        print(f"{goal:<34}{figures[goal]:>10}  goal {limit:<7} {reached}")
    print("written to", write("vscode", {"goals": GOALS, **figures}, about))


if __name__ == "__main__":
    main()
