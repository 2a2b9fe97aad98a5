import assert from "node:assert/strict";
import { test } from "node:test";
import {
  failed,
  started,
  starting,
  STOPPED,
  told,
  hostWarning,
  versionWarning,
  type Connection,
} from "../src/connection";
import { READY } from "./fakes";

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

test("extension and server must be of one release; patches may differ", () => {
  assert.equal(versionWarning("0.1.0", "0.1.7"), "");
  assert.match(versionWarning("0.1.0", "0.2.0"), /0\.1\.0.*0\.2\.0/);
  assert.match(versionWarning("0.1.0", undefined), /unknown/);
});

test("a host of another release is warned of, one without a release is not", () => {
  assert.match(hostWarning("0.1.0", "0.2.0"), /0\.1\.0, the host is 0\.2\.0/);
  for (const host of ["0.1.3", "", "dev"]) assert.equal(hostWarning("0.1.0", host), "");
});
