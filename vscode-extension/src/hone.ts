// Turns settings, consent and what happens to the server into a running server, one status and a
// menu. This is where the extension's parts meet; VS Code stands behind `Editor` and `Server`.
import { newsOf, sentence, servingOf, type Change } from "./adapterNews";
import { collectedOf } from "./collected";
import * as connections from "./connection";
import { afterAsking, consentOf, mayRecord, shouldAsk, turned, type Consent } from "./consent";
import type { Asked, Disposable, Editor, Listener, Server, ServerMaker } from "./editor";
import type { Facts } from "./facts";
import { FirstRun } from "./firstRun";
import type { Host } from "./host";
import type { Installing } from "./installation";
import { isEnabled, toggled } from "./languages";
import * as launches from "./launch";
import type { Launch } from "./launch";
import { menuOf } from "./menu";
import type { Suggestion } from "./offers";
import { statusOf } from "./status";
import { Suggestions } from "./suggestions";

const CONSENT = "consent"; // kept for the workspace
const LOOK_MS = 400; // who opens a menu waits no longer
const NEWS_MS = 30_000; // how long news stay once somebody is there to see them
const SNOOZES: readonly (readonly [string, number])[] = [
  ["5 minutes", 5],
  ["30 minutes", 30],
  ["2 hours", 120],
  ["8 hours", 480],
];

/** Hone in one window. */
export class Hone implements Listener {
  readonly suggestions: Suggestions;
  private readonly firstRun: FirstRun;
  private connection: connections.Connection = connections.STOPPED;
  private server: Server | undefined;
  private launch: Launch | undefined;
  private retry: Disposable | undefined;
  private work: Promise<void> = Promise.resolve();
  private wasAsked = false;
  private change: Change | undefined; // of the adapter, until somebody saw it
  private newsEnd: Disposable | undefined;
  private readonly excludedFiles = new Map<string, string>();
  private shown = "";

  constructor(
    private readonly editor: Editor,
    private readonly makeServer: ServerMaker,
    installation: Installing,
  ) {
    this.firstRun = new FirstRun(editor, installation);
    this.suggestions = new Suggestions(editor, {
      send: (message) => this.server?.send(message),
      changed: () => {
        this.render();
      },
      offered: () => {
        this.somebodyIsThere();
      },
    });
  }

  /** Bring the server in line with settings, token and consent; `force` starts it anew. */
  refresh(force = false): Promise<void> {
    this.work = this.work.then(() => this.settle(force));
    return this.work;
  }

  /** Stop for good. */
  stop(): Promise<void> {
    this.work = this.work.then(() => this.stopServer());
    return this.work;
  }

  /** Show what is so now, if that differs from what is shown. */
  render(): void {
    const status = statusOf(this.facts());
    const key = JSON.stringify(status);
    if (key !== this.shown) this.editor.show(status);
    this.shown = key;
    this.editor.setContext("hone.ready", this.isReady);
    this.editor.setContext("hone.learns", mayRecord(this.consent));
  }

  // What the server tells.

  host(host: Host): void {
    const memory = this.servingName();
    const known = servingOf(this.editor.forPerson.get(memory));
    const { serving, change } = newsOf(known, host, this.editor.now());
    if (serving && JSON.stringify(serving) !== JSON.stringify(known)) {
      this.editor.forPerson.set(memory, serving);
    }
    this.change = change ?? this.change;
    this.connection = connections.told(this.connection, host);
    this.render();
    // Whoever had a host before knows how to start it, or it is about to come back.
    if (host.trouble === "unreachable" && !known) void this.firstRun.offerHost(this.hostUrl);
  }

  excluded(uri: string, reason: string): void {
    if (reason) this.excludedFiles.set(uri, reason);
    else this.excludedFiles.delete(uri);
    this.render();
  }

  accepted(completionId: string, candidateIndex: number): void {
    this.suggestions.accepted(completionId, candidateIndex);
  }

  ended(reason: string): void {
    this.server = undefined;
    this.fail(reason);
  }

