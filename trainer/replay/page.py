"""Turns a report into one HTML page that needs nothing else: no network, no script, no font.

What the plots show is in `plots.py`, what the tables hold in `tables.py`.
"""

import json

from jinja2 import Environment, PackageLoader, StrictUndefined

from trainer.replay.headline import BIASES, CLAIM, headline, sentences
from trainer.replay.plots import MARKS, plots
from trainer.replay.records import ReplayReport
from trainer.replay.tables import sections


def render(report: ReplayReport) -> str:
    """Return the page: the answer, then every table with its plots, then the known biases."""
    drawn = plots(report)
    environment = Environment(
        loader=PackageLoader("trainer.replay"), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template("page.html").render(
        names=", ".join(report.codebases) or "nothing",
        headline=headline(report),
        sentences=sentences(report),
        parts=[(s, [plot for plot in drawn if plot.key == s.key]) for s in sections(report)],
        arms=list(MARKS),
        shortfalls=report.shortfalls,
        biases=(*BIASES, CLAIM),
        about=json.dumps(report.about, indent=2, ensure_ascii=False, default=str),
    )
