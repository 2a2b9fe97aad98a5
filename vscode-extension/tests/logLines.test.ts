import assert from "node:assert/strict";
import { test } from "node:test";
import { leavingLine, logLineOf } from "../src/logLines";

test("the server's own levels are kept, its times are not", () => {
  const line = (level: string): string => `2026-11-20 16:43:33,066 ${level} host is ready`;
  assert.deepEqual(logLineOf(line("INFO")), { level: "info", text: "host is ready" });
  assert.deepEqual(logLineOf(line("WARNING")), { level: "warn", text: "host is ready" });
  assert.deepEqual(logLineOf(line("ERROR")), { level: "error", text: "host is ready" });
});

test("any other line is told as it is", () => {
  for (const text of ["", "hone: url is 'x': write http://HOST:PORT", "  File 'a.py', line 3"]) {
    assert.deepEqual(logLineOf(text), { level: "info", text });
  }
});

test("what leaves is told whole, and whether it is recorded", () => {
  const asked = { what: "completion", prefix: "x = \n", record: false };
  const line = 'leaves now, not to be recorded: completion {"prefix":"x = \\n","record":false}';
  assert.equal(leavingLine(asked), line);
  assert.match(leavingLine({ ...asked, record: true }), /^leaves now, to be recorded: completion/);
  assert.match(leavingLine({ what: "event", kind: "shown" }), /to be recorded: event \{"kind"/);
});
