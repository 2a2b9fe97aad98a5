import assert from "node:assert/strict";
import { test } from "node:test";
import { failed, missing, started, starting, STOPPED, told, type Host } from "../src/connection";
import { UNDECIDED } from "../src/consent";
import { timeText, type Facts } from "../src/facts";
import { menuOf } from "../src/menu";
import { statusOf } from "../src/status";

const NOW = new Date(2026, 10, 20, 9, 5).getTime();
const HOST: Host = { state: "ready", model: "starter", adapter: null, reason: "" };

function running(host: Partial<Host> = {}, warning = ""): Facts["connection"] {
  return told(started(starting(STOPPED), warning, NOW), { ...HOST, ...host });
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

test("the most pressing state wins", () => {
  const all = { isThinking: true, isLanguageOn: false, excluded: "x", snoozedUntilMs: NOW + 1 };
  check({ ...all, connection: missing("m") }, "missing", /m/);
  check({ ...all, connection: running({ state: "offline", reason: "o" }) }, "offline", /o/);
  check(all, "snoozed", /Snoozed/);
  check({ ...all, snoozedUntilMs: NOW }, "excluded", /x/);
});

test("versions that differ are told without an alarm", () => {
  check({ connection: running({}, "update the older one") }, "ready", /update the older one/);
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
  assert.match(menu, /Live: adapter abababab starter, seen since 2026-11-19 09:05/);
  assert.match(menu, /Accepted today: 12/);
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
  const offline = running({ state: "offline", reason: "the host refused the token" });
  assert.match(first({ connection: offline }), /refused the token.*startHost.*setToken/s);
  assert.match(first({ excluded: "named in .gitignore" }), /left alone: named in \.gitignore/);
  assert.match(first({ connection: running({}, "update") }), /Versions differ update/);
});

test("times of today come without the day", () => {
  assert.equal(timeText(NOW, NOW), "09:05");
  assert.equal(timeText(NOW - 86_400_000, NOW), "2026-11-19 09:05");
});
