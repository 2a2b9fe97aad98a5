import assert from "node:assert/strict";
import { test } from "node:test";
import { collectedOf } from "../src/collected";

function lines(answer: unknown): Record<string, unknown>[] {
  const { text } = collectedOf(answer);
  return text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

test("every record is a line as it left, after what all this is", () => {
  const records = [
    { what: "completion", prefix: "a\nb" },
    { what: "event", kind: "shown" },
  ];
  const answer = { user: "u1", records, waiting: [{ kind: "rated" }], num_forgotten: 2 };
  const [head, ...rest] = lines(answer);
  assert.deepEqual(
    [head?.["pseudonym"], head?.["records"], head?.["older_records_not_shown"]],
    ["u1", 2, 2],
  );
  assert.deepEqual(rest, [...records, { kind: "rated", what: "waiting" }]);
});

test("without consent, or without a server, there is nothing and it says so", () => {
  for (const answer of [undefined, {}, { user: null, records: [] }, { records: "odd" }]) {
    const [head, ...rest] = lines(answer);
    assert.match(String(head?.["note"]), /Nothing is recorded/);
    assert.deepEqual(rest, []);
  }
});
