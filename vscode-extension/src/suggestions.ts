// Turns questions, answers and what follows into ghost text that people asked for, and into explicit
// feedback. It knows which settings silence it, how long answers took and what was offered last;
// it knows nothing of how a server is started.
import type { Asked, Disposable, Editor } from "./editor";
import { dayOf } from "./facts";
import * as feedback from "./feedback";
import { isEnabled } from "./languages";
import { isSame, Offers, type Insertion, type Part, type Suggestion } from "./offers";

const THINKING_MS = 200; // sooner than this nobody wonders, and the status bar would flicker
const ACCEPTED = "accepted"; // kept for the person: {day, count}

export interface Surroundings {
  send(message: feedback.Message): void;
  changed(): void; // something that the status bar shows
  offered(): void; // somebody is there, and has just got a suggestion
}

/** The suggestions of one window. */
export class Suggestions {
  readonly offers = new Offers();
  latencyMs: number | undefined;
  snoozedUntilMs = 0;
  private numThinking = 0;
  private waking: Disposable | undefined;
  private maybeTaken: Part | undefined; // the caret's next place decides

  constructor(
    private readonly editor: Editor,
    private readonly around: Surroundings,
  ) {}

  get isThinking(): boolean {
    return this.numThinking > 0;
  }

  get isSnoozed(): boolean {
    return this.snoozedUntilMs > this.editor.now();
  }

  get numAcceptedToday(): number {
    const kept = this.editor.forPerson.get(ACCEPTED) as { day?: unknown; count?: unknown } | null;
    const isToday = kept?.day === dayOf(this.editor.now());
    return isToday && typeof kept.count === "number" ? kept.count : 0;
  }

  /** Return whether to ask the server. Who asks on demand wants an answer, snoozing or not. */
  mayAsk(asked: Asked): boolean {
    if (asked.isPopUpOpen) this.cover();
    if (asked.isInvoked) return true;
    const settings = this.editor.settings();
    if (asked.isPopUpOpen && !settings.besidePopUp) return false;
    return settings.automatic && !this.isSnoozed && isEnabled(settings.languages, asked.language);
  }

  /** Begin to wait for an answer; call the result when it is there. */
  asking(asked: Asked): (suggestions: readonly Suggestion[], isWanted: boolean) => void {
    const askedMs = this.editor.now();
    let isThinking = false;
    const slow = this.editor.after(THINKING_MS, () => {
      isThinking = true;
      this.think(1);
    });
    return (suggestions, isWanted) => {
      slow.dispose();
      if (isThinking) this.think(-1);
      if (isWanted) this.answered(asked, suggestions, this.editor.now() - askedMs);
      else if (suggestions[0]) this.around.send(feedback.hidden(suggestions[0]));
    };
  }

  /** The accept command of an item ran. */
  accepted(completionId: string, candidateIndex: number): void {
    this.offers.accepted(completionId, candidateIndex);
    const count = this.numAcceptedToday + 1;
    this.editor.forPerson.set(ACCEPTED, { day: dayOf(this.editor.now()), count });
    this.tellOffers();
  }

  /** A text was inserted at one place at once. */
  inserted(insertion: Insertion): void {
    this.maybeTaken = this.offers.taken(insertion);
  }

  /** The caret, the active editor, the visible lines or the window's focus changed. */
  moved(): void {
    const caret = this.editor.active()?.caret;
    const part = this.maybeTaken;
    this.maybeTaken = undefined;
    if (part && caret && isSame(part.end, caret)) this.around.send(feedback.partlyTaken(part));
    if (!this.offers.isLive) return;
    const left = this.offers.leftBehind(caret);
    if (left) this.around.send(feedback.hidden(left));
    this.look();
    this.tellOffers();
  }

  /** Esc was pressed: take the ghost text away; if it was ours, that is a refusal. */
  async dismiss(): Promise<void> {
    const refused = this.offers.at(this.editor.active()?.caret);
    await this.editor.run("editor.action.inlineSuggest.hide");
    if (!refused) return;
    this.offers.withdrawn();
    this.around.send(feedback.dismissed(refused));
    this.tellOffers();
  }

  /** Rate the last suggestion. */
  async rate(rating: feedback.Rating): Promise<void> {
    const last = this.offers.last;
    if (!last) return;
    this.around.send(feedback.rated(last, rating));
    const why = "Say Why";
    const title = `Hone: rated ${rating}: ${feedback.excerpt(last.text)}`;
    if ((await this.editor.ask(title, [why])) !== why) return;
    const comment = (await this.editor.input(title, "", false))?.trim();
    if (comment) this.around.send(feedback.rated(last, rating, comment));
  }

  /** Ask what should have been suggested: the selected text, or what is typed into a box. */
  async correct(): Promise<void> {
    const last = this.offers.last;
    if (!last) return;
    const title = `Instead of: ${feedback.excerpt(last.text)} (⏎ stands for a line break)`;
    const selected = this.editor.active()?.selected ?? "";
    const draft = feedback.oneLine(selected || last.text);
    const line = await this.editor.input(title, draft, false);
    if (line === undefined) return;
    this.around.send(feedback.corrected(last, feedback.manyLines(line)));
    this.editor.tell("Hone: thank you, that is what it will learn from");
  }

  /** Be quiet for so many minutes; 0 ends that. */
  snooze(minutes: number): void {
    this.waking?.dispose();
    this.snoozedUntilMs = minutes > 0 ? this.editor.now() + minutes * 60_000 : 0;
    this.editor.setContext("hone.snoozed", minutes > 0);
    if (minutes > 0)
      this.waking = this.editor.after(minutes * 60_000, () => {
        this.snooze(0);
      });
    this.around.changed();
  }

  /** The server is gone, and with it all that it offered. */
  forget(): void {
    this.offers.withdrawn();
    this.tellOffers();
  }

  private answered(asked: Asked, suggestions: readonly Suggestion[], latencyMs: number): void {
    this.offers.provided(asked.at, suggestions, asked.isPopUpOpen);
    this.look();
    this.tellOffers();
    if (suggestions.length === 0) return;
    this.latencyMs = latencyMs;
    this.around.offered();
  }

  /** A list of completions with a selected item takes the place of what was offered before. */
  private cover(): void {
    const covered = this.offers.withdrawn();
    if (covered) this.around.send(feedback.covered(covered));
    this.tellOffers();
  }

  /** Time behind another window, or scrolled away, is no time in which anybody read. */
  private look(): void {
    const active = this.editor.active();
    const change = this.offers.seen(active !== undefined && active.isInView && active.isFocused);
    if (!change) return;
    const { suggestion, isSeen } = change;
    this.around.send(isSeen ? feedback.shownAgain(suggestion) : feedback.hidden(suggestion));
  }

  private think(change: number): void {
    this.numThinking += change;
    this.around.changed();
  }

  private tellOffers(): void {
    this.editor.setContext("hone.offers", this.offers.isLive);
  }
}
