// Turns what happens to the language server and its host into one state, and into when to try again.
// A pure state machine: times come in as epoch milliseconds. Knows nothing of processes or LSP.
import { hostOf, type Host } from "./host";

export interface Failed {
  readonly kind: "failed";
  readonly numFailures: number;
  readonly reason: string;
  readonly retryMs: number; // how long to wait before the next start
}

export type Connection =
  | { readonly kind: "stopped" }
  | { readonly kind: "missing"; readonly reason: string }
  | {
      readonly kind: "starting";
      readonly numFailures: number;
      readonly reason: string; // of the last failure, "" when there was none
      readonly host: Host;
    }
  | {
      readonly kind: "running";
      readonly numFailures: number;
      readonly sinceMs: number;
      readonly host: Host;
      readonly warning: string; // "" when the versions fit
    }
  | Failed;

export const STOPPED: Connection = { kind: "stopped" };
const UNKNOWN_HOST = hostOf({ state: "starting" });
const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 60_000;
const STABLE_MS = 60_000; // a server that lived so long did not fail at starting

/** No program was found; only a change of settings helps. */
export function missing(reason: string): Connection {
  return { kind: "missing", reason };
}

/** The server is being started; failures so far are remembered until it proves stable. */
export function starting(now: Connection): Connection {
  const reason = now.kind === "failed" ? now.reason : "";
  return { kind: "starting", numFailures: numFailuresOf(now), reason, host: UNKNOWN_HOST };
}

/** The server answered `initialize`. */
export function started(now: Connection, warning: string, nowMs: number): Connection {
  const host = now.kind === "starting" ? now.host : UNKNOWN_HOST;
  return { kind: "running", numFailures: numFailuresOf(now), sinceMs: nowMs, host, warning };
}

/** The server told of its host, which it may do before we heard that it runs. */
export function told(now: Connection, host: Host): Connection {
  return now.kind === "running" || now.kind === "starting" ? { ...now, host } : now;
}

/** The server ended or could not be started; waits double from one second to a minute. */
export function failed(now: Connection, reason: string, nowMs: number): Failed {
  const wasStable = now.kind === "running" && nowMs - now.sinceMs >= STABLE_MS;
  const numBefore = wasStable ? 0 : numFailuresOf(now);
  const retryMs = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(numBefore, 16));
  return { kind: "failed", numFailures: numBefore + 1, reason, retryMs };
}

/** Return the host that the server told of, while it runs. */
export function hostIn(now: Connection): Host | undefined {
  return now.kind === "running" ? now.host : undefined;
}

/** Return what to warn of when the versions of all three do not fit, or "". */
export function warningIn(now: Connection, extension: string): string {
  if (now.kind !== "running") return "";
  return now.warning || hostWarning(extension, now.host.version);
}

/** Return what to warn of when extension and server are of different releases, or "". */
export function versionWarning(extension: string, server: string | undefined): string {
  if (server !== undefined && releaseOf(server) === releaseOf(extension)) return "";
  return `this extension is version ${extension}, the hone it starts is ${server ?? "unknown"}: update the older one`;
}

/** Return what to warn of when extension and host are of different releases, or "". */
export function hostWarning(extension: string, host: string): string {
  // A host that runs from a source tree has no release to compare with.
  const isRelease = /^\d+\.\d+/.test(host);
  if (!isRelease || releaseOf(host) === releaseOf(extension)) return "";
  return `this extension is version ${extension}, the host is ${host}: update the older one`;
}

function releaseOf(version: string): string {
  return version.split(".").slice(0, 2).join(".");
}

function numFailuresOf(now: Connection): number {
  return "numFailures" in now ? now.numFailures : 0;
}
