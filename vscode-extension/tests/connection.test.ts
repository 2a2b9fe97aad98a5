import assert from "node:assert/strict";
import { test } from "node:test";
import {
  failed,
  hostOf,
  started,
  starting,
  STOPPED,
  told,
  versionWarning,
  type Connection,
} from "../src/connection";

const READY = { state: "ready", model: "starter", adapter: null, reason: "" } as const;

/** Return the waits, in seconds, after servers that lived so many milliseconds each. */
function waits(...livedMs: number[]): number[] {
  let state: Connection = STOPPED;
  let nowMs = 0;
  return livedMs.map((lived) => {
    const up: Connection = started(starting(state), "", nowMs);
    nowMs += lived;
    const down = failed(up, "gone", nowMs);
    state = down;
    return down.retryMs / 1000;
  });
}

test("attempts come ever more seldom, but never stop", () => {
  assert.deepEqual(waits(...Array<number>(9).fill(0)), [1, 2, 4, 8, 16, 32, 60, 60, 60]);
});

test("a server that lived for a while is started again at once", () => {
  assert.deepEqual(waits(0, 0, 60_000, 0), [1, 2, 1, 2]);
});

test("what the server tells before it is known to run is kept", () => {
  const state = started(told(starting(STOPPED), READY), "", 5);
  assert.deepEqual(state.kind === "running" && state.host, READY);
});

test("a server that is gone tells nothing more", () => {
  const down = failed(starting(STOPPED), "gone", 0);
  assert.equal(told(down, READY), down);
});

test("odd notifications mean offline", () => {
  assert.deepEqual(hostOf(READY), READY);
  const nothing = { state: "offline", model: null, adapter: null, reason: "" };
  for (const odd of [undefined, null, 7, {}, { state: "gone", model: 7 }]) {
    assert.deepEqual(hostOf(odd), nothing);
  }
});

test("extension and server must be of one release; patches may differ", () => {
  assert.equal(versionWarning("0.1.0", "0.1.7"), "");
  assert.match(versionWarning("0.1.0", "0.2.0"), /0\.1\.0.*0\.2\.0/);
  assert.match(versionWarning("0.1.0", undefined), /unknown/);
});
