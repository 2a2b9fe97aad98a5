// Turns answers, edits and what can be seen into what is on offer now, and what was offered last. VS
// Code tells extensions neither what is on screen nor whose it is, so this is the best guess that the
// stable API allows: ours is on offer while nothing happened since our answer. Pure; no clock.

export interface Caret {
  readonly uri: string;
  readonly version: number; // of the document
  readonly line: number;
  readonly character: number;
}

export interface Suggestion {
  readonly completionId: string;
  readonly candidateIndex: number;
  readonly text: string; // what is left of it at the caret
}

/** A text that was inserted at one place at once; `version` is the document's afterwards. */
export interface Insertion {
  readonly at: Caret;
  readonly text: string;
}

/** A suggestion of which a part may have been taken, if the caret now stands at `end`. */
export interface Part {
  readonly suggestion: Suggestion;
  readonly length: number; // UTF-16 units of the whole suggestion, all parts together
  readonly end: Caret;
}

interface Offer {
  readonly at: Caret;
  readonly all: readonly Suggestion[];
  readonly isBesideList: boolean; // an item of the list may insert the very same text
}

/** Follows one window; there is at most one ghost text in it. */
export class Offers {
  private live: Offer | undefined;
  private latest: Suggestion | undefined;
  private wholes: ReadonlyMap<string, string> = new Map(); // texts as they were first offered
  private isSeen = true;

  /** An answer for `at` arrived; without suggestions nothing is on offer. */
  provided(at: Caret, suggestions: readonly Suggestion[], isBesideList = false): void {
    const first = suggestions[0];
    this.wholes = new Map(suggestions.map((one) => [keyOf(one), this.wholeOf(one)]));
    this.live = first && { at, all: suggestions, isBesideList };
    this.latest = first ?? this.latest;
    this.isSeen = true;
  }

  /** A suggestion was accepted: it is the one that people have in mind from now on. */
  accepted(completionId: string, candidateIndex: number): void {
    if (this.latest?.completionId === completionId) {
      this.latest = { ...this.latest, candidateIndex };
    }
    this.live = undefined;
  }

  /** Return the suggestion on offer at a caret, if any. */
  at(caret: Caret | undefined): Suggestion | undefined {
    return this.live && caret && isSame(this.live.at, caret) ? this.live.all[0] : undefined;
  }

  /** Tell whether the offer can be seen; return it with what changed, if that is something. */
  seen(isSeen: boolean): { suggestion: Suggestion; isSeen: boolean } | undefined {
    const suggestion = this.live?.all[0];
    if (!suggestion || isSeen === this.isSeen) return undefined;
    this.isSeen = isSeen;
    return { suggestion, isSeen };
  }

  /**
   * Return the part of the offer that an insertion may have taken. Nobody types several characters
   * at once but brackets, which leave the caret between them, and line breaks with their indentation.
   */
  taken({ at, text }: Insertion): Part | undefined {
    const live = this.live;
    if (!live || live.isBesideList || !isSame({ ...live.at, version: at.version }, at))
      return undefined;
    if (Array.from(text).length < 2 || !text.trim()) return undefined;
    const suggestion = live.all.find((one) => one.text.startsWith(text));
    if (!suggestion || suggestion.text.length === text.length) return undefined;
    const whole = this.wholes.get(keyOf(suggestion)) ?? suggestion.text;
    const length = whole.length - suggestion.text.length + text.length;
    return { suggestion, length, end: behind(at, text) };
  }

  /**
   * Return the suggestion that went off the screen because the caret or the active editor moved
   * without typing. Typing is another matter: it leads to another answer, and it is no refusal.
   */
  leftBehind(caret: Caret | undefined): Suggestion | undefined {
    if (!this.live || this.at(caret)) return undefined;
    if (caret?.uri === this.live.at.uri && caret.version !== this.live.at.version) return undefined;
    return this.withdrawn();
  }

  /** Nothing is on offer any more; return what was. */
  withdrawn(): Suggestion | undefined {
    const first = this.live?.all[0];
    this.live = undefined;
    return first;
  }

  /** Whether something of ours may be on the screen. */
  get isLive(): boolean {
    return this.live !== undefined;
  }

  /** What people mean when they say "the last suggestion". */
  get last(): Suggestion | undefined {
    return this.latest;
  }

  /** Return the text of a suggestion before its first characters were typed or taken. */
  private wholeOf(suggestion: Suggestion): string {
    const before = this.wholes.get(keyOf(suggestion));
    return before?.endsWith(suggestion.text) ? before : suggestion.text;
  }
}

/** Return whether two carets are the same place in the same text. */
export function isSame(one: Caret, other: Caret): boolean {
  return (
    one.uri === other.uri &&
    one.version === other.version &&
    one.line === other.line &&
    one.character === other.character
  );
}

function keyOf(suggestion: Suggestion): string {
  return `${suggestion.completionId} ${suggestion.candidateIndex}`;
}

function behind(at: Caret, text: string): Caret {
  const lines = text.split(/\r\n|\r|\n/);
  const last = lines.at(-1) ?? "";
  const character = lines.length > 1 ? last.length : at.character + last.length;
  return { ...at, line: at.line + lines.length - 1, character };
}
