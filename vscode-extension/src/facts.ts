// Everything that the status bar and its menu are made from, as one value.
import type { Serving } from "./adapterNews";
import type { Connection } from "./connection";
import type { Consent } from "./consent";

export interface Facts {
  readonly connection: Connection;
  readonly canInstall: boolean; // this extension brings its own hone
  readonly consent: Consent;
  readonly snoozedUntilMs: number; // 0 when awake
  readonly excluded: string; // why the active file is left alone, "" when it is not
  readonly language: string | undefined; // of the active editor
  readonly isLanguageOn: boolean;
  readonly isThinking: boolean;
  readonly latencyMs: number | undefined; // of the last suggestion
  readonly serving: Serving | undefined;
  readonly warning: string; // versions that do not fit, "" when all do
  readonly numAcceptedToday: number;
  readonly news: string; // about a new adapter, "" once it was seen
  readonly nowMs: number; // epoch milliseconds
}

/** Return a time as people say it: without the day where that is today. */
export function timeText(ms: number, nowMs: number): string {
  const time = new Date(ms);
  const clock = `${twoDigits(time.getHours())}:${twoDigits(time.getMinutes())}`;
  return dayOf(ms) === dayOf(nowMs) ? clock : `${dayOf(ms)} ${clock}`;
}

/** Return the local day of a time, as 2026-11-20. */
export function dayOf(ms: number): string {
  const time = new Date(ms);
  return `${time.getFullYear()}-${twoDigits(time.getMonth() + 1)}-${twoDigits(time.getDate())}`;
}

function twoDigits(value: number): string {
  return String(value).padStart(2, "0");
}