  mayAsk(asked: Asked): boolean {
    return this.suggestions.mayAsk(asked);
  }

  asking(asked: Asked): (suggestions: readonly Suggestion[], isWanted: boolean) => void {
    return this.suggestions.asking(asked);
  }

  // What people do.

  async menu(): Promise<void> {
    await this.look();
    const lines = menuOf(this.facts());
    this.seen();
    const line = await this.editor.pick(lines, "Hone");
    if (line?.command) await this.editor.run(line.command);
  }

  async snooze(): Promise<void> {
    const lines = SNOOZES.map(([label]) => ({ label }));
    const picked = await this.editor.pick(lines, "Snooze Hone for");
    const minutes = SNOOZES.find(([label]) => label === picked?.label)?.[1];
    if (minutes) this.suggestions.snooze(minutes);
  }

  async toggleLanguage(): Promise<void> {
    const language = this.editor.active()?.language;
    if (language === undefined) return;
    await this.editor.setLanguages(toggled(this.editor.settings().languages, language));
    this.render();
  }

  /** Begin or end to record what people do with suggestions in this workspace. */
  learn(on: boolean): Promise<void> {
    this.keep(turned(this.consent, on));
    return this.refresh();
  }

  async setToken(): Promise<void> {
    const { url } = this.editor.settings();
    const title = `Token of ${url ? launches.originOf(url) : "the host"}; empty forgets it`;
    const token = await this.editor.input(title, "", true);
    if (token === undefined) return;
    await this.editor.setSecret(launches.tokenName(url), token.trim());
    await this.refresh();
  }

  startHost(): Promise<void> {
    return this.firstRun.startHost(this.hostUrl);
  }

  /** Install the editor side, and use it. */
  async install(): Promise<void> {
    if (await this.firstRun.install("editor")) await this.refresh(true);
  }

  review(): Promise<void> {
    return this.editor.open(launches.reviewPage(this.hostUrl));
  }

  /** Show what was recorded here since the server started, and where the rest is. */
  async showCollected(): Promise<void> {
    const { user, numRecords, text } = collectedOf(await this.server?.ask("hone/collected"));
    await this.editor.showText("what Hone collected.jsonl", text);
    if (user === undefined) return;
    const all = "Show All on the Host";
    const message = `Hone collected ${numRecords} records in this window, as ${user}.`;
    if ((await this.editor.ask(message, [all])) === all) {
      await this.editor.open(launches.collectedPage(this.hostUrl, user));
    }
  }

  /** Rate or correct the last suggestion, where feedback is kept at all. */
  async say(about: () => Promise<void>): Promise<void> {
    if (!this.suggestions.offers.last) {
      this.editor.tell("Hone: there is no suggestion yet to say something about");
    } else if (mayRecord(this.consent)) {
      await about();
    } else {
      const yes = "Learn from this workspace";
      const message = "Hone keeps no feedback in this workspace: learning is off.";
      if ((await this.editor.ask(message, [yes])) === yes) await this.learn(true);
    }
  }

  private get consent(): Consent {
    return consentOf(this.editor.forWorkspace.get(CONSENT));
  }

  private get isReady(): boolean {
    return this.connection.kind === "running" && this.connection.host.state === "ready";
  }

  /** Where the server asks: hone.toml or a running host may have decided that, not our setting. */
  private get hostUrl(): string {
    return connections.hostIn(this.connection)?.url || this.editor.settings().url;
  }

  private keep(consent: Consent): void {
    this.editor.forWorkspace.set(CONSENT, consent);
    this.render();
  }

  private facts(): Facts {
    const active = this.editor.active();
    const { languages } = this.editor.settings();
    return {
      connection: this.connection,
      canInstall: this.firstRun.canInstall,
      consent: this.consent,
      snoozedUntilMs: this.suggestions.snoozedUntilMs,
      excluded: (active && this.excludedFiles.get(active.caret.uri)) ?? "",
      language: active?.language,
      isLanguageOn: !active || isEnabled(languages, active.language),
      isThinking: this.suggestions.isThinking,
      latencyMs: this.suggestions.latencyMs,
      serving: servingOf(this.editor.forPerson.get(this.servingName())),
      numAcceptedToday: this.suggestions.numAcceptedToday,
      news: sentence(this.change, connections.hostIn(this.connection)?.live),
      warning: connections.warningIn(this.connection, this.editor.version),
      nowMs: this.editor.now(),
    };
  }

