"""Turns the store's rows into stories: what became of each completion of one file, in order."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from processes import Host, wait_until

# Nobody answered these: they came up behind an act and were left alone, or were never to be seen.
LEFT = frozenset({"unseen", "ignored"})
# How much of it was still there, told whenever a check was due: slow machines have more of them.
CHECKS = frozenset({"persisted"})
STRANGER_S = 10  # a host writes what it answered within a moment


@dataclass(frozen=True)
class Told:
    """One event."""

    kind: str
    ordinal: int
    source: str
    data: dict[str, Any]


@dataclass(frozen=True)
class Story:
    """One completion: its outcome and its events in order of arrival, checks left out."""

    completion_id: str
    outcome: dict[str, Any]
    events: tuple[Told, ...]

    @property
    def kind(self) -> str:
        return str(self.outcome["kind"])

    @property
    def kinds(self) -> list[str]:
        return [event.kind for event in self.events if event.kind not in CHECKS]

    def told(self, kind: str) -> Told:
        """Return the one event of a kind."""
        (event,) = (event for event in self.events if event.kind == kind)
        return event


def stories_of(host: Host, name: str) -> list[Story]:
    """Return the stories of a file that was closed, once all of them have ended."""
    wait_until(lambda: _are_over(host, name), f"the last word about {name} is stored")
    return stories(host, name)


def check(found: Sequence[Story], *expected: str) -> Story:
    """Hold outcomes against what is expected, in order; return the first story.

    "left" stands for nobody's answer. Any number of those may follow: behind most acts VS Code asks
    again, and how often depends on how fast the file is closed.
    """
    kinds = ["left" if story.kind in LEFT else story.kind for story in found]
    while len(kinds) > len(expected) and kinds[-1] == "left":
        kinds.pop()
    assert kinds == list(expected), [(story.outcome, story.events) for story in found]
    return found[0]


def faults_of(host: Host) -> dict[str, list[tuple[Any, ...]]]:
    """Return what a store must not hold after all files are closed: something missing or double.

    A host that was killed may lack what it answered in its last moment: "of no completion".
    """
    queries = {
        "without an outcome": """select c.completion_id from completions c
            left join outcomes o using (completion_id) where o.completion_id is null""",
        "without an end": """select completion_id from events group by 1
            having max(kind in ('settled', 'lost')) = 0""",
        "of no completion": """select e.kind from events e
            left join completions c using (completion_id) where c.completion_id is null""",
        "told twice": """select completion_id, kind, ordinal from events
            group by 1, 2, 3 having count(*) > 1""",
        "with a gap": """select completion_id, kind, count(*), max(ordinal) from events
            group by 1, 2 having count(*) != max(ordinal) + 1""",
        "taken twice": """select completion_id from events where kind = 'accepted'
            and completion_id not in (select completion_id from events where kind = 'undone')
            group by 1 having count(*) > 1""",
    }
    return {name: rows for name, query in queries.items() if (rows := host.rows(query))}


def _are_over(host: Host, name: str) -> bool:
    """Whether all has ended and is folded; and no late event is still without its completion.

    All that is under way in a file ends in one go when it is closed. Nothing is ever heard of a
    completion whose answer nobody waited for any more; nor of one that a host was about to store
    when it was killed, so an event is only waited for so long.
    """
    heard = f"""select c.completion_id, max(e.kind in ('settled', 'lost')) from completions c
        join events e using (completion_id) where c.path = '{name}' group by 1"""
    strangers = f"""select 1 from events left join completions c using (completion_id)
        where c.completion_id is null and received_at > datetime('now', '-{STRANGER_S} seconds')"""
    ended = [bool(one) for _, one in host.rows(heard)]
    waits = host.rows("select 1 from owed_folds") or host.rows(strangers)
    return bool(ended) and all(ended) and not waits


def stories(host: Host, name: str) -> list[Story]:
    """Return the stories of a file as far as they are stored."""
    wanted = "kind suggestion settled_text undone reformatted edit_distance rating correction"
    columns = [*wanted.split(), "candidate_index", "accepted_length", "visible_ms"]
    rows = host.rows(
        f"""select c.completion_id, {", ".join("o." + column for column in columns)}
        from completions c left join outcomes o using (completion_id)
        where c.path = '{name}' order by c.requested_at"""
    )
    return [
        Story(completion_id, dict(zip(columns, values, strict=True)), _events(host, completion_id))
        for completion_id, *values in rows
    ]


def _events(host: Host, completion_id: str) -> tuple[Told, ...]:
    rows = host.rows(
        f"""select kind, ordinal, source, data from events
        where completion_id = '{completion_id}' order by occurred_at, sequence"""
    )
    return tuple(
        Told(kind, ordinal, source, json.loads(data)) for kind, ordinal, source, data in rows
    )
