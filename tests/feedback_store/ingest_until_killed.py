"""A process that records and ingests without end, and prints each event id once acknowledged."""

import sys
from uuid import uuid4

from store_material import event, served, shown, wire

from feedback_store.completions import record_completions
from feedback_store.database import Database
from feedback_store.events import append


def main(url: str) -> None:
    database = Database.open(url)
    while True:
        one = uuid4()
        record_completions(database, [served(one)])
        events = [shown(one), event(one, "accepted", 1), event(uuid4(), "accepted", 1)]
        report = append(database, [wire(item) for item in events])
        told = "\n".join(item.event_id or "" for item in report.items if item.status == "stored")
        sys.stdout.write(f"{told}\n")
        sys.stdout.flush()


main(sys.argv[1])
