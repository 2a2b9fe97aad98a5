// An editor and a language server that do as they are told, and remember what was asked of them.
import type { ActiveEditor, Editor, Listener, Server, Settings } from "../src/editor";
import type { Message } from "../src/feedback";
import { hostOf, type Host } from "../src/host";
import type { Installing, Parts } from "../src/installation";
import type { Languages } from "../src/languages";
import type { Launch } from "../src/launch";
import type { Line } from "../src/menu";
import type { Status } from "../src/status";

export const SETTINGS: Settings = {
  automatic: true,
  languages: { "*": true },
  exclude: [],
  executable: "",
  url: "",
  numCandidates: 0,
  trace: false,
  besidePopUp: true,
};

export const READY: Host = hostOf({ state: "ready", model: "starter", adapter: null });

class FakeMemory {
  readonly values = new Map<string, unknown>();

  get(name: string): unknown {
    return this.values.get(name);
  }

  set(name: string, value: unknown): void {
    // What is kept is serialised, so shared references must not be relied upon.
    this.values.set(name, JSON.parse(JSON.stringify(value)));
  }
}

export class FakeEditor implements Editor {
  readonly version = "0.1.0";
  readonly forWorkspace = new FakeMemory();
  readonly forPerson = new FakeMemory();
  readonly secrets = new Map<string, string>();
  readonly contexts = new Map<string, boolean>();
  readonly statuses: Status[] = [];
  readonly questions: string[] = [];
  readonly told: string[] = [];
  readonly ran: string[] = [];
  readonly opened: string[] = [];
  readonly terminals: string[] = [];
  readonly texts: (readonly [string, string])[] = [];
  readonly lines: string[] = [];
  readonly picked: (readonly Line[])[] = [];
  current: Settings = SETTINGS;
  program: { command?: string; problem?: string } = { command: "/bin/hone" };
  editor: ActiveEditor | undefined;
  answer: string | undefined; // to the next question, input or pick
  nowMs = Date.UTC(2026, 10, 20, 12);
  private timers: { dueMs: number; act: () => void }[] = [];

  settings(): Settings {
    return this.current;
  }

  setLanguages(languages: Languages): Promise<void> {
    this.current = { ...this.current, languages };
    return Promise.resolve();
  }

  secret(name: string): Promise<string | undefined> {
    return Promise.resolve(this.secrets.get(name));
  }

  setSecret(name: string, value: string): Promise<void> {
    if (value) this.secrets.set(name, value);
    else this.secrets.delete(name);
    return Promise.resolve();
  }

  findProgram(_setting: string, own?: string): { command?: string; problem?: string } {
    return this.program.command === undefined && own ? { command: own } : this.program;
  }

  active(): ActiveEditor | undefined {
    return this.editor;
  }

  show(status: Status): void {
    this.statuses.push(status);
  }

  setContext(name: string, value: boolean): void {
    this.contexts.set(name, value);
  }

  tell(message: string): void {
    this.told.push(message);
  }

  ask(message: string): Promise<string | undefined> {
    this.questions.push(message);
    return Promise.resolve(this.answer);
  }

  pick(lines: readonly Line[]): Promise<Line | undefined> {
    this.picked.push(lines);
    return Promise.resolve(lines.find((line) => line.label === this.answer));
  }

  input(): Promise<string | undefined> {
    return Promise.resolve(this.answer);
  }

  progress(
    title: string,
    work: (report: (message: string) => void, signal: AbortSignal) => Promise<void>,
  ): Promise<void> {
    this.told.push(title);
    return work(() => undefined, new AbortController().signal);
  }

  run(command: string): Promise<void> {
    this.ran.push(command);
    return Promise.resolve();
  }

  open(url: string): Promise<void> {
    this.opened.push(url);
    return Promise.resolve();
  }

  showText(name: string, text: string): Promise<void> {
    this.texts.push([name, text]);
    return Promise.resolve();
  }

  runInTerminal(command: string, args: readonly string[]): void {
    this.terminals.push([command, ...args].join(" "));
  }

  log(line: string): void {
    this.lines.push(line);
  }

  now(): number {
    return this.nowMs;
  }

  after(ms: number, act: () => void): { dispose: () => void } {
    const timer = { dueMs: this.nowMs + ms, act };
    this.timers.push(timer);
    return {
      dispose: () => {
        this.timers = this.timers.filter((other) => other !== timer);
      },
    };
  }

  /** Let time go by, and let all that it sets off come to rest. */
  async pass(ms: number): Promise<void> {
    this.nowMs += ms;
    const due = this.timers.filter((timer) => timer.dueMs <= this.nowMs);
    this.timers = this.timers.filter((timer) => timer.dueMs > this.nowMs);
    for (const timer of due) timer.act();
    await rest();
  }

  get kinds(): string[] {
    return this.statuses.map((status) => status.kind);
  }
}

export class FakeInstallation implements Installing {
  canInstall = true;
  program: string | undefined;
  isOutdated = false;
  host = false;
  trouble: string | undefined; // why the next one does not succeed
  readonly installed: Parts[] = [];

  hasHost(): Promise<boolean> {
    return Promise.resolve(this.host);
  }

  install(parts: Parts): Promise<void> {
    if (this.trouble) return Promise.reject(new Error(this.trouble));
    this.installed.push(parts);
    this.program = "/own/hone";
    this.isOutdated = false;
    this.host ||= parts === "host";
    return Promise.resolve();
  }
}

export class FakeServers {
  readonly made: FakeServer[] = [];
  version: string | undefined = "0.1.0";
  trouble: string | undefined; // why the next ones do not start
  answer: unknown; // to every question

  readonly make = (launch: Launch, listener: Listener): FakeServer => {
    const server = new FakeServer(this, launch, listener);
    this.made.push(server);
    return server;
  };

  get newest(): FakeServer {
    const server = this.made.at(-1);
    if (!server) throw new Error("no server was made");
    return server;
  }

  get numRunning(): number {
    return this.made.filter((server) => server.isRunning).length;
  }
}

class FakeServer implements Server {
  readonly sent: Message[] = [];
  readonly asked: string[] = [];
  isRunning = false;

  constructor(
    private readonly servers: FakeServers,
    readonly launch: Launch,
    readonly listener: Listener,
  ) {}

  start(): Promise<string | undefined> {
    if (this.servers.trouble) return Promise.reject(new Error(this.servers.trouble));
    this.isRunning = true;
    return Promise.resolve(this.servers.version);
  }

  stop(): Promise<void> {
    this.isRunning = false;
    return Promise.resolve();
  }

  send(message: Message): void {
    this.sent.push(message);
  }

  ask(method: string): Promise<unknown> {
    this.asked.push(method);
    return Promise.resolve(this.servers.answer);
  }

  /** End without having been asked to. */
  crash(): void {
    this.isRunning = false;
    this.listener.ended("the language server ended");
  }
}

/** Let everything that waits for a settled promise run. */
export async function rest(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}