  private servingName(): string {
    return `serving ${launches.originOf(this.editor.settings().url)}`;
  }

  private async settle(force: boolean): Promise<void> {
    const launch = await this.wanted();
    const isRunning = this.server !== undefined && this.launch !== undefined;
    if (!force && launch && isRunning && this.launch && launches.isSame(launch, this.launch))
      return;
    await this.stopServer();
    await this.firstRun.update();
    this.launch = launch;
    if (launch) await this.startServer(launch);
    this.render();
  }

  private async wanted(): Promise<Launch | undefined> {
    const settings = this.editor.settings();
    const { command, problem } = this.firstRun.find();
    this.editor.setContext("hone.found", command !== undefined);
    if (command === undefined) {
      this.connection = connections.missing(problem ?? "");
      if (!settings.executable) void this.offerInstall();
      return undefined;
    }
    const token = await this.editor.secret(launches.tokenName(settings.url));
    return launches.launchOf({ ...settings, command, token, record: mayRecord(this.consent) });
  }

  private async startServer(launch: Launch): Promise<void> {
    this.connection = connections.starting(this.connection);
    this.render();
    try {
      const server = await this.makeServer(launch, this);
      this.server = server;
      const version = await server.start();
      const warning = connections.versionWarning(this.editor.version, version);
      if (warning) this.editor.log(warning);
      this.connection = connections.started(this.connection, warning, this.editor.now());
    } catch (error) {
      this.server = undefined;
      this.fail(error instanceof Error ? error.message : String(error));
    }
  }

  private async stopServer(): Promise<void> {
    this.retry?.dispose();
    this.excludedFiles.clear();
    this.suggestions.forget();
    const server = this.server;
    this.server = undefined;
    await server?.stop();
  }

  private fail(reason: string): void {
    const state = connections.failed(this.connection, reason, this.editor.now());
    this.connection = state;
    this.suggestions.forget();
    this.editor.log(`${reason}; another attempt in ${state.retryMs / 1000} s`);
    this.retry = this.editor.after(state.retryMs, () => void this.refresh(true));
    this.render();
  }

  private async offerInstall(): Promise<void> {
    if (await this.firstRun.offerInstall()) await this.refresh(true);
  }

  /** Bring what is shown of the host up to now, unless that takes long. */
  private async look(): Promise<void> {
    await new Promise<void>((resolve) => {
      const late = this.editor.after(LOOK_MS, resolve);
      const looked = this.server?.ask("hone/look") ?? Promise.resolve();
      void looked
        .catch(() => undefined) // an older server knows no such question
        .then(() => {
          late.dispose();
          resolve();
        });
    });
  }

  /** A suggestion is on the screen: a good moment for what would disturb at any other. */
  private somebodyIsThere(): void {
    if (this.change && !this.newsEnd) {
      this.newsEnd = this.editor.after(NEWS_MS, () => {
        this.seen();
      });
    }
    if (shouldAsk(this.consent, this.wasAsked)) void this.askConsent();
  }

  private seen(): void {
    this.newsEnd?.dispose();
    this.newsEnd = undefined;
    this.change = undefined;
    this.render();
  }

  private async askConsent(): Promise<void> {
    this.wasAsked = true;
    const message =
      "May Hone record what becomes of its suggestions in this workspace, to learn from it? " +
      "It stays on your host. Suggestions work either way.";
    const answer = await this.editor.ask(message, ["Yes", "No", "What is recorded?"]);
    if (answer === "What is recorded?") await this.editor.run("hone.explain");
    const choice = answer === "Yes" ? "yes" : answer === "No" ? "no" : "closed";
    this.keep(afterAsking(this.consent, choice));
    await this.refresh();
  }
}
