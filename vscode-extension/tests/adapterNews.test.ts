import assert from "node:assert/strict";
import { test } from "node:test";
import { gainOf, newsOf, sentence, servingOf } from "../src/adapterNews";
import { hostOf, type Host, type Live } from "../src/host";
import { READY } from "./fakes";

const A = "a".repeat(64);
const B = "b".repeat(64);
const NIGHT = new Date(2026, 10, 20, 3, 10).toISOString();
const NOON = new Date(2026, 10, 20, 12).toISOString();

function host(adapter: string | null, model = "starter"): Host {
  return { ...READY, model, adapter };
}

function live(facts: object = {}): Live {
  const known = { sha256: A, number: 12, since: NIGHT, promoted_by: "gate", ...facts };
  const read = hostOf({ live: known }).live;
  assert.ok(read);
  return read;
}

/** Return what is said when a person sees these hosts one after another. */
function said(...hosts: Host[]): string[] {
  let kept: unknown;
  return hosts.map((seen, nowMs) => {
    const news = newsOf(kept, seen, nowMs);
    kept = JSON.parse(JSON.stringify(news.serving ?? null));
    return sentence(news.change, seen.live);
  });
}

test("a change of adapter is told once", () => {
  const messages = said(host(null), host(A), host(A), host(B));
  const learned = (name: string): string => `Hone learned: adapter ${name} serves now`;
  assert.deepEqual(messages, ["", learned("aaaaaaaa"), "", learned("bbbbbbbb")]);
});

test("a roll back is told as what it is", () => {
  assert.deepEqual(said(host(A), host(null)), ["", "Hone went back to the base model"]);
  const newer = { ...host(B), live: live({ sha256: B, number: 13 }) };
  const older = { ...host(A), live: live() };
  assert.equal(said(newer, older)[1], "Hone went back to v12");
});

test("a first sight, another model or a host that is away is no news", () => {
  assert.deepEqual(said(host(A)), [""]);
  assert.deepEqual(said(host(A), host(B, "other")), ["", ""]);
  const away: Host = { ...host(B), state: "offline" };
  assert.deepEqual(said(host(A), away, host(A)), ["", "", ""]);
});

test("what was learned is told with what the gate measured", () => {
  const tell = (facts: object): string => sentence({ adapter: A, before: 11 }, live(facts));
  const better = { matched_change: 0.08, gain_nats: 0.042 };
  assert.equal(
    tell(better),
    "Hone learned overnight: v12, +8 % matched characters on held-out code",
  );
  assert.match(tell({ ...better, since: NOON }), /^Hone learned: v12, \+8 %/);
  assert.equal(tell({}), "Hone learned overnight: v12");
  assert.equal(
    tell({ promoted_by: "ada", gain_nats: -0.0101 }),
    "Hone: v12 serves now, promoted by ada, \u22120.010 nats per token on held-out code",
  );
});

test("a loss is told as a loss, a small gain as a small one", () => {
  assert.match(gainOf(live({ matched_change: -0.013 })), /^\u22121\.3 % matched/);
  assert.match(gainOf(live({ matched_change: 0.004 })), /^\+0\.4 %/);
});

test("facts of another adapter are not told of this one", () => {
  const change = { adapter: B, before: 11 };
  assert.equal(sentence(change, live()), "Hone learned: adapter bbbbbbbb serves now");
});

test("since when is told by the host, else it is the first sight", () => {
  const first = newsOf(undefined, host(A), 10).serving;
  assert.equal(newsOf(first, host(A), 99).serving?.sinceMs, 10);
  assert.equal(newsOf(first, host(B), 99).serving?.sinceMs, 99);
  const told = newsOf(first, { ...host(A), live: live() }, 99).serving;
  assert.deepEqual([told?.sinceMs, told?.number], [Date.parse(NIGHT), 12]);
  assert.equal(newsOf(told, host(A), 99).serving?.number, 12, "what was known stays known");
});

test("what cannot be read is forgotten", () => {
  for (const kept of [undefined, null, 3, {}, { model: "m", adapter: 1, sinceMs: 2 }]) {
    assert.equal(servingOf(kept), undefined);
  }
});
