"""Turns held-out files and lines into what else may not be learned: the same under another name.

A file that was renamed or copied, opened from another folder, or recorded while its repository was
not known yet, has another key and so perhaps another split, but the same lines. Pure: it knows
nothing of rows or positions.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from feedback_store.schemas import CompletionRequest
from trainer.sides import file_key

UNKNOWN_REPOSITORY: str = CompletionRequest.model_fields["repository"].default


@dataclass(frozen=True)
class Measured:
    """What is held out, whatever it is called where it stands."""

    content_keys: frozenset[str] = frozenset()  # of lines
    aliases: frozenset[str] = frozenset()  # keys of held-out files without their repository
    paths: frozenset[str] = frozenset()  # of files that are held out without their repository

    @classmethod
    def of(cls, places: Iterable[tuple[str, frozenset[str]]]) -> Self:
        """Return what (file key, content keys of its lines) hold out."""
        keys: set[str] = set()
        aliases: set[str] = set()
        paths: set[str] = set()
        for file, lines in places:
            keys |= lines
            repository, path = _parts(file)
            if repository == UNKNOWN_REPOSITORY:
                paths.add(path)
            else:
                aliases.add(file_key(UNKNOWN_REPOSITORY, path))
        return cls(frozenset(keys), frozenset(aliases), frozenset(paths))

    def has_file(self, file: str) -> bool:
        """Tell whether a file is held out under another key."""
        return file in self.aliases or _parts(file)[1] in self.paths


NOTHING = Measured()


def _parts(file: str) -> tuple[str, str]:
    repository, _, path = file.partition(":")
    return repository, path
