// Turns what a host serves into one quiet sentence when that changed since this person last saw it.
// Knows nothing of where the memory is kept, nor of how the sentence is shown. What is claimed of an
// adapter is what its gate measured, and nothing else.
import type { Host, Live } from "./host";

export interface Serving {
  readonly model: string;
  readonly adapter: string | null;
  readonly sinceMs: number; // when it began to serve, or this editor first saw it
  readonly number?: number | undefined; // of the adapter, once it is known
}

/** Something else serves than before; `before` is the number of what did. */
export interface Change {
  readonly adapter: string | null;
  readonly before: number | undefined;
}

export interface News {
  readonly serving: Serving | undefined; // to be kept
  readonly change: Change | undefined; // undefined: nothing new
}

/** Return what serves now and whether that is news; a first sight is none. */
export function newsOf(kept: unknown, host: Host, nowMs: number): News {
  const known = servingOf(kept);
  if (host.state !== "ready" || host.model === null) return { serving: known, change: undefined };
  const { model, adapter } = host;
  const isSame = known?.model === model && known.adapter === adapter;
  const serving = told(isSame ? known : { model, adapter, sinceMs: nowMs }, host.live);
  // Another model is an administrator's choice; only a new adapter is something learned.
  const isLearned = !isSame && known?.model === model;
  return { serving, change: isLearned ? { adapter, before: known.number } : undefined };
}

function told(serving: Serving, live: Live | undefined): Serving {
  if (live?.sha256 !== serving.adapter) return serving;
  return { ...serving, sinceMs: live.sinceMs, number: live.number };
}

/** Return what to say about a change; what is known of the adapter may come a little later. */
export function sentence(change: Change | undefined, live: Live | undefined): string {
  if (!change) return "";
  if (change.adapter === null) return "Hone went back to the base model";
  if (live?.sha256 !== change.adapter) return `Hone learned: ${nameOf(change.adapter)} serves now`;
  const isOlder = change.before !== undefined && live.number < change.before;
  return isOlder ? `Hone went back to v${live.number}` : praise(live);
}

function praise(live: Live): string {
  const gain = gainOf(live);
  const gained = gain && `, ${gain}`;
  if (live.promotedBy === "gate") {
    return `Hone learned${isAtNight(live.sinceMs) ? " overnight" : ""}: v${live.number}${gained}`;
  }
  const by = live.promotedBy && `, promoted by ${live.promotedBy}`;
  return `Hone: v${live.number} serves now${by}${gained}`;
}

/** Return what the gate measured, in words, or "". */
export function gainOf(live: Live): string {
  const { matchedChange, gainNats } = live;
  if (matchedChange !== undefined) {
    return `${signed(100 * matchedChange, 1)} % matched characters on held-out code`;
  }
  if (gainNats === undefined) return "";
  return `${signed(gainNats, 3)} nats per token on held-out code`;
}

/** Return the name people see of what serves: the first characters of an adapter suffice. */
export function nameOf(adapter: string | null, number?: number): string {
  if (adapter === null) return "the base model";
  return number === undefined ? `adapter ${adapter.slice(0, 8)}` : `v${number}`;
}

/** Return what was kept, or undefined where it cannot be read. */
export function servingOf(kept: unknown): Serving | undefined {
  if (typeof kept !== "object" || kept === null) return undefined;
  const { model, adapter, sinceMs, number } = kept as Partial<Record<keyof Serving, unknown>>;
  const isAdapter = adapter === null || typeof adapter === "string";
  if (typeof model !== "string" || !isAdapter || typeof sinceMs !== "number") return undefined;
  return { model, adapter, sinceMs, number: typeof number === "number" ? number : undefined };
}

function signed(value: number, numDigits: number): string {
  const digits = Math.abs(value).toFixed(numDigits).replace(/\.0$/, "");
  return `${value < 0 ? "\u2212" : "+"}${digits}`;
}

function isAtNight(ms: number): boolean {
  const hour = new Date(ms).getHours();
  return hour < 9 || hour >= 20;
}
