// All calls of VS Code's API but the language client's, behind the interface `Editor`. Nothing here
// decides anything, and nothing here is a proposed API.
import { accessSync, constants, readdirSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import * as vscode from "vscode";
import type { ActiveEditor, Disposable, Editor, Memory, Settings } from "./editor";
import { findHone } from "./executable";
import type { Languages } from "./languages";
import type { Line } from "./menu";
import type { Insertion } from "./offers";
import type { Status } from "./status";

const TELL_MS = 5_000;
const PAGES = "hone"; // the scheme of what is shown to be read; the server never sees it

/** VS Code as the rest of the extension sees it. */
export class VsCode implements Editor {
  readonly version: string;
  readonly forWorkspace: Memory;
  readonly forPerson: Memory;
  private readonly bar: vscode.StatusBarItem;
  private readonly contexts = new Map<string, boolean>();
  private readonly pages = new Map<string, string>();
  private readonly changedPages = new vscode.EventEmitter<vscode.Uri>();

  constructor(
    private readonly context: vscode.ExtensionContext,
    private readonly channel: vscode.LogOutputChannel,
  ) {
    this.version = (context.extension.packageJSON as { version: string }).version;
    this.forWorkspace = memoryOf(context.workspaceState);
    this.forPerson = memoryOf(context.globalState);
    this.bar = vscode.window.createStatusBarItem("hone", vscode.StatusBarAlignment.Right, 100);
    this.bar.name = "Hone";
    this.bar.command = "hone.menu";
    this.bar.show();
    const pages = {
      onDidChange: this.changedPages.event,
      provideTextDocumentContent: (uri: vscode.Uri) => this.pages.get(uri.toString()) ?? "",
    };
    context.subscriptions.push(
      this.bar,
      this.changedPages,
      vscode.workspace.registerTextDocumentContentProvider(PAGES, pages),
    );
  }

  settings(): Settings {
    const all = vscode.workspace.getConfiguration("hone");
    return {
      automatic: all.get("automatic", true),
      languages: all.get<Languages>("languages", {}),
      exclude: excludedIn(all),
      executable: all.get("executable", "").trim(),
      url: (all.get<string>("url", "") || (process.env["HONE_URL"] ?? "")).trim(),
      numCandidates: all.get("candidates", 0),
      trace: all.get("trace", false),
      besidePopUp: all.get("besidePopUp", true),
    };
  }

  async setLanguages(languages: Languages): Promise<void> {
    const all = vscode.workspace.getConfiguration("hone");
    await all.update("languages", languages, vscode.ConfigurationTarget.Global);
  }

  async secret(name: string): Promise<string | undefined> {
    return this.context.secrets.get(name);
  }

  async setSecret(name: string, value: string): Promise<void> {
    if (value) await this.context.secrets.store(name, value);
    else await this.context.secrets.delete(name);
  }

  findProgram(setting: string, own?: string): { command?: string; problem?: string } {
    const found = findHone(
      {
        setting,
        searchPath: process.env["PATH"] ?? "",
        home: homedir(),
        folders: (vscode.workspace.workspaceFolders ?? [])
          .filter((folder) => folder.uri.scheme === "file")
          .map((folder) => folder.uri.fsPath),
        isTrusted: vscode.workspace.isTrusted,
        platform: process.platform,
        own,
      },
      isExecutable,
    );
    return found.command === undefined ? { problem: found.problem } : { command: found.command };
  }

  active(): ActiveEditor | undefined {
    const editor = vscode.window.activeTextEditor;
    if (!editor) return undefined;
    const { document, selection } = editor;
    const { line, character } = selection.active;
    return {
      caret: { uri: document.uri.toString(), version: document.version, line, character },
      language: document.languageId,
      selected: selection.isEmpty ? "" : document.getText(selection),
      isInView: editor.visibleRanges.some(
        (range) => range.start.line <= line && line <= range.end.line,
      ),
      isFocused: vscode.window.state.focused,
    };
  }

  show(status: Status): void {
    this.bar.text = status.text;
    this.bar.tooltip = tooltipOf(status);
    this.bar.accessibilityInformation = { label: `Hone: ${status.tooltip}` };
    this.bar.backgroundColor = status.isWarning
      ? new vscode.ThemeColor("statusBarItem.warningBackground")
      : undefined;
    this.channel.info(`status: ${status.kind}: ${status.tooltip}`);
  }

  setContext(name: string, value: boolean): void {
    // It is asked for with every key; only a change is worth a message to the window.
    if (this.contexts.get(name) === value) return;
    this.contexts.set(name, value);
    void vscode.commands.executeCommand("setContext", name, value);
  }

  tell(message: string): void {
    vscode.window.setStatusBarMessage(message, TELL_MS);
  }

  async ask(message: string, choices: readonly string[]): Promise<string | undefined> {
    return vscode.window.showInformationMessage(message, ...choices);
  }

  async pick(lines: readonly Line[], title: string): Promise<Line | undefined> {
    return vscode.window.showQuickPick([...lines], { title, placeHolder: title });
  }

  async input(title: string, value: string, isSecret: boolean): Promise<string | undefined> {
    return vscode.window.showInputBox({ title, value, password: isSecret, ignoreFocusOut: true });
  }

  async progress(
    title: string,
    work: (report: (message: string) => void, signal: AbortSignal) => Promise<void>,
  ): Promise<void> {
    const location = vscode.ProgressLocation.Notification;
    const options = { location, title, cancellable: true };
    await vscode.window.withProgress(options, (progress, token) => {
      const abort = new AbortController();
      token.onCancellationRequested(() => {
        abort.abort();
      });
      const report = (message: string): void => {
        progress.report({ message });
      };
      return work(report, abort.signal);
    });
  }

  async run(command: string, ...args: unknown[]): Promise<void> {
    await vscode.commands.executeCommand(command, ...args);
  }

  async open(url: string): Promise<void> {
    await vscode.env.openExternal(vscode.Uri.parse(url, true));
  }

  async showText(name: string, text: string): Promise<void> {
    const uri = vscode.Uri.from({ scheme: PAGES, path: `/${name}` });
    this.pages.set(uri.toString(), text);
    this.changedPages.fire(uri);
    await vscode.window.showTextDocument(uri, { preview: true });
  }

  runInTerminal(command: string, args: readonly string[]): void {
    // The program is started itself, not through a shell: no quoting, on no platform.
    const terminal = vscode.window.createTerminal({
      name: "hone up",
      shellPath: command,
      shellArgs: [...args],
    });
    terminal.show();
  }

  showLog(): void {
    this.channel.show();
  }

  log(line: string): void {
    this.channel.info(line);
  }

  now(): number {
    return Date.now();
  }

  after(ms: number, act: () => void): Disposable {
    const timer = setTimeout(act, ms);
    return {
      dispose: () => {
        clearTimeout(timer);
      },
    };
  }
}

/** Return the one insertion that a change is, if it is one. */
export function insertionOf(event: vscode.TextDocumentChangeEvent): Insertion | undefined {
  const [change] = event.contentChanges;
  if (!change?.range.isEmpty || event.contentChanges.length > 1) return undefined;
  if (event.reason !== undefined) return undefined; // undo and redo
  const { line, character } = change.range.start;
  const { uri, version } = event.document;
  return { at: { uri: uri.toString(), version, line, character }, text: change.text };
}

/** Return the wheel that this extension was packed with, if it was. */
export function bundledWheel(context: vscode.ExtensionContext): string | undefined {
  const folder = context.asAbsolutePath("wheel");
  try {
    const name = readdirSync(folder).find((file) => file.endsWith(".whl"));
    return name && join(folder, name);
  } catch {
    return undefined;
  }
}

function memoryOf(memento: vscode.Memento): Memory {
  return {
    get: (name) => memento.get(name),
    set: (name, value) => void memento.update(name, value),
  };
}

/** Return the tooltip, with what helps as a link below it. */
function tooltipOf({ tooltip, action }: Status): string | vscode.MarkdownString {
  if (!action) return tooltip;
  const text = new vscode.MarkdownString().appendText(tooltip);
  text.isTrusted = { enabledCommands: [action.command] };
  return text.appendMarkdown(`\n\n[${action.title}](command:${action.command})`);
}

/** Return the lists of all levels together: a workspace can add to what stays, never take away. */
function excludedIn(all: vscode.WorkspaceConfiguration): string[] {
  const levels = all.inspect<string[]>("exclude");
  const lists = [levels?.globalValue, levels?.workspaceValue, levels?.workspaceFolderValue];
  return [...new Set(lists.flatMap((list) => list ?? []))];
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}
