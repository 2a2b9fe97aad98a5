// Turns answers, edits and caret moves into what is on offer now, and what was offered last. VS Code
// tells extensions neither what is on screen nor whose it is, so this is the best guess that the
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
  readonly text: string;
}

/** Follows one window; there is at most one ghost text in it. */
export class Offers {
  private live: { readonly at: Caret; readonly first: Suggestion } | undefined;
  private latest: Suggestion | undefined;

  /** An answer for `at` arrived; without suggestions nothing is on offer. */
  provided(at: Caret, suggestions: readonly Suggestion[]): void {
    const first = suggestions[0];
    this.live = first && { at, first };
    this.latest = first ?? this.latest;
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
    return this.live && caret && isSame(this.live.at, caret) ? this.live.first : undefined;
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
    const first = this.live?.first;
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
}

function isSame(one: Caret, other: Caret): boolean {
  return (
    one.uri === other.uri &&
    one.version === other.version &&
    one.line === other.line &&
    one.character === other.character
  );
}
