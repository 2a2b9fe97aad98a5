// Wires VS Code's events and commands to Hone; decides nothing.
import * as vscode from "vscode";
import type { ServerMaker } from "./editor";
import { Hone } from "./hone";
import { Installation } from "./installation";
import { bundledWheel, insertionOf, VsCode } from "./vscodeapi";

declare const honeLoadingMs: number; // when the bundle's first line ran
const LOAD_MS = performance.now() - honeLoadingMs;

let hone: Hone | undefined;

export function activate(context: vscode.ExtensionContext): void {
  const begunMs = performance.now();
  const channel = vscode.window.createOutputChannel("Hone", { log: true });
  const editor = new VsCode(context, channel);
  const { fsPath } = context.globalStorageUri;
  const path = process.env["PATH"] ?? "";
  const installation = new Installation(fsPath, bundledWheel(context), path);
  const makeServer: ServerMaker = async (launch, listener) => {
    // Nine tenths of this extension's code is the language client; nobody shall wait for it.
    const { StdioServer } = await import("./server.js");
    return new StdioServer(launch, listener, channel);
  };
  const here = new Hone(editor, makeServer, installation);
  hone = here;
  context.subscriptions.push(
    channel,
    ...Object.entries(commandsOf(here, editor, context.extension.id)).map(([name, act]) =>
      vscode.commands.registerCommand(name, act),
    ),
    ...listenersFor(here),
  );
  // As VS Code counts it: without what it does itself between loading and calling.
  channel.info(`activated in ${Math.ceil(LOAD_MS + performance.now() - begunMs)} ms`);
  // Waiting here would hold up every extension that starts after this one.
  void here.refresh();
}

export function deactivate(): Promise<void> | undefined {
  return hone?.stop();
}

function commandsOf(here: Hone, editor: VsCode, extension: string): Record<string, () => unknown> {
  const { suggestions } = here;
  return {
    "hone.menu": () => here.menu(),
    "hone.suggest": () => editor.run("editor.action.inlineSuggest.trigger"),
    "hone.dismiss": () => suggestions.dismiss(),
    "hone.rateUp": () => here.say(() => suggestions.rate("up")),
    "hone.rateDown": () => here.say(() => suggestions.rate("down")),
    "hone.wanted": () => here.say(() => suggestions.correct()),
    "hone.snooze": () => here.snooze(),
    "hone.wake": () => {
      suggestions.snooze(0);
    },
    "hone.toggleLanguage": () => here.toggleLanguage(),
    "hone.learn": () => here.learn(true),
    "hone.pauseLearning": () => here.learn(false),
    "hone.setToken": () => here.setToken(),
    "hone.startHost": () => here.startHost(),
    "hone.install": () => here.install(),
    "hone.review": () => here.review(),
    "hone.restart": () => here.refresh(true),
    "hone.showLog": () => {
      editor.showLog();
    },
    "hone.showCollected": () => here.showCollected(),
    "hone.chooseHost": () => editor.run("workbench.action.openSettings", "hone.url"),
    "hone.chooseExecutable": () => editor.run("workbench.action.openSettings", "hone.executable"),
    "hone.explain": async () => {
      await editor.run("workbench.action.openWalkthrough", `${extension}#start`);
      // VS Code ticks a step when its context changes, and never for what was so before it had read
      // the steps, which it does when they are first shown.
      editor.setContext("hone.explained", true);
    },
  };
}

function listenersFor(here: Hone): vscode.Disposable[] {
  const { suggestions } = here;
  return [
    vscode.workspace.onDidChangeTextDocument((event) => {
      const insertion = suggestions.offers.isLive ? insertionOf(event) : undefined;
      if (insertion) suggestions.inserted(insertion);
    }),
    ...[
      vscode.window.onDidChangeTextEditorSelection,
      vscode.window.onDidChangeTextEditorVisibleRanges,
      vscode.window.onDidChangeWindowState,
    ].map((happens: vscode.Event<unknown>) =>
      happens(() => {
        suggestions.moved();
      }),
    ),
    vscode.window.onDidChangeActiveTextEditor(() => {
      suggestions.moved();
      here.render();
    }),
    vscode.workspace.onDidChangeConfiguration((change) => {
      if (change.affectsConfiguration("hone")) void here.refresh();
    }),
    vscode.workspace.onDidGrantWorkspaceTrust(() => void here.refresh()),
    vscode.workspace.onDidChangeWorkspaceFolders(() => void here.refresh()),
  ];
}
