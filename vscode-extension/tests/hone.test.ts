// The extension as a whole, but for VS Code and the language server, which are fakes.
import assert from "node:assert/strict";
import { test } from "node:test";
import { hostOf, type Host } from "../src/host";
import { READY, rest, SETTINGS } from "./fakes";
import { ACTIVE, AT, OFFLINE, consenting, offer, opened, sent } from "./window";

const LIVE = {
  sha256: "ab".repeat(32),
  number: 12,
  since: "2026-11-20T03:10:00Z",
  promoted_by: "gate",
  matched_change: 0.08,
  num_positions: 412,
};
const LEARNED: Host = hostOf({
  state: "ready",
  model: "starter",
  adapter: LIVE.sha256,
  live: LIVE,
  today: { num_shown: 7, num_accepted: 3 },
});

/** Return the kinds without repetitions: a tooltip may change while the state stays. */
function turns(kinds: readonly string[]): string[] {
  return kinds.filter((kind, place) => kind !== kinds[place - 1]);
}

test("it starts and becomes ready with one status each", async () => {
  const { editor, servers } = await opened();
  assert.deepEqual(editor.kinds, ["starting", "ready"]);
  assert.equal(servers.numRunning, 1);
  assert.equal(servers.newest.launch.options.hone.record, false);
});

test("without the program there is one status, and no attempts", async () => {
  const window = await opened(({ editor }) => {
    editor.program = { problem: "not installed" };
  });
  await window.editor.pass(3_600_000);
  assert.deepEqual(window.editor.kinds, ["missing"]);
  assert.equal(window.servers.made.length, 0);
  window.editor.program = { command: "/bin/hone" };
  await window.hone.refresh();
  assert.equal(window.servers.numRunning, 1);
});

test("after the first suggestion it asks once, and yes starts to record", async () => {
  const window = await opened();
  window.editor.answer = "Yes";
  await offer(window);
  await offer(window);
  await rest();
  assert.equal(window.editor.questions.length, 1);
  assert.deepEqual(
    window.servers.made.map((server) => server.launch.options.hone.record),
    [false, true],
  );
  assert.equal(window.servers.numRunning, 1);
  assert.ok(window.editor.contexts.get("hone.learns"));
});

test("no, or closing the question, changes nothing and asks no more", async () => {
  for (const answer of ["No", undefined]) {
    const window = await opened();
    window.editor.answer = answer;
    await offer(window);
    await offer(window);
    assert.equal(window.editor.questions.length, 1);
    assert.equal(window.servers.made.length, 1);
  }
});

test("learning can be paused, and goes on without being asked again", async () => {
  const window = await opened(consenting);
  assert.ok(window.servers.newest.launch.options.hone.record);
  await window.hone.learn(false);
  assert.ok(!window.servers.newest.launch.options.hone.record);
  await offer(window);
  assert.deepEqual(window.editor.questions, []);
  await window.hone.learn(true);
  assert.ok(window.servers.newest.launch.options.hone.record);
});

test("a token is kept as a secret, for its address only, and the server gets it", async () => {
  const window = await opened(({ editor }) => {
    editor.current = { ...SETTINGS, url: "http://gpu:1" };
  });
  window.editor.answer = " s3cret ";
  await window.hone.setToken();
  assert.equal(window.servers.newest.launch.environment["HONE_TOKEN"], "s3cret");
  assert.ok(!JSON.stringify([...window.editor.forPerson.values]).includes("s3cret"));
  window.editor.current = { ...SETTINGS, url: "http://elsewhere:1" };
  await window.hone.refresh();
  assert.equal(window.servers.newest.launch.environment["HONE_TOKEN"], undefined);
});

test("a setting that does not concern the server starts no other", async () => {
  const window = await opened();
  window.editor.current = { ...SETTINGS, automatic: false, languages: {} };
  await window.hone.refresh();
  assert.equal(window.servers.made.length, 1);
  window.editor.current = { ...SETTINGS, exclude: ["*.sql"] };
  await window.hone.refresh();
  assert.deepEqual(window.servers.newest.launch.options.hone.exclude, ["*.sql"]);
  assert.equal(window.servers.numRunning, 1);
});

test("a server that ends is started again, with one status for all attempts", async () => {
  const window = await opened();
  window.servers.trouble = "exit code 1";
  window.servers.newest.crash();
  for (let second = 0; second < 60; second++) await window.editor.pass(1_000);
  assert.equal(window.servers.made.length, 1 + 5, "after 1, 2, 4, 8 and 16 seconds");
  window.servers.trouble = undefined;
  await window.editor.pass(60_000);
  assert.equal(window.servers.numRunning, 1);
  window.hone.host(READY);
  assert.deepEqual(window.editor.questions, []);
  assert.deepEqual(turns(window.editor.kinds), [
    "starting",
    "ready",
    "offline",
    "starting",
    "ready",
  ]);
});

test("a host that is away is one status, and needs no other server", async () => {
  const window = await opened();
  for (let times = 0; times < 5; times++) window.hone.host(OFFLINE);
  window.hone.host(READY);
  assert.deepEqual(window.editor.kinds, ["starting", "ready", "offline", "ready"]);
  assert.equal(window.servers.made.length, 1);
  assert.deepEqual(window.editor.questions, []);
});

