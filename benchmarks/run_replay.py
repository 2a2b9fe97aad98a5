"""Replays a typist over three packages the starter never saw; results as JSON and one page.

    python benchmarks/run_replay.py                        all of them, two seeds: hours
    python benchmarks/run_replay.py rich --plant house-log --arms frozen,loop --seeds 1
    python benchmarks/run_replay.py --days 7 --arms frozen,loop,code_sft
    python benchmarks/run_replay.py --merge                tables and pages of it, anew

The packages' source distributions come from the package index, exact versions. A replay that was
interrupted goes on where it stopped, and more days go on where fewer ended. Five days are what is
asked for; results of another number carry it in their names and are pooled apart.
"""

import argparse
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import facts

VERSIONS = {"rich": "15.0.0", "werkzeug": "3.1.9", "starlette": "1.10.0"}
USUAL_DAYS = 5
LINE_SECONDS = 60.0


def main() -> None:
    """Replay the packages named, then pool what there is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("packages", nargs="*", metavar="PACKAGE", help=", ".join(VERSIONS))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--days", type=int, default=USUAL_DAYS)
    parser.add_argument("--arms", help="by commas; all of them by default")
    parser.add_argument("--plant", help="a convention to plant")
    parser.add_argument("--data", type=Path, default=Path("hone-replay"), help="working folder")
    parser.add_argument("--threads", type=int, help="CPU threads; all cores by default")
    parser.add_argument("--merge", action="store_true", help="only pool what was measured")
    options = parser.parse_args()
    unknown = set(options.packages) - set(VERSIONS)
    if unknown:
        parser.error(f"no version is fixed for {', '.join(sorted(unknown))}")
    if not options.merge:
        from trainer.replay.config import ARMS

        arms = options.arms.split(",") if options.arms else []
        if wrong := [arm for arm in arms if arm not in ARMS]:
            parser.error(f"no arm is named {wrong[0]!r}; there are {', '.join(ARMS)}")
        for package in options.packages or VERSIONS:
            _replay(package, options)
    if not options.plant:
        _pool(_days(options.days))
    if options.merge:
        _tell_each()


def _replay(package: str, options: argparse.Namespace) -> None:
    from trainer.replay.config import ARMS, ReplayConfig
    from trainer.replay.run import run

    about = facts.facts()
    data = options.data.absolute()
    folder = data / "plant" / options.plant if options.plant else data
    config = ReplayConfig(
        source=_source(package, data / "sources"),
        data=folder,
        num_days=options.days,
        num_seeds=options.seeds,
        arms=tuple(options.arms.split(",")) if options.arms else ARMS,
        plant=options.plant,
        num_threads=options.threads,
    )
    report = run(config, _Told())
    report.about["benchmark"] = about
    suffix = f"_{options.plant}" if options.plant else ""
    path = facts.RESULTS / f"replay_{package}{suffix}{_days(options.days)}.json"
    path.write_text(report.to_json(), encoding="utf-8")
    _tell(path)


def _days(num_days: int) -> str:
    """Return what a result's name says about its days."""
    return "" if num_days == USUAL_DAYS else f"_{num_days}-days"


def _pool(suffix: str) -> None:
    """Write one page and one table of every package that was measured for so many days."""
    from trainer.replay import page
    from trainer.replay.records import ReplayReport
    from trainer.replay.report import merge, table

    files = [facts.RESULTS / f"replay_{package}{suffix}.json" for package in VERSIONS]
    reports = [ReplayReport.from_json(f.read_text(encoding="utf-8")) for f in files if f.exists()]
    if not reports:
        sys.exit("nothing was replayed yet")
    report = reports[0] if len(reports) == 1 else merge(reports)
    print(table(report))
    (facts.RESULTS / f"replay{suffix}.html").write_text(page.render(report), encoding="utf-8")
    (facts.RESULTS / f"replay{suffix}.txt").write_text(table(report) + "\n", encoding="utf-8")


def _tell_each() -> None:
    """Write the table of every replay beside its figures, as today's reports tell it."""
    for path in sorted(facts.RESULTS.glob("replay_*.json")):
        _tell(path)


def _tell(path: Path) -> None:
    from trainer.replay.records import ReplayReport
    from trainer.replay.report import table

    report = ReplayReport.from_json(path.read_text(encoding="utf-8"))
    path.with_suffix(".txt").write_text(table(report), encoding="utf-8")
    print(f"written: {path.name} and {path.stem}.txt", flush=True)


def _source(package: str, folder: Path) -> Path:
    """Return the unpacked source distribution of a package, fetched once."""
    name = f"{package}-{VERSIONS[package]}"
    if not (folder / name).is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        wanted = f"{package}=={VERSIONS[package]}"
        options = ["--no-deps", "--no-binary", ":all:", "--quiet", "--dest", str(folder)]
        subprocess.run([sys.executable, "-m", "pip", "download", *options, wanted], check=True)
        with tarfile.open(folder / f"{name}.tar.gz") as archive:
            archive.extractall(folder, filter="data")
    return folder / name


class _Told:
    """Progress as a line per step, and one a minute within it."""

    def __init__(self) -> None:
        self._label, self._told = "", 0.0

    def __call__(self, label: str, done: float, total: float) -> None:
        if label != self._label or time.monotonic() > self._told + LINE_SECONDS:
            self._label, self._told = label, time.monotonic()
            print(f"{time.strftime('%H:%M:%S')} {label}: {done / total:.0%}", flush=True)


if __name__ == "__main__":
    main()
