import assert from "node:assert/strict";
import { test } from "node:test";
import { hostOf } from "../src/host";

const NOTHING = {
  state: "offline",
  model: null,
  adapter: null,
  reason: "",
  trouble: "",
  version: "",
  url: "",
  live: undefined,
  today: undefined,
};
const LIVE = { sha256: "ab", number: 12, since: "2026-11-20T03:10:00Z" };

test("odd notifications mean offline, with nothing known", () => {
  for (const odd of [undefined, null, 7, {}, { state: "gone", model: 7, trouble: "x" }]) {
    assert.deepEqual(hostOf(odd), NOTHING);
  }
});

test("what an older server tells is enough", () => {
  const told = { state: "ready", model: "starter", adapter: null, reason: "" };
  assert.deepEqual(hostOf(told), { ...NOTHING, ...told });
});

test("what serves and how the day goes is read, with what was not measured left open", () => {
  const told = { live: LIVE, today: { num_shown: 7, num_accepted: 3 }, version: "0.1.0" };
  const host = hostOf(told);
  assert.deepEqual(host.live, {
    sha256: "ab",
    number: 12,
    sinceMs: Date.UTC(2026, 10, 20, 3, 10),
    promotedBy: "",
    matchedChange: undefined,
    gainNats: undefined,
    numPositions: undefined,
  });
  assert.deepEqual(host.today, { numShown: 7, numAccepted: 3 });
});

test("half an adapter is none", () => {
  for (const change of [{ sha256: 1 }, { number: "12" }, { since: "last night" }]) {
    assert.equal(hostOf({ live: { ...LIVE, ...change } }).live, undefined);
  }
  assert.equal(hostOf({ today: { num_shown: 7 } }).today, undefined);
});
