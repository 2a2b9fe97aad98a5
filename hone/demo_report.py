"""Turns what a demo run measured into lines, tables and a small curve on the terminal.

Everything printed here was counted or timed in the run; nothing is made up. It starts no process.
"""

import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy import func, select

from feedback_store.database import Database, default_url
from feedback_store.models import EventRow, PairRow
from feedback_store.runs import TrainingRun
from hone.demo_traffic import Question, Traffic
from hone.demo_typist import Script, Typist

BARS = "▁▂▃▄▅▆▇█"
MAX_CURVE_POINTS = 60
LOSSES = 5  # first and last: a single batch says more of its rows than of the training


def introduce(
    console: Console, health: dict[str, Any], scripts: Sequence[Script], min_pairs: int
) -> None:
    """Say what is about to happen, and every threshold that differs from the default."""
    from trainer.config import NightConfig

    console.rule("[bold]Hone, the whole loop")
    console.print(
        f"Host: {health['model']} on {health['device']}, Hone {health['version']}, no adapter yet. "
        "Everything happens in a temporary folder."
    )
    console.print(
        f"{len(scripts)} real source files that the starter was never trained on, "
        f"{sum(len(script.places) for script in scripts)} places to complete."
    )
    default = NightConfig(data=Path())
    console.print(
        f"Lowered for the demo: train.min_pairs = {min_pairs} (default {default.min_pairs}), "
        f"train.epochs = 1 (default {default.epochs:g}); it also trains without enough held-out "
        "positions (train.without_evidence). The gate's thresholds are the defaults."
    )
    console.rule("[bold]The day")


def tell_typing(console: Console, typist: Typist) -> None:
    """Say what the typist did and how long suggestions took."""
    latencies = sorted(typist.latencies_ms)
    p95 = latencies[int(0.95 * (len(latencies) - 1))]
    console.print(
        f"Suggestions through the language server: {len(latencies)} asked, "
        f"median {statistics.median(latencies):.0f} ms, p95 {p95:.0f} ms."
    )
    table = Table("what the typist did", "times", box=None, pad_edge=False)
    for what, count in typist.done.most_common():
        table.add_row(what, str(count))
    console.print(table)


def tell_events(console: Console, data: Path) -> None:
    """Say what the store holds of it."""
    table = Table("events stored", "", box=None, pad_edge=False)
    database = Database.open(default_url(data))
    with database.session() as session:
        counted = session.execute(
            select(EventRow.kind, func.count())
            .group_by(EventRow.kind)
            .order_by(func.count().desc())
        )
        for kind, count in counted:
            table.add_row(str(kind), str(count))
    database.close()
    console.print(table)


def tell_night(console: Console, run: TrainingRun, data: Path) -> None:
    """Say what the night made of it: pairs, training curve, the gate's report and decision."""
    database = Database.open(default_url(data))
    with database.session() as session:
        rules = Counter(session.scalars(select(PairRow.rule)))
    database.close()
    table = Table("rows by rule", "", box=None, pad_edge=False)
    for rule, count in sorted(rules.items()):
        table.add_row(rule, str(count))
    console.print(table)
    losses = [float(point["loss"]) for point in run.metrics.get("curve", []) if "loss" in point]
    if losses:
        console.print(
            f"training loss {statistics.mean(losses[:LOSSES]):.3f} -> "
            f"{statistics.mean(losses[-LOSSES:]):.3f} "
            f"in {run.metrics['steps']} steps  {curve(losses)}"
        )
    numbers = run.decision.get("numbers", {})
    report = Table("the gate's report", "", box=None, pad_edge=False)
    for name, value in numbers.items():
        report.add_row(name, "-" if value is None else f"{value:.4g}")
    console.print(report)
    console.print(f"[bold]Decision: {run.decision.get('verdict', run.status)}[/]")
    for reason in run.decision.get("reasons", []):
        console.print(f"  {escape(reason)}")


def compare(
    console: Console, questions: Sequence[Question], before: Sequence[str], after: Sequence[str]
) -> None:
    """Show one prompt answered before and after, and how all of them changed."""
    console.rule("[bold]The same prompts, before and after")
    rows = list(zip(questions, before, after, strict=True))
    changed = [row for row in rows if row[1] != row[2]]
    truth = [row[0].truth.rstrip() for row in rows]
    console.print(
        f"{len(changed)} of {len(rows)} answers in held-out files changed; exactly what stands "
        f"there: {sum(map(str.__eq__, before, truth))} before, "
        f"{sum(map(str.__eq__, after, truth))} after."
    )
    better = [row for row in changed if row[2] == row[0].truth.rstrip()]
    console.print("One that became right:" if better else "One that changed:")
    for question, old, new in (better or changed)[:1]:
        line = question.prefix.rpartition("\n")[2]
        table = Table(question.name, escape(line.strip() or "(start of line)"), box=None)
        table.add_row("before", escape(old))
        table.add_row("after", escape(new))
        table.add_row("really there", escape(question.truth))
        console.print(table)


def tell_traffic(console: Console, traffic: Traffic) -> None:
    """Say what the swap cost those who went on typing."""
    console.rule("[bold]The swap")
    for adapter, count in traffic.answered.items():
        console.print(f"answered by {adapter[:12] if adapter else 'the bare base'}: {count}")
    console.print(f"[bold]failed requests while it trained and swapped: {traffic.num_failed}[/]")


def curve(values: Sequence[float]) -> str:
    """Return a line of block characters, one per bin of `values`."""
    step = max(1, -(-len(values) // MAX_CURVE_POINTS))
    binned = [statistics.mean(values[i : i + step]) for i in range(0, len(values), step)]
    low, high = min(binned), max(binned)
    scale = (len(BARS) - 1) / ((high - low) or 1)
    return "".join(BARS[round((value - low) * scale)] for value in binned)
