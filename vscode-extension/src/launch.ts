// Turns settings, consent and the host's token into how the language server is started: arguments,
// environment and initializationOptions. Knows nothing of VS Code or processes.

export interface Launch {
  readonly command: string;
  readonly args: readonly string[];
  readonly environment: Readonly<Record<string, string>>; // on top of the editor's own
  readonly options: { readonly hone: HoneOptions };
}

export interface HoneOptions {
  readonly record: boolean; // without consent the server writes nothing, anywhere
  readonly acceptCommand: true; // VS Code runs an item's command right after Tab
  readonly exclude: readonly string[];
  readonly trace: boolean; // the server tells of each record before it leaves
}

export interface Wishes {
  readonly command: string;
  readonly url: string; // "": the environment or hone.toml decide
  readonly token: string | undefined;
  readonly numCandidates: number; // 0: hone.toml decides
  readonly exclude: readonly string[];
  readonly record: boolean;
  readonly trace: boolean;
}

/** Return how to start the server. The token travels by environment: arguments are public. */
export function launchOf(wishes: Wishes): Launch {
  return {
    command: wishes.command,
    args: ["lsp"],
    environment: {
      ...(wishes.url ? { HONE_URL: wishes.url } : {}),
      ...(wishes.token ? { HONE_TOKEN: wishes.token } : {}),
      ...(wishes.numCandidates > 0
        ? { HONE_EDITOR__NUM_CANDIDATES: String(wishes.numCandidates) }
        : {}),
    },
    options: {
      hone: {
        record: wishes.record,
        acceptCommand: true,
        exclude: wishes.exclude,
        trace: wishes.trace,
      },
    },
  };
}

/** Return whether two launches would give the same server, so that no restart is needed. */
export function isSame(one: Launch, other: Launch): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

/** Return the name under which SecretStorage keeps the token: it belongs to one address only. */
export function tokenName(url: string): string {
  return `token of ${originOf(url)}`;
}

/** Return the page where people review what was collected, at a host's address. */
export function reviewPage(url: string): string {
  return `${originOf(url)}/admin`;
}

/** Return the page with all that was recorded under a pseudonym. */
export function collectedPage(url: string, user: string): string {
  return `${reviewPage(url)}/completions?user=${encodeURIComponent(user)}`;
}

/** Return scheme, host and port of an address; "" means the default host on this machine. */
export function originOf(url: string): string {
  try {
    return new URL(url || DEFAULT_URL).origin;
  } catch {
    return url;
  }
}

export const DEFAULT_URL = "http://127.0.0.1:8750";
