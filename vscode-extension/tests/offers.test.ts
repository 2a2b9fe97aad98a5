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

function takenBy(text: string, at: Partial<Caret> = {}): [number, number, number] | undefined {
  const offers = new Offers();
  offers.provided(AT, [{ ...FIRST, text: "return one\n    and two" }, SECOND]);
  const part = offers.taken({ at: { ...AT, version: 2, ...at }, text });
  return part && [part.length, part.end.line, part.end.character];
}

test("several characters of the offer at once may be a part that was taken", () => {
  assert.deepEqual(takenBy("return"), [6, 2, 10]);
  assert.deepEqual(takenBy("return one\n    and"), [18, 3, 7]);
});

test("the whole, a key, a line break, other text or another place is no part", () => {
  for (const text of ["return one\n    and two", "r", "other", "", "\u{1F600}"]) {
    assert.equal(takenBy(text), undefined);
  }
  for (const at of [{ line: 3 }, { character: 9 }, { uri: "file:///b.py" }]) {
    assert.equal(takenBy("return", at), undefined);
  }
  const offers = new Offers();
  offers.provided(AT, [{ ...FIRST, text: "\n    pass" }]);
  assert.equal(offers.taken({ at: { ...AT, version: 2 }, text: "\n    " }), undefined);
});

test("lengths count from where it was first offered, typed characters and all", () => {
  const offers = new Offers();
  offers.provided(AT, [{ ...FIRST, text: "return one" }]);
  const later = { ...AT, version: 3, character: 7 };
  offers.provided(later, [{ ...FIRST, text: "urn one" }]);
  assert.equal(offers.taken({ at: { ...later, version: 4 }, text: "urn" })?.length, 6);
});
