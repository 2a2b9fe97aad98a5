// Turns the facts into the lines of the status bar's menu. Knows nothing of how lines are shown.
import { gainOf, nameOf, type Serving } from "./adapterNews";
import { hostIn } from "./connection";
import { mayRecord } from "./consent";
import { timeText, type Facts } from "./facts";
import type { Host } from "./host";
import { statusOf } from "./status";

export interface Line {
  readonly label: string; // with the editor's $(icons)
  readonly description?: string;
  readonly command?: string; // run when the line is picked; without one it only tells
}

const INSTALL: Line = {
  label: "$(cloud-download) Install it",
  description: "into an environment of its own",
  command: "hone.install",
};

/** Return the lines, what is wrong first, then what is known, then what can be done. */
export function menuOf(facts: Facts): Line[] {
  return [...troubles(facts), ...knowledge(facts), ...actions(facts)];
}

function troubles(facts: Facts): Line[] {
  const { kind, tooltip } = statusOf({ ...facts, news: "" });
  const { warning } = facts;
  const lines: Line[] = [];
  if (kind === "missing") {
    lines.push(
      { label: "$(warning) hone is not found", description: tooltip },
      ...(facts.canInstall ? [INSTALL] : []),
      { label: "$(gear) Name the program", command: "hone.chooseExecutable" },
      { label: "$(refresh) Look again", command: "hone.restart" },
    );
  }
  if (kind === "refused") {
    lines.push(
      { label: "$(key) Set the token of the host", description: tooltip, command: "hone.setToken" },
      { label: "$(gear) Name another host", command: "hone.chooseHost" },
    );
  }
  if (kind === "slow") {
    lines.push({ label: "$(watch) Slow", description: tooltip, command: "hone.showLog" });
  }
  if (kind === "offline") {
    lines.push(
      { label: "$(debug-disconnect) Offline", description: tooltip, command: "hone.showLog" },
      { label: "$(play) Start a host here", description: "hone up", command: "hone.startHost" },
      { label: "$(gear) Name another host", command: "hone.chooseHost" },
    );
  }
  if (kind === "excluded") lines.push({ label: "$(circle-slash) " + tooltip });
  if (warning) lines.push({ label: "$(warning) Versions differ", description: warning });
  return lines;
}

function knowledge(facts: Facts): Line[] {
  const host = hostIn(facts.connection);
  const lines: Line[] = [];
  if (facts.news) lines.push({ label: `$(mortar-board) ${facts.news}` });
  if (facts.serving) lines.push(living(facts.serving, host, facts.nowMs));
  if (facts.latencyMs !== undefined) {
    lines.push({ label: `$(watch) Last suggestion: ${Math.round(facts.latencyMs)} ms` });
  }
  lines.push(accepting(host, facts.numAcceptedToday));
  return lines;
}

function living(serving: Serving, host: Host | undefined, nowMs: number): Line {
  const live = [host?.live].find((one) => one?.sha256 === serving.adapter);
  const known = [serving.model, `since ${timeText(serving.sinceMs, nowMs)}`];
  const gain = live && gainOf(live);
  if (gain) known.push(`${gain}${live.numPositions ? ` (${live.numPositions} places)` : ""}`);
  const name = nameOf(serving.adapter, serving.number);
  return { label: `$(layers) Live: ${name}`, description: known.join(", ") };
}

function accepting(host: Host | undefined, numHere: number): Line {
  if (!host?.today) {
    return { label: `$(check) Accepted today: ${numHere}`, description: "in this editor" };
  }
  const { numShown, numAccepted } = host.today;
  const rate = numShown > 0 ? `, ${Math.round((100 * numAccepted) / numShown)} %` : "";
  const label = `$(check) Accepted today: ${numAccepted} of ${numShown} shown${rate}`;
  return { label, description: "as the host counts" };
}

function actions(facts: Facts): Line[] {
  return [
    { label: "$(feedback) Open the review page", command: "hone.review" },
    learning(facts),
    { label: "$(list-flat) Show what was collected", command: "hone.showCollected" },
    snoozing(facts),
    ...(facts.language === undefined ? [] : [inLanguage(facts.language, facts.isLanguageOn)]),
    { label: "$(output) Show the log", command: "hone.showLog" },
  ];
}

function learning(facts: Facts): Line {
  return mayRecord(facts.consent)
    ? {
        label: "$(debug-pause) Pause learning from this workspace",
        description: "suggestions go on",
        command: "hone.pauseLearning",
      }
    : {
        label: "$(mortar-board) Learn from this workspace",
        description: "nothing is recorded now",
        command: "hone.learn",
      };
}

function snoozing(facts: Facts): Line {
  return facts.snoozedUntilMs > facts.nowMs
    ? { label: "$(bell) End snoozing", command: "hone.wake" }
    : { label: "$(bell-slash) Snooze suggestions", command: "hone.snooze" };
}

function inLanguage(language: string, isOn: boolean): Line {
  return {
    label: `$(code) Turn suggestions in ${language} ${isOn ? "off" : "on"}`,
    command: "hone.toggleLanguage",
  };
}
