// Turns what the language server says it collected into JSON Lines for a person to read: what this
// is, then each record as it left, then what still waits to leave.

export interface Collected {
  readonly user: string | undefined; // the pseudonym; undefined where nothing is recorded
  readonly numRecords: number;
  readonly text: string;
}

/** Return the page for an answer to `hone/collected`. */
export function collectedOf(answer: unknown): Collected {
  const raw = (typeof answer === "object" && answer !== null ? answer : {}) as Readonly<
    Record<string, unknown>
  >;
  const user = typeof raw["user"] === "string" ? raw["user"] : undefined;
  const records = listOf(raw["records"]);
  const waiting = listOf(raw["waiting"]);
  const forgotten = typeof raw["num_forgotten"] === "number" ? raw["num_forgotten"] : 0;
  const head = {
    what: "summary",
    note: user === undefined ? NOTHING : ALL,
    pseudonym: user ?? null,
    records: records.length,
    older_records_not_shown: forgotten,
    still_waiting_here: waiting.length,
  };
  const lines = [head, ...records, ...waiting.map((one) => ({ ...one, what: "waiting" }))];
  const text = lines.map((line) => JSON.stringify(line)).join("\n") + "\n";
  return { user, numRecords: records.length, text };
}

const NOTHING = "Nothing is recorded in this workspace: learning is off.";
const ALL =
  "What the host recorded of this window since its language server started, in order. " +
  "What was recorded before is on the host's review page, under the same pseudonym.";

function listOf(value: unknown): object[] {
  if (!Array.isArray(value)) return [];
  return value.filter((one: unknown): one is object => typeof one === "object" && one !== null);
}
