// Turns what a host serves into one quiet sentence when that changed since this person last saw it.
// Knows nothing of where the memory is kept, nor of how the sentence is shown.
import type { Host } from "./connection";

export interface Serving {
  readonly model: string;
  readonly adapter: string | null;
  readonly sinceMs: number; // when this editor first saw it, epoch milliseconds
}

export interface News {
  readonly serving: Serving | undefined; // to be kept
  readonly message: string; // "" when there is nothing to tell
}

/** Return what serves now and what to say about it; a first sight is no news. */
export function newsOf(kept: unknown, host: Host, nowMs: number): News {
  const known = servingOf(kept);
  if (host.state !== "ready" || host.model === null) return { serving: known, message: "" };
  if (known?.model === host.model && known.adapter === host.adapter) {
    return { serving: known, message: "" };
  }
  const serving = { model: host.model, adapter: host.adapter, sinceMs: nowMs };
  // Another model is an administrator's choice; only a new adapter is something learned.
  const isLearned = known !== undefined && known.model === host.model;
  return { serving, message: isLearned ? sentence(host.adapter) : "" };
}

/** Return the name people see of what serves: the first characters of an adapter suffice. */
export function nameOf(adapter: string | null): string {
  return adapter === null ? "the base model" : `adapter ${adapter.slice(0, 8)}`;
}

/** Return what was kept, or undefined where it cannot be read. */
export function servingOf(kept: unknown): Serving | undefined {
  if (typeof kept !== "object" || kept === null) return undefined;
  const { model, adapter, sinceMs } = kept as Partial<Record<keyof Serving, unknown>>;
  const isAdapter = adapter === null || typeof adapter === "string";
  if (typeof model !== "string" || !isAdapter || typeof sinceMs !== "number") return undefined;
  return { model, adapter, sinceMs };
}

function sentence(adapter: string | null): string {
  return adapter === null
    ? "Hone went back to the base model"
    : `Hone learned: ${nameOf(adapter)} serves now`;
}
