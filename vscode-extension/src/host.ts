// Turns the notification `hone/status` into what is known of the host. Whatever is odd or missing
// counts as not said: an older server tells less, a newer one more.

export interface Host {
  readonly state: "starting" | "ready" | "offline";
  readonly model: string | null;
  readonly adapter: string | null; // SHA-256; null: the bare base model
  readonly reason: string;
  readonly trouble: Trouble;
  readonly version: string; // "" where it is not told
  readonly url: string; // where the server asks it, "" where it is not told
  readonly live: Live | undefined; // undefined: the bare base, or not told
  readonly today: Acceptance | undefined;
}

/** What is wrong, by what helps against it. */
export type Trouble = "" | "unreachable" | "refused" | "slow" | "faulty";

/** The adapter that serves, and what its gate measured on held-out code. */
export interface Live {
  readonly sha256: string;
  readonly number: number; // the n-th that was ever promoted
  readonly sinceMs: number; // epoch milliseconds
  readonly promotedBy: string; // "gate", or a person
  readonly matchedChange: number | undefined; // relative; .08 is 8 % more matched characters
  readonly gainNats: number | undefined; // per token
  readonly numPositions: number | undefined;
}

export interface Acceptance {
  readonly numShown: number;
  readonly numAccepted: number;
}

const TROUBLES: readonly Trouble[] = ["unreachable", "refused", "slow", "faulty"];

/** Return what `hone/status` says. */
export function hostOf(params: unknown): Host {
  const raw = fieldsOf(params);
  const state = raw["state"];
  return {
    state: state === "ready" || state === "starting" ? state : "offline",
    model: textOf(raw["model"]) ?? null,
    adapter: textOf(raw["adapter"]) ?? null,
    reason: textOf(raw["reason"]) ?? "",
    trouble: TROUBLES.find((one) => one === raw["trouble"]) ?? "",
    version: textOf(raw["version"]) ?? "",
    url: textOf(raw["url"]) ?? "",
    live: liveOf(raw["live"]),
    today: acceptanceOf(raw["today"]),
  };
}

function liveOf(params: unknown): Live | undefined {
  const raw = fieldsOf(params);
  const sha256 = textOf(raw["sha256"]);
  const number = numberOf(raw["number"]);
  const sinceMs = Date.parse(textOf(raw["since"]) ?? "");
  if (sha256 === undefined || number === undefined || Number.isNaN(sinceMs)) return undefined;
  return {
    sha256,
    number,
    sinceMs,
    promotedBy: textOf(raw["promoted_by"]) ?? "",
    matchedChange: numberOf(raw["matched_change"]),
    gainNats: numberOf(raw["gain_nats"]),
    numPositions: numberOf(raw["num_positions"]),
  };
}

function acceptanceOf(params: unknown): Acceptance | undefined {
  const raw = fieldsOf(params);
  const numShown = numberOf(raw["num_shown"]);
  const numAccepted = numberOf(raw["num_accepted"]);
  if (numShown === undefined || numAccepted === undefined) return undefined;
  return { numShown, numAccepted };
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

function numberOf(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) ? value : undefined;
}
