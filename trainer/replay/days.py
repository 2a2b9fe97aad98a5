"""Turns a code base into an exam and days of work: what is typed, in which file, in which order.

Pure and seeded. Knows nothing of who types, nor of models.
"""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import zip_longest
from typing import TypeVar

from trainer.errors import SourceError
from trainer.replay.bodies import Piece, pieces_of, sitting
from trainer.replay.copies import MOVED, WHOLE, Originals
from trainer.replay.source import Codebase, SourceFile
from trainer.replay.work import Work, cut

SITTING_LINES = 20
MAX_WORK_LINES = 60  # of a commit, in one sitting
MIN_DAY_LINES = 10
MIN_EXAM_FILES = 2

Days = tuple[tuple[Work, ...], ...]
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Plan:
    """What a replay types. `counts` says what there is and what fell short, for the report.

    `probes` are all the bodies of the exam files, each alone in its file while the other bodies
    are gone: for what must not be seen around the place that is asked about. They are never typed.
    """

    exam: tuple[Work, ...]
    days: Days
    exam_files: tuple[str, ...]  # file_ids, none of them in a day
    counts: dict[str, int]
    probes: tuple[Work, ...]


@dataclass(frozen=True)
class _Typeable:
    file: SourceFile
    pieces: tuple[Piece, ...]

    @property
    def num_lines(self) -> int:
        return sum(piece.num_lines for piece in self.pieces)


