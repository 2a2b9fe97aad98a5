// Turns what a person says about a suggestion into notifications of the language server, each with
// the completion's id. Knows nothing of when they are sent.
import type { Part, Suggestion } from "./offers";

export interface Message {
  readonly method: string;
  readonly params: Readonly<Record<string, unknown>>;
}

export type Rating = "up" | "down";

/** Esc was pressed on a suggestion: an explicit refusal. */
export function dismissed(suggestion: Suggestion): Message {
  return about("dismissed", suggestion, { reason: "escape" });
}

/** A suggestion went off the screen without anybody refusing it. */
export function hidden(suggestion: Suggestion): Message {
  return about("hidden", suggestion, {});
}

/** The list of completions came over a suggestion: nobody can read it, and nobody refused it. */
export function covered(suggestion: Suggestion): Message {
  return about("hidden", suggestion, { reason: "popup_open" });
}

/** A suggestion that had gone off the screen can be seen again. */
export function shownAgain(suggestion: Suggestion): Message {
  return about("shown", suggestion, { again: true });
}

/** A part of a suggestion was taken; `length` counts from its beginning. */
export function partlyTaken({ suggestion, length }: Part): Message {
  const args = [suggestion.completionId, suggestion.candidateIndex];
  return {
    method: "textDocument/didPartiallyAcceptCompletion",
    params: { item: { command: { arguments: args } }, acceptedLength: length },
  };
}

/** A suggestion was called good or bad, perhaps with words. */
export function rated(suggestion: Suggestion, rating: Rating, comment = ""): Message {
  return about("rated", suggestion, comment ? { rating, comment } : { rating });
}

/** Somebody wrote what should have been suggested: the strongest feedback there is. */
export function corrected(suggestion: Suggestion, correction: string): Message {
  return about("rated", suggestion, { rating: "down", correction });
}

const BREAK = "⏎"; // an input box has one line, a suggestion may have several

/** Return a text as it can be edited in an input box of one line. */
export function oneLine(text: string): string {
  return text.replace(/\r\n|\r|\n/g, BREAK);
}

/** Return the text that was edited in an input box of one line. */
export function manyLines(line: string): string {
  return line.replaceAll(BREAK, "\n");
}

/** Return enough of a suggestion to recognise it by. */
export function excerpt(text: string): string {
  const characters = Array.from(oneLine(text.trim()));
  return characters.length > 40 ? `${characters.slice(0, 39).join("")}…` : characters.join("");
}

function about(kind: string, suggestion: Suggestion, facts: Record<string, unknown>): Message {
  return {
    method: `hone/${kind}`,
    params: {
      completion_id: suggestion.completionId,
      candidate_index: suggestion.candidateIndex,
      ...facts,
    },
  };
}
