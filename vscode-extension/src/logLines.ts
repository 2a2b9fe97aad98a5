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

/** Return the line without its own time, which the editor's log has too. */
export function logLineOf(line: string): LogLine {
  const [, level = "", text = line] = LOGGED.exec(line) ?? [];
  return { level: LEVELS[level] ?? "info", text };
}
