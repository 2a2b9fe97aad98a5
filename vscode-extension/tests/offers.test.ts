import assert from "node:assert/strict";
import { test } from "node:test";
import { Offers, type Caret, type Suggestion } from "../src/offers";

const AT: Caret = { uri: "file:///a.py", version: 1, line: 2, character: 4 };
const FIRST: Suggestion = { completionId: "1", candidateIndex: 0, text: "pass" };
const SECOND: Suggestion = { completionId: "1", candidateIndex: 1, text: "return" };

function offering(): Offers {
  const offers = new Offers();
  offers.provided(AT, [FIRST, SECOND]);
  return offers;
}

test("the first suggestion is on offer where it was asked for, and nowhere else", () => {
  const offers = offering();
  assert.equal(offers.at(AT), FIRST);
  for (const other of [{ version: 2 }, { line: 3 }, { character: 5 }, { uri: "file:///b.py" }]) {
    assert.equal(offers.at({ ...AT, ...other }), undefined);
  }
  assert.equal(offers.at(undefined), undefined);
});

test("an answer without suggestions takes the offer away, not the memory of it", () => {
  const offers = offering();
  offers.provided(AT, []);
  assert.ok(!offers.isLive);
  assert.equal(offers.last, FIRST);
});

test("moving the caret or changing the editor leaves the offer behind, once", () => {
  for (const moved of [{ ...AT, line: 9 }, { ...AT, uri: "file:///b.py" }, undefined]) {
    const offers = offering();
    assert.equal(offers.leftBehind(moved), FIRST);
    assert.equal(offers.leftBehind(moved), undefined);
  }
});

test("typing does not leave the offer behind: it may be its own text", () => {
  const offers = offering();
  assert.equal(offers.leftBehind({ ...AT, version: 2, character: 5 }), undefined);
  assert.equal(offers.leftBehind(AT), undefined);
  assert.ok(offers.isLive);
});

test("the candidate that was accepted is what the last suggestion means", () => {
  const offers = offering();
  offers.accepted("1", 1);
  assert.ok(!offers.isLive);
  assert.equal(offers.last?.candidateIndex, 1);
});
