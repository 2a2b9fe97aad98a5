import assert from "node:assert/strict";
import { test } from "node:test";
import { failed, missing, started, starting, STOPPED, told } from "../src/connection";
import { UNDECIDED } from "../src/consent";
import { timeText, type Facts } from "../src/facts";
import { hostOf, type Host } from "../src/host";
import { menuOf } from "../src/menu";
import { statusOf } from "../src/status";
import { READY } from "./fakes";

const NOW = new Date(2026, 10, 20, 9, 5).getTime();

function running(host: Partial<Host> = {}): Facts["connection"] {
  return told(started(starting(STOPPED), "", NOW), { ...READY, ...host });
}

const FACTS: Facts = {
  connection: running(),
  canInstall: false,
  consent: UNDECIDED,
  snoozedUntilMs: 0,
  excluded: "",
  language: "python",
  isLanguageOn: true,
  isThinking: false,
  latencyMs: undefined,
  serving: undefined,
  numAcceptedToday: 0,
  warning: "",
  news: "",
  nowMs: NOW,
};

function check(facts: Partial<Facts>, kind: string, tooltip: RegExp): void {
  const status = statusOf({ ...FACTS, ...facts });
  assert.equal(status.kind, kind);
  assert.match(status.tooltip, tooltip);
  assert.match(status.text, /^\$\([a-z~-]+\) Hone/);
}

function labels(facts: Partial<Facts>): string {
  return menuOf({ ...FACTS, ...facts })
    .map((line) => `${line.label} ${line.description ?? ""} -> ${line.command ?? "nothing"}`)
    .join("\n");
}

test("every state is told, with its reason", () => {
  check({}, "ready", /ready/);
  check({ isThinking: true }, "thinking", /thinking/);
  check({ isLanguageOn: false }, "off", /off in python/);
  check({ excluded: "looks like a secret" }, "excluded", /left alone: looks like a secret/);
  check({ snoozedUntilMs: NOW + 60_000 }, "snoozed", /until 09:06/);
  check({ connection: running({ state: "offline", reason: "no answer" }) }, "offline", /no answer/);
  const loading = running({ state: "starting", reason: "the host is starting" });
  check({ connection: loading }, "starting", /the host is starting/);
  check({ connection: starting(failed(STOPPED, "exit code 2", NOW)) }, "offline", /exit code 2/);
  check({ connection: starting(STOPPED) }, "starting", /Hone is starting/);
  check({ connection: failed(STOPPED, "exit code 2", NOW) }, "offline", /exit code 2/);
  check({ connection: missing("not installed") }, "missing", /not installed/);
});

test("what helps is offered with the state, where something does", () => {
  const action = (facts: Partial<Facts>): string | undefined =>
    statusOf({ ...FACTS, ...facts }).action?.command;
  const refused = running({ state: "offline", reason: "who?", trouble: "refused" });
  assert.equal(action({ connection: refused }), "hone.setToken");
  assert.equal(action({ connection: missing("gone"), canInstall: true }), "hone.install");
  assert.equal(action({ connection: missing("gone") }), undefined);
  assert.equal(action({}), undefined);
});

test("a slow host is told as slow", () => {
  const slow = running({ state: "offline", reason: "no answer within 3500 ms", trouble: "slow" });
  check({ connection: slow }, "slow", /3500 ms/);
});

test("acceptance is the host's count, where it has one", () => {
  const today = (numShown: number, numAccepted: number): string =>
    labels({ connection: running({ today: { numShown, numAccepted } }), numAcceptedToday: 99 });
  assert.match(today(7, 3), /Accepted today: 3 of 7 shown, 43 %/);
  assert.match(today(0, 0), /Accepted today: 0 of 0 shown as/);
});

test("the live adapter is told with what its gate measured, and of no other", () => {
  const live = hostOf({
    live: { sha256: "ab", number: 3, since: "2026-11-20", gain_nats: 0.0423 },
  });
  const menu = (adapter: string): string =>
    labels({
      connection: running({ live: live.live }),
      serving: { model: "starter", adapter, sinceMs: NOW, number: 3 },
    });
  assert.match(menu("ab"), /Live: v3 starter, since 09:05, \+0\.042 nats per token on held-out/);
  assert.doesNotMatch(menu("cd"), /held-out/);
});

test("the most pressing state wins", () => {
  const all = { isThinking: true, isLanguageOn: false, excluded: "x", snoozedUntilMs: NOW + 1 };
  check({ ...all, connection: missing("m") }, "missing", /m/);
  check({ ...all, connection: running({ state: "offline", reason: "o" }) }, "offline", /o/);
  check(all, "snoozed", /Snoozed/);
  check({ ...all, snoozedUntilMs: NOW }, "excluded", /x/);
});

test("versions that differ are told without an alarm", () => {
  check({ warning: "update the older one" }, "ready", /update the older one/);
});

test("news wait beside the name until they were seen", () => {
  assert.equal(
    statusOf({ ...FACTS, news: "Hone learned: adapter 1" }).text,
    "$(sparkle) Hone learned",
  );
  assert.match(labels({ news: "Hone learned: adapter 1" }), /Hone learned: adapter 1/);
});

test("the menu tells what is known", () => {
  const serving = { model: "starter", adapter: "ab".repeat(32), sinceMs: NOW - 86_400_000 };
  const menu = labels({ latencyMs: 83.6, serving, numAcceptedToday: 12 });
  assert.match(menu, /Last suggestion: 84 ms/);
  assert.match(menu, /Live: adapter abababab starter, since 2026-11-19 09:05/);
  assert.match(menu, /Accepted today: 12 in this editor/);
});

test("the menu offers what can be done now", () => {
  const awake = labels({});
  assert.match(awake, /hone\.review/);
  assert.match(awake, /hone\.showLog/);
  assert.match(awake, /hone\.learn\b/);
  assert.match(awake, /hone\.snooze/);
  assert.match(awake, /in python off .*hone\.toggleLanguage/);
  const other = labels({
    consent: { answer: "yes", numAsked: 1 },
    snoozedUntilMs: NOW + 1,
    language: undefined,
  });
  assert.match(other, /hone\.pauseLearning/);
  assert.match(other, /hone\.wake/);
  assert.doesNotMatch(other, /toggleLanguage/);
});

test("trouble comes first in the menu, with what helps", () => {
  const first = (facts: Partial<Facts>): string => labels(facts).split("\n").slice(0, 3).join();
  assert.match(first({ connection: missing("x") }), /not found.*chooseExecutable.*restart/s);
  const offline = running({ state: "offline", reason: "nothing answers" });
  assert.match(first({ connection: offline }), /nothing answers.*startHost.*chooseHost/s);
  const refused = running({ state: "offline", reason: "who?", trouble: "refused" });
  assert.match(first({ connection: refused }), /^\$\(key\) Set the token.* who\? -> hone.setToken/);
  assert.match(first({ excluded: "named in .gitignore" }), /left alone: named in \.gitignore/);
  assert.match(first({ warning: "update" }), /Versions differ update/);
});

test("times of today come without the day", () => {
  assert.equal(timeText(NOW, NOW), "09:05");
  assert.equal(timeText(NOW - 86_400_000, NOW), "2026-11-19 09:05");
});
