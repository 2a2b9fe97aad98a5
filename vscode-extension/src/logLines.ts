// Turns a line that the language server wrote to stderr into a level and what it says.

export interface LogLine {
  readonly level: "info" | "warn" | "error";
  readonly text: string;
}

const LOGGED = /^\S+ \S+ (DEBUG|INFO|WARNING|ERROR|CRITICAL) (.*)$/;
const LEVELS: Readonly<Record<string, LogLine["level"]>> = {
  WARNING: "warn",
  ERROR: "error",
  CRITICAL: "error",
};

/** Return one line about a record that is about to leave, whole. */
export function leavingLine(record: unknown): string {
  const { what, ...rest } = record as Readonly<Record<string, unknown>>;
  const isKept = what !== "completion" || rest["record"] === true;
  const whether = isKept ? "to be recorded" : "not to be recorded";
  return `leaves now, ${whether}: ${String(what)} ${JSON.stringify(rest)}`;
}

/** Return the line without its own time, which the editor's log has too. */
export function logLineOf(line: string): LogLine {
  const [, level = "", text = line] = LOGGED.exec(line) ?? [];
  return { level: LEVELS[level] ?? "info", text };
}
