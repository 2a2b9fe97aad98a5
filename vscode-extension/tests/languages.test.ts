import assert from "node:assert/strict";
import { test } from "node:test";
import { isEnabled, toggled } from "../src/languages";

test("a language's own word wins over the word for all", () => {
  assert.ok(isEnabled({}, "python"));
  assert.ok(!isEnabled({ "*": false }, "python"));
  assert.ok(isEnabled({ "*": false, python: true }, "python"));
  assert.ok(!isEnabled({ "*": true, python: false }, "python"));
});

test("turning one language leaves the others as they are", () => {
  const languages = { "*": true, markdown: false };
  assert.deepEqual(toggled(languages, "python"), { ...languages, python: false });
  assert.deepEqual(toggled(languages, "markdown"), { ...languages, markdown: true });
});
