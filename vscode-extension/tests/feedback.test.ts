import assert from "node:assert/strict";
import { test } from "node:test";
import * as feedback from "../src/feedback";

const SUGGESTION = { completionId: "11", candidateIndex: 2, text: "a\n  b" };
const ABOUT = { completion_id: "11", candidate_index: 2 };

test("every message carries the completion's id and candidate", () => {
  const expected = [
    [feedback.dismissed(SUGGESTION), "hone/dismissed", { reason: "escape" }],
    [feedback.hidden(SUGGESTION), "hone/hidden", {}],
    [feedback.rated(SUGGESTION, "up"), "hone/rated", { rating: "up" }],
    [feedback.corrected(SUGGESTION, "c\nd"), "hone/rated", { rating: "down", correction: "c\nd" }],
  ] as const;
  for (const [message, method, facts] of expected) {
    assert.deepEqual(message, { method, params: { ...ABOUT, ...facts } });
  }
});

test("a text of several lines survives a box of one", () => {
  for (const text of ["", "one", "a\n  b\n", "\n\n"]) {
    assert.equal(feedback.manyLines(feedback.oneLine(text)), text);
    assert.ok(!feedback.oneLine(text).includes("\n"));
  }
  assert.equal(feedback.oneLine("a\r\nb\rc"), "a⏎b⏎c");
});

test("an excerpt is short and splits no character", () => {
  assert.equal(feedback.excerpt("  return x\n"), "return x");
  const excerpt = feedback.excerpt("\u{1F600}".repeat(60));
  assert.equal(excerpt, "\u{1F600}".repeat(39) + "…");
});
