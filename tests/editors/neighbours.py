"""Other people's extensions, as .vsix files: a formatter, and a rival with ghost text of its own.

Both use stable API only, like any extension from a shop. The rival is quiet except in files whose
name begins with `rival`.
"""

import json
import zipfile
from pathlib import Path

RIVAL_TEXT = "  # says the rival"

FORMATTER = """
const vscode = require("vscode");
// Single quotes and no blanks at line ends, as formatters do: the whole document is given back.
exports.activate = (context) => context.subscriptions.push(
  vscode.languages.registerDocumentFormattingEditProvider("python", {
    provideDocumentFormattingEdits(document) {
      const text = document.getText();
      const last = document.lineAt(document.lineCount - 1).range.end;
      const whole = new vscode.Range(new vscode.Position(0, 0), last);
      return [vscode.TextEdit.replace(whole, text.replaceAll('"', "'"))];
    },
  }));
"""
RIVAL = """
const vscode = require("vscode");
exports.activate = (context) => context.subscriptions.push(
  vscode.languages.registerInlineCompletionItemProvider({ pattern: "**/rival*" }, {
    provideInlineCompletionItems(document, position) {
      return [new vscode.InlineCompletionItem(%s, new vscode.Range(position, position))];
    },
  }));
"""


def neighbours(folder: Path) -> list[Path]:
    """Build both; return their files."""
    sources = {"formatter": FORMATTER, "rival": RIVAL % json.dumps(RIVAL_TEXT)}
    return [packed(folder, name, source) for name, source in sources.items()]


def packed(folder: Path, name: str, source: str) -> Path:
    """Make a .vsix of one script in `folder`; return its file."""
    manifest = {
        "name": name,
        "publisher": "neighbour",
        "version": "1.0.0",
        "engines": {"vscode": "^1.91.0"},
        "main": "./extension.js",
        "activationEvents": ["onStartupFinished"],
    }
    path = folder / f"{name}.vsix"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("extension/package.json", json.dumps(manifest))
        archive.writestr("extension/extension.js", source)
    return path