test("a new adapter is told once and quietly", async () => {
  const window = await opened();
  window.hone.host({ ...READY, adapter: "ab".repeat(32) });
  window.hone.host({ ...READY, adapter: "ab".repeat(32) });
  assert.equal(window.editor.statuses.at(-1)?.text, "$(sparkle) Hone learned");
  await window.editor.pass(8 * 3_600_000);
  assert.equal(window.editor.statuses.at(-1)?.text, "$(sparkle) Hone learned", "nobody was there");
  await offer(window);
  await window.editor.pass(30_000);
  assert.equal(window.editor.statuses.at(-1)?.text, "$(sparkle) Hone");
});

test("what is told of a new adapter waits for its facts, and is what the gate measured", async () => {
  const window = await opened();
  window.hone.host({ ...LEARNED, live: undefined });
  window.hone.host(LEARNED);
  assert.match(window.editor.statuses.at(-1)?.tooltip ?? "", /: v12, \+8 % matched characters/);
  await window.hone.menu();
  const menu = window.editor.picked[0]?.map((line) => `${line.label} ${line.description ?? ""}`);
  assert.match(menu?.join("\n") ?? "", /Live: v12 starter, since .*\+8 %.*\(412 places\)/);
  assert.match(menu?.join("\n") ?? "", /Accepted today: 3 of 7 shown, 43 %/);
});

test("a wrong token is one status with what helps, and no questions", async () => {
  const window = await opened();
  const reason = "the host refused the token or address (status 401)";
  for (let times = 0; times < 5; times++) {
    window.hone.host({ ...OFFLINE, reason, trouble: "refused" });
  }
  const status = window.editor.statuses.at(-1);
  assert.deepEqual(window.editor.kinds, ["starting", "ready", "refused"]);
  assert.deepEqual(status?.action?.command, "hone.setToken");
  assert.deepEqual(window.editor.questions, []);
});

test("a host of another release is told, and goes on to serve", async () => {
  const window = await opened();
  window.hone.host({ ...READY, version: "0.1.9" });
  assert.equal(window.editor.statuses.at(-1)?.tooltip, "Hone is ready");
  window.hone.host({ ...READY, version: "0.2.0" });
  assert.match(
    window.editor.statuses.at(-1)?.tooltip ?? "",
    /version 0\.1\.0, the host is 0\.2\.0/,
  );
  assert.equal(window.editor.kinds.at(-1), "ready");
});

test("the review page is that of the host that answers, wherever it was found", async () => {
  const window = await opened();
  await window.hone.review();
  window.hone.host({ ...READY, url: "http://127.0.0.1:9000" });
  await window.hone.review();
  assert.deepEqual(window.editor.opened, [
    "http://127.0.0.1:8750/admin",
    "http://127.0.0.1:9000/admin",
  ]);
});

test("what was collected is shown, with the way to the rest of it", async () => {
  const window = await opened(consenting);
  window.servers.answer = { user: "u/1", records: [{ what: "event" }], waiting: [] };
  window.editor.answer = "Show All on the Host";
  await window.hone.showCollected();
  assert.deepEqual(window.servers.newest.asked, ["hone/collected"]);
  const [name, text] = window.editor.texts[0] ?? ["", ""];
  assert.match(name, /\.jsonl$/);
  assert.match(text, /"pseudonym":"u\/1".*\n\{"what":"event"\}\n/);
  assert.deepEqual(window.editor.opened, ["http://127.0.0.1:8750/admin/completions?user=u%2F1"]);
});

test("where nothing is recorded that is what is shown", async () => {
  const window = await opened();
  window.servers.answer = { user: null, records: [], waiting: [] };
  await window.hone.showCollected();
  assert.match(window.editor.texts[0]?.[1] ?? "", /Nothing is recorded in this workspace/);
  assert.deepEqual(window.editor.questions, []);
});

test("the status of a file that is left alone follows the active editor", async () => {
  const window = await opened();
  window.hone.excluded("file:///.env", "it looks like a secret");
  assert.equal(window.editor.kinds.at(-1), "ready");
  window.editor.editor = {
    ...ACTIVE,
    caret: { ...AT, uri: "file:///.env" },
  };
  window.hone.render();
  assert.equal(window.editor.kinds.at(-1), "excluded");
  window.hone.excluded("file:///.env", "");
  assert.equal(window.editor.kinds.at(-1), "ready");
});

test("a rating is not taken where it would be thrown away", async () => {
  const window = await opened();
  const rate = (): Promise<void> => window.hone.suggestions.rate("down");
  await window.hone.say(rate);
  assert.match(window.editor.told.join(), /no suggestion yet/);
  window.editor.answer = "No";
  await offer(window);
  window.editor.answer = "Learn from this workspace";
  await window.hone.say(rate);
  assert.deepEqual(sent(window), []);
  assert.ok(window.servers.newest.launch.options.hone.record);
});

test("the menu runs what is picked, and opening it is having seen the news", async () => {
  const window = await opened();
  window.hone.host({ ...READY, adapter: "ab".repeat(32) });
  window.editor.answer = "$(feedback) Open the review page";
  await window.hone.menu();
  assert.deepEqual(window.editor.ran, ["hone.review"]);
  assert.equal(window.editor.statuses.at(-1)?.text, "$(sparkle) Hone");
});

test("stopping leaves nothing behind", async () => {
  const window = await opened();
  await window.hone.stop();
  await window.editor.pass(3_600_000);
  assert.equal(window.servers.numRunning, 0);
  assert.equal(window.servers.made.length, 1);
});
