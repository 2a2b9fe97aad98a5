import assert from "node:assert/strict";
import { test } from "node:test";
import { newsOf, servingOf } from "../src/adapterNews";
import type { Host } from "../src/connection";

const A = "a".repeat(64);
const B = "b".repeat(64);

function host(adapter: string | null, model = "starter"): Host {
  return { state: "ready", model, adapter, reason: "" };
}

/** Return what is said when a person sees these hosts one after another. */
function said(...hosts: Host[]): string[] {
  let kept: unknown;
  return hosts.map((seen, nowMs) => {
    const news = newsOf(kept, seen, nowMs);
    kept = JSON.parse(JSON.stringify(news.serving ?? null));
    return news.message;
  });
}

test("a change of adapter is told once", () => {
  const messages = said(host(null), host(A), host(A), host(B));
  const learned = (name: string): string => `Hone learned: adapter ${name} serves now`;
  assert.deepEqual(messages, ["", learned("aaaaaaaa"), "", learned("bbbbbbbb")]);
});

test("a roll back to the base is told as what it is", () => {
  assert.deepEqual(said(host(A), host(null)), ["", "Hone went back to the base model"]);
});

test("a first sight, another model or a host that is away is no news", () => {
  assert.deepEqual(said(host(A)), [""]);
  assert.deepEqual(said(host(A), host(B, "other")), ["", ""]);
  const away: Host = { state: "offline", model: "starter", adapter: B, reason: "" };
  assert.deepEqual(said(host(A), away, host(A)), ["", "", ""]);
});

test("since when is the time of the first sight", () => {
  const first = newsOf(undefined, host(A), 10).serving;
  assert.equal(newsOf(first, host(A), 99).serving?.sinceMs, 10);
  assert.equal(newsOf(first, host(B), 99).serving?.sinceMs, 99);
});

test("what cannot be read is forgotten", () => {
  for (const kept of [undefined, null, 3, {}, { model: "m", adapter: 1, sinceMs: 2 }]) {
    assert.equal(servingOf(kept), undefined);
  }
});
