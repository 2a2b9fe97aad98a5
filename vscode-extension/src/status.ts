// Turns the facts into what the status bar shows: one state, the most pressing one.
import type { Connection } from "./connection";
import { timeText, type Facts } from "./facts";
import type { Host } from "./host";

export type Kind =
  | "missing"
  | "refused"
  | "offline"
  | "slow"
  | "starting"
  | "snoozed"
  | "excluded"
  | "off"
  | "thinking"
  | "ready";

export interface Status {
  readonly kind: Kind;
  readonly text: string; // with the editor's $(icons)
  readonly tooltip: string;
  readonly isWarning: boolean; // nothing helps until somebody does something
  readonly action?: Action; // what
}

export interface Action {
  readonly title: string;
  readonly command: string;
}

const ICONS: Readonly<Record<Kind, string>> = {
  missing: "warning",
  refused: "key",
  offline: "debug-disconnect",
  slow: "watch",
  starting: "loading~spin",
  snoozed: "bell-slash",
  excluded: "circle-slash",
  off: "circle-slash",
  thinking: "loading~spin",
  ready: "sparkle",
};

const ACTIONS: Partial<Readonly<Record<Kind, Action>>> = {
  missing: { title: "Install it", command: "hone.install" },
  refused: { title: "Set the token of the host", command: "hone.setToken" },
};

const STARTING = "Hone is starting";

/** Return what to show. */
export function statusOf(facts: Facts): Status {
  const [kind, tooltip] = troubleOf(facts.connection) ?? restOf(facts);
  // News waits beside the name until it was seen: a pop-up at night helps nobody.
  const name = facts.news && kind === "ready" ? "Hone learned" : "Hone";
  const action = kind === "missing" && !facts.canInstall ? undefined : ACTIONS[kind];
  return {
    kind,
    text: `$(${ICONS[kind]}) ${name}`,
    tooltip: facts.news ? `${tooltip}\n${facts.news}` : tooltip,
    isWarning: kind === "missing" || kind === "refused",
    ...(action ? { action } : {}),
  };
}

function troubleOf(connection: Connection): [Kind, string] | undefined {
  switch (connection.kind) {
    case "missing":
      return ["missing", connection.reason];
    case "failed":
      return ["offline", notRunning(connection.reason)];
    case "stopped":
      return ["starting", STARTING];
    case "starting":
      // A new attempt is no news as long as it has not succeeded.
      return connection.reason
        ? ["offline", notRunning(connection.reason)]
        : ["starting", STARTING];
    case "running":
      return hostTroubleOf(connection.host);
  }
}

function hostTroubleOf(host: Host): [Kind, string] | undefined {
  if (host.state === "ready") return undefined;
  if (host.state === "starting") return ["starting", host.reason || STARTING];
  const kind = host.trouble === "refused" || host.trouble === "slow" ? host.trouble : "offline";
  return [kind, host.reason];
}

function restOf(facts: Facts): [Kind, string] {
  if (facts.snoozedUntilMs > facts.nowMs) {
    return ["snoozed", `Snoozed until ${timeText(facts.snoozedUntilMs, facts.nowMs)}`];
  }
  if (facts.excluded) return ["excluded", `This file is left alone: ${facts.excluded}`];
  if (!facts.isLanguageOn) return ["off", `Suggestions are off in ${facts.language ?? "here"}`];
  if (facts.isThinking) return ["thinking", "Hone is thinking"];
  return ["ready", facts.warning || "Hone is ready"];
}

function notRunning(reason: string): string {
  return `The language server does not run: ${reason}`;
}
