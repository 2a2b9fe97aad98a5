"""Turns one sitting's work into typing through a real language server, on a virtual clock.

What stands in the file afterwards is the true text, whatever was accepted on the way. This module
knows nothing of stores, nights, arms or of what the figures are for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from trainer.errors import TrainerError
from trainer.replay.desk import Desk
from trainer.replay.lsp_client import LspClient
from trainer.replay.typist import Habits, Luck, Typist
from trainer.replay.work import Work
from trainer.replay.writing import Observation, Writing

__all__ = ["Observation", "Sitting", "TypingSession", "WrongText"]

_NOBODY = UUID(int=0)


class WrongText(TrainerError):
    """A sitting did not leave the true text: a fault of the typist, never of a suggestion."""


@dataclass(frozen=True)
class Sitting:
    """What was done in one sitting."""

    file_id: str
    num_true_characters: int  # typed or accepted; indentation is the editor's
    num_keys: int
    observations: tuple[Observation, ...]


class TypingSession:
    """One developer in one editor, sitting after sitting; `now_ms` is the virtual time."""

    def __init__(  # noqa: PLR0913 - what a session is made of, each named at its one call
        self,
        client: LspClient,
        workspace: Path,
        habits: Habits,
        *,
        seed: int,
        latencies_ms: Sequence[float],
        now_ms: int,
        reads: bool = True,
    ) -> None:
        """`reads` False: a survey, which asks at the same places and never looks.

        `latencies_ms` is shared by all arms; draws are keyed by `seed`, file and place.
        """
        self.now_ms = now_ms
        self._client, self._workspace, self._habits = client, workspace, habits
        self._seed, self._latencies_ms, self._reads = seed, tuple(latencies_ms), reads
        self._has_begun = False

    async def play(self, work: Work) -> Sitting:
        """Open the file, type all hunks, wait until all is settled, save and close.

        The disk holds the final text afterwards. Raises WrongText, LspError and ServerGone.
        """
        path = self._workspace / work.path
        _write(path, work.before)
        await self._begin()
        desk = Desk(self._client, path.as_uri(), self.now_ms)
        await desk.wait(round(self._habits.move_ms))
        await self._client.open(desk.uri, work.before)
        typist = Typist(self._habits, Luck(self._seed, work.file_id), self._latencies_ms)
        observations: list[Observation] = []
        num_true, shift = 0, 0
        for number, hunk in enumerate(work.hunks):
            base = await desk.prepare(hunk, shift)
            writing = Writing(desk, typist, work, number, base, reads=self._reads)
            observations += await writing.play()
            num_true += writing.passage.num_characters()
            shift += len(hunk.text) - (hunk.end - hunk.start)
            await desk.wait(round(self._habits.move_ms))
        await desk.let_time_pass()
        await self._finish(desk, path, work.after)
        return Sitting(work.file_id, num_true, desk.num_keys, tuple(observations))

    async def _begin(self) -> None:
        """Tell the server the time, and that we tell what is on screen: it guesses otherwise."""
        if self._has_begun:
            return
        self._has_begun = True
        await self._client.tick(self.now_ms)
        about = {"completion_id": str(_NOBODY), "candidate_index": 0}
        await self._client.notify("hone/shown", about)

    async def _finish(self, desk: Desk, path: Path, after: str) -> None:
        text = self._client.texts[desk.uri]
        if text != after:
            at = next((n for n, (a, b) in enumerate(zip(text, after, strict=False)) if a != b), -1)
            raise WrongText(f"{path} was typed wrong from character {at} on: please report this")
        _write(path, text)
        await self._client.save(desk.uri)
        await self._client.close(desk.uri)
        self.now_ms = desk.now_ms


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="")
