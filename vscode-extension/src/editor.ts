// What the rest of the extension may ask of an editor and of a language server. VS Code and its
// language client stand behind these interfaces, fakes stand there in the tests.
import type { Message } from "./feedback";
import type { Host } from "./host";
import type { Languages } from "./languages";
import type { Launch } from "./launch";
import type { Line } from "./menu";
import type { Caret, Suggestion } from "./offers";
import type { Status } from "./status";

export interface Settings {
  readonly automatic: boolean;
  readonly languages: Languages;
  readonly exclude: readonly string[];
  readonly executable: string;
  readonly url: string;
  readonly numCandidates: number;
  readonly trace: boolean;
  readonly besidePopUp: boolean;
}

export interface ActiveEditor {
  readonly caret: Caret;
  readonly language: string;
  readonly selected: string; // the selected text, "" without a selection
  readonly isInView: boolean; // the caret's line is among those on the screen
  readonly isFocused: boolean; // the window is the one that is used
}

export interface Memory {
  get(name: string): unknown;
  set(name: string, value: unknown): void;
}

export interface Disposable {
  dispose(): void;
}

export interface Editor {
  readonly version: string; // of this extension
  readonly forWorkspace: Memory;
  readonly forPerson: Memory;
  settings(): Settings;
  setLanguages(languages: Languages): Promise<void>;
  secret(name: string): Promise<string | undefined>;
  setSecret(name: string, value: string): Promise<void>; // "" forgets it
  findProgram(setting: string, own?: string): { command?: string; problem?: string };
  active(): ActiveEditor | undefined;
  show(status: Status): void;
  setContext(name: string, value: boolean): void;
  tell(message: string): void; // in the status bar, gone by itself
  ask(message: string, choices: readonly string[]): Promise<string | undefined>;
  pick(lines: readonly Line[], title: string): Promise<Line | undefined>;
  input(title: string, value: string, isSecret: boolean): Promise<string | undefined>;
  /** Show that something takes its time; rejects as `work` does, whose signal says to give up. */
  progress(
    title: string,
    work: (report: (message: string) => void, signal: AbortSignal) => Promise<void>,
  ): Promise<void>;
  run(command: string, ...args: unknown[]): Promise<void>;
  open(url: string): Promise<void>; // in a browser
  showText(name: string, text: string): Promise<void>; // to be read only
  runInTerminal(command: string, args: readonly string[]): void;
  log(line: string): void;
  now(): number; // epoch milliseconds
  after(ms: number, act: () => void): Disposable;
}

export interface Asked {
  readonly at: Caret;
  readonly language: string;
  readonly isInvoked: boolean; // on demand, not while typing
  readonly isPopUpOpen: boolean; // the list of completions, with an item selected
}

/** What a language server tells while it runs; every method returns at once. */
export interface Listener {
  host(host: Host): void;
  excluded(uri: string, reason: string): void; // "" when the document is not left alone
  accepted(completionId: string, candidateIndex: number): void;
  ended(reason: string): void; // by itself, not because it was asked to
  mayAsk(asked: Asked): boolean;
  /** Call the result once the answer is there; `isWanted` is false when nobody waits any more. */
  asking(asked: Asked): (suggestions: readonly Suggestion[], isWanted: boolean) => void;
}

export interface Server {
  start(): Promise<string | undefined>; // its version; rejects when it cannot be started
  stop(): Promise<void>;
  send(message: Message): void;
  ask(method: string): Promise<unknown>;
}

export type ServerMaker = (launch: Launch, listener: Listener) => Server | Promise<Server>;
