import assert from "node:assert/strict";
import { test } from "node:test";
import {
  afterAsking,
  consentOf,
  mayRecord,
  shouldAsk,
  turned,
  UNDECIDED,
  type Choice,
} from "../src/consent";

function asked(...choices: Choice[]): typeof UNDECIDED {
  return choices.reduce(afterAsking, UNDECIDED);
}

test("nothing is recorded until somebody says yes", () => {
  assert.ok(!mayRecord(UNDECIDED));
  assert.ok(!mayRecord(asked("closed")));
  assert.ok(!mayRecord(asked("no")));
  assert.ok(mayRecord(asked("closed", "yes")));
});

test("consent can be taken back and given again", () => {
  const revoked = turned(asked("yes"), false);
  assert.ok(!mayRecord(revoked));
  assert.ok(!shouldAsk(revoked, false));
  assert.ok(mayRecord(turned(revoked, true)));
});

test("the question comes once per window, and never after an answer", () => {
  assert.ok(shouldAsk(UNDECIDED, false));
  assert.ok(!shouldAsk(UNDECIDED, true));
  assert.ok(!shouldAsk(asked("no"), false));
  assert.ok(!shouldAsk(asked("yes"), false));
});

test("who closes the question three times is asked no more", () => {
  assert.ok(shouldAsk(asked("closed", "closed"), false));
  assert.ok(!shouldAsk(asked("closed", "closed", "closed"), false));
});

test("whatever cannot be read is no consent", () => {
  for (const kept of [undefined, null, true, "yes", {}, { answer: "maybe" }]) {
    assert.deepEqual(consentOf(kept), UNDECIDED);
  }
  assert.deepEqual(consentOf({ answer: "yes" }), { answer: "yes", numAsked: 0 });
  const kept = asked("closed");
  assert.deepEqual(consentOf(JSON.parse(JSON.stringify(kept))), kept);
});
