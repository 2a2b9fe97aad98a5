"""The page: parses, loads nothing, shows every figure, and reads in light and in dark."""

import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from synthetic_replay import report

from trainer.replay.headline import BIASES
from trainer.replay.page import render
from trainer.replay.plots import MARKS, plots
from trainer.replay.records import Curve, CurvePoint, NightResult, Record, ReplayReport
from trainer.replay.report import merge

VOID = {"meta", "link", "br", "hr", "img", "input"}


@pytest.fixture(scope="module")
def page() -> str:
    return render(merge([report("rich"), report("werkzeug")]))


class Reader(HTMLParser):
    """Collects tags, ids and text, and checks that elements nest."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(name, value or "") for name, value in attrs]
        self.ids += [value or "" for name, value in attrs if name == "id"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


def test_the_page_loads_nothing_from_anywhere(page: str) -> None:
    for name, value in read(page).attributes:
        if name in {"src", "href", "xlink:href", "srcset", "action", "data", "poster"}:
            assert value.startswith("#"), (name, value)
    assert "http://" not in page
    assert "https://" not in page
    assert not re.search(r"<(script|link|img|iframe|object)\b|@import|url\((?!#)", page)
    assert "default-src 'none'" in page


def test_ids_are_unique_and_references_lead_somewhere(page: str) -> None:
    reader = read(page)
    assert len(set(reader.ids)) == len(reader.ids)
    wanted = set(re.findall(r"url\(#([^)]+)\)", page))
    wanted |= {value[1:] for name, value in reader.attributes if name == "href"}
    assert wanted <= set(reader.ids)


def test_the_answer_comes_first_and_the_biases_are_there(page: str) -> None:
    text = " ".join(" ".join(read(page).text).split())
    answer = "The loop recovers what this code prefers: +"
    at = [text.index(t) for t in (answer, "Closed-loop exam", "Static exam", "Known biases")]
    assert at == sorted(at)
    assert all(bias in text for bias in BIASES)
    for said in ("not enough evidence", "training seconds", "werkzeug, seed 2", "sister"):
        assert said in text


def test_every_figure_is_drawn_and_named() -> None:
    drawn = plots(report("rich"))
    assert [plot.key for plot in drawn] == [
        "by_seed", "closed_loop", "closed_loop", "static_nights", "prequential", "prequential",
        "plant", "golden",
    ]  # fmt: skip
    for plot in drawn:
        assert plot.svg.startswith('<svg role="img" aria-label="')
    static = next(plot.svg for plot in drawn if plot.key == "static_nights")
    for arm in set(MARKS) - {"ngram"}:
        assert f">{arm}<" in static, arm  # the label stands at the line
        assert f"var(--{arm})" in static


def test_colours_are_the_page_s_own_in_light_and_in_dark(page: str) -> None:
    light, dark = page.split("prefers-color-scheme: dark")[:2]
    dark = dark.split("</style>")[0]
    used = set(re.findall(r"var\((--\w+)\)", page))
    for name in used - {"--arm"}:
        assert f"{name}:" in light, name
        assert f"{name}:" in dark, name
    for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        assert not re.findall(r"(?:fill|stroke): #[0-9a-f]{6}", svg)


def contrast(one: str, other: str) -> float:
    """WCAG 2 contrast of two #rrggbb colours."""

    def luminance(colour: str) -> float:
        parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_every_arm_can_be_read_on_its_ground(page: str) -> None:
    light, dark = (part.split("}")[0] for part in page.split("color-scheme: ")[1:3])
    for block in (light, dark):
        colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block))
        for name in (*MARKS, "ink", "quiet"):
            assert contrast(colours[name], colours["panel"]) >= 4.5, name


def test_what_is_told_by_others_is_escaped() -> None:
    night = NightResult("rich", 1, 1, "promote", True, ("<script>alert(1)</script>",))
    page = render(replace(report("rich"), nights=(night,), about={"source": "</pre><b>"}))
    assert "<script>" not in page
    assert "</pre><b>" not in page


def test_an_empty_report_and_one_without_a_single_suggestion_are_pages_too() -> None:
    assert "No gain shown" in render(ReplayReport({}, ()))
    nothing = CurvePoint(None, 0, 0.0, 0.0, 0.0, None)
    silent = ReplayReport({}, (), (Curve("rich", "loop", 1, 5, (nothing,)),))
    assert plots(silent) == []
    assert "No gain shown" in render(silent)


def test_a_name_may_hold_what_is_a_formula_elsewhere() -> None:
    assert "$x^{$" in render(report("$x^{$"))


def test_no_rate_is_drawn_beyond_all_and_nothing() -> None:
    def wild(record: Record) -> Record:
        found = record.metrics.get("shown_rate")
        unsure = {"shown_rate": replace(found, low=-0.5, high=1.9)} if found else {}
        return replace(record, metrics={**record.metrics, **unsure})

    told = report("rich")
    told = replace(told, records=tuple(wild(record) for record in told.records))
    rates = [plot.svg for plot in plots(told) if "shown rate" in plot.title]
    assert len(rates) == 2
    for svg in rates:
        assert ">100<" in svg
        assert not re.findall(r">(?:1[1-9]\d|2\d\d|\u2212\d+)<", svg)


def test_one_file_is_drawn_without_intervals() -> None:
    def bare(found: ReplayReport) -> ReplayReport:
        return replace(
            found,
            records=tuple(
                replace(r, metrics={n: replace(m, low=None, high=None)
                                    for n, m in r.metrics.items()})
                for r in found.records
            ),
        )  # fmt: skip

    assert "no interval" in render(bare(report("rich")))


def test_the_same_report_is_the_same_page() -> None:
    assert render(report("rich")) == render(report("rich"))


@pytest.mark.slow
def test_a_browser_opens_it_without_complaint(page: str, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("no Chromium on this machine")
    file = tmp_path / "page.html"
    file.write_text(page, encoding="utf-8")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
               f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=2000",
               "--dump-dom", file.as_uri()]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.count("<svg") == page.count("<svg")
    assert "CONSOLE" not in result.stderr