def plan(  # noqa: PLR0913 - all but one are named by the caller
    codebase: Codebase,
    *,
    num_days: int,
    lines_per_day: int,
    exam_share: float = 0.35,
    min_exam_files: int = 12,
    num_exam_lines: int = 440,
    seed: int = 0,
) -> Plan:
    """Choose the exam by the code base alone, and days by the seed; git's days by its history.

    SourceError when there are fewer than 2 files for an exam or no day of 10 lines.
    """
    typeable = [t for file in codebase.files if (t := _typeable(file)) is not None]
    exam = _exam_files(codebase.name, typeable, exam_share, min_exam_files, num_exam_lines)
    exam_files = tuple(dict.fromkeys(t.file.file_id for t in exam))
    exam_works = tuple(_exam_works(exam, num_exam_lines))
    counts: Counter[str] = Counter(codebase.skipped)
    wanted = num_days * lines_per_day
    originals = Originals.of(t.file.text for t in exam)
    others = [work for work in codebase.history if work.file_id not in exam_files]
    works = [work for work in others if not _shows(work, originals)]
    days = _days(_last(works, wanted), num_days, lines_per_day)
    num_copies = len(others) - len(works)
    if codebase.history and sum(map(_num_lines, days)) < min(wanted, lines_per_day):
        counts["history_too_short"] = sum(work.num_lines for work in works)
        days = ()
    if not days:
        size = min(SITTING_LINES, max(4, lines_per_day // 8))
        others_now = [t for t in typeable if t.file.file_id not in exam_files]
        rest = [t for t in others_now if not originals.are_in(t.file.text, WHOLE)]
        num_copies = len(others_now) - len(rest)
        # So that every seed has as many days, whatever its order leaves for the last one.
        whole_days = max(1, round(sum(t.num_lines for t in rest) / lines_per_day))
        typed = min(num_days, whole_days) * lines_per_day
        sittings = _first(_round_robin(rest, size, random.Random(seed)), typed)
        days = _days(sittings, num_days, lines_per_day)
    if len(exam_files) < MIN_EXAM_FILES or not days:
        raise SourceError(_too_little(codebase, typeable))
    missing = {
        "exam_copies": num_copies,
        "exam_files_missing": min_exam_files - len(exam_files),
        "exam_lines_missing": num_exam_lines - _num_lines(exam_works),
        "day_lines_missing": wanted - sum(map(_num_lines, days)),
        "days_missing": num_days - len(days),
    }
    counts.update({reason: count for reason, count in missing.items() if count > 0})
    return Plan(exam_works, days, exam_files, dict(counts), tuple(_probes(exam)))


def _shows(work: Work, originals: Originals) -> bool:
    """Tell whether a sitting is in a copy of an exam file, or types what stands in one."""
    typed = "\n".join(hunk.text for hunk in work.hunks)
    return originals.are_in(typed, MOVED) or originals.are_in(work.after, MOVED)


def texts_outside_exam(codebase: Codebase, plans: Iterable[Plan]) -> list[str]:
    """Return what days may show: the files outside the exam, and with a history also what its
    sittings begin and end with, for what was moved into an exam file stands elsewhere no more."""
    plans = list(plans)
    exam_files = {file_id for plan in plans for file_id in plan.exam_files}
    texts = [file.text for file in codebase.files if file.file_id not in exam_files]
    if codebase.history:
        works = [work for plan in plans for day in plan.days for work in day]
        texts += [text for work in works for text in (work.before, work.after)]
    return texts


def _typeable(file: SourceFile) -> _Typeable | None:
    pieces = () if file.is_table else tuple(pieces_of(file.text, SITTING_LINES))
    return _Typeable(file, pieces) if pieces else None


def _exam_files(
    name: str, typeable: Sequence[_Typeable], share: float, min_files: int, num_lines: int
) -> list[_Typeable]:
    """Return files in the order of their hashes, until both shares are met.

    Days need something to type too: the exam takes at most half of the files and of the lines.
    """
    groups: dict[str, list[_Typeable]] = {}
    for item in typeable:
        groups.setdefault(item.file.file_id, []).append(item)
    ordered = sorted(groups, key=lambda file_id: _hash(name, file_id))
    sizes = {file_id: sum(item.num_lines for item in groups[file_id]) for file_id in groups}
    half = max(MIN_EXAM_FILES, len(groups) // 2)
    wanted = min(max(min_files, round(share * len(groups))), half)
    chosen: list[str] = []
    lines = 0
    for file_id in ordered:
        if len(chosen) == half or (len(chosen) >= wanted and lines >= num_lines):
            break
        if lines + sizes[file_id] <= sum(sizes.values()) / 2:
            chosen.append(file_id)
            lines += sizes[file_id]
    if len(chosen) < MIN_EXAM_FILES:
        chosen = sorted(ordered, key=lambda file_id: sizes[file_id])[:MIN_EXAM_FILES]
    return [item for file_id in chosen for item in groups[file_id]]


def _exam_works(exam: Sequence[_Typeable], num_lines: int) -> Iterator[Work]:
    """Yield one work per file: pieces in the order of their hashes, taken in turn from every file
    until there are lines enough. What is not typed is there."""
    ordered = [
        [(item, p) for p in sorted(item.pieces, key=lambda p: _hash(item.file.path, str(p.start)))]
        for item in exam
    ]
    taken: dict[str, set[Piece]] = {}
    total = 0
    for item, piece in _in_turn(ordered):
        if total >= num_lines:
            break
        taken.setdefault(item.file.path, set()).add(piece)
        total += piece.num_lines
    for item in exam:
        if pieces := taken.get(item.file.path):
            file = item.file
            yield sitting(file.path, file.file_id, file.text, pieces, pieces)


def _probes(exam: Sequence[_Typeable]) -> Iterator[Work]:
    for item in exam:
        file = item.file
        for body in dict.fromkeys(piece.body for piece in item.pieces):
            pieces = {piece for piece in item.pieces if piece.body == body}
            yield sitting(file.path, file.file_id, file.text, item.pieces, pieces)


def _round_robin(files: Iterable[_Typeable], size: int, rng: random.Random) -> Iterator[Work]:
    """Yield sittings of about `size` lines, one file after the other, until all is typed."""
    shuffled = list(files)
    rng.shuffle(shuffled)
    yield from _in_turn([list(_sittings(item, size, rng)) for item in shuffled])


def _sittings(item: _Typeable, size: int, rng: random.Random) -> Iterator[Work]:
    """Yield the sittings of one file: consecutive pieces, from a body somewhere on, then the rest.

    What earlier sittings typed is there in later ones.
    """
    groups: list[list[Piece]] = []
    num_lines = 0
    for piece in item.pieces:
        if not groups or num_lines + piece.num_lines > size:
            groups.append([])
            num_lines = 0
        groups[-1].append(piece)
        num_lines += piece.num_lines
    # A start inside a body would type its end before its beginning.
    starts = [0, *(i for i in range(1, len(groups)) if groups[i][0].body != groups[i - 1][-1].body)]
    start = rng.choice(starts)
    absent = set(item.pieces)
    file = item.file
    for group in [*groups[start:], *groups[:start]]:
        yield sitting(file.path, file.file_id, file.text, absent, set(group))
        absent -= set(group)


def _first(works: Iterable[Work], wanted: int) -> Iterator[Work]:
    """Yield works until there are `wanted` lines."""
    total = 0
    for work in works:
        if total >= wanted:
            return
        yield work
        total += work.num_lines


def _last(works: Sequence[Work], wanted: int) -> list[Work]:
    """Return the end of a history, in sittings, with about `wanted` lines."""
    sittings = [part for work in works for part in cut(work, MAX_WORK_LINES)]
    total, first = 0, len(sittings)
    while first and total < wanted:
        first -= 1
        total += sittings[first].num_lines
    return sittings[first:]


def _days(works: Iterable[Work], num_days: int, lines_per_day: int) -> Days:
    """Deal all works to days in order; a day too short to learn from is left out."""
    days: list[list[Work]] = [[]]
    total = 0
    for work in works:
        if len(days) < num_days and total >= len(days) * lines_per_day:
            days.append([])
        days[-1].append(work)
        total += work.num_lines
    return tuple(tuple(day) for day in days if _num_lines(day) >= MIN_DAY_LINES)


def _in_turn(queues: Sequence[Sequence[_Item]]) -> Iterator[_Item]:
    """Yield the first of every queue, then the second of every queue that has one, and so on."""
    for row in zip_longest(*queues):
        yield from (item for item in row if item is not None)


def _num_lines(works: Iterable[Work]) -> int:
    return sum(work.num_lines for work in works)


def _hash(*parts: str) -> bytes:
    return sha256("\0".join(parts).encode("utf-8", errors="surrogatepass")).digest()


def _too_little(codebase: Codebase, typeable: Sequence[_Typeable]) -> str:
    lines = sum(item.num_lines for item in typeable)
    return (
        f"{codebase.name} has {lines} lines in the function bodies of {len(typeable)} files; a "
        f"replay needs {MIN_EXAM_FILES} files for the exam and {MIN_DAY_LINES} lines in others"
    )
