"""Turns an installation into a list of findings: ok, warn or fail, and what to do about it.

It changes nothing: no folder is created, no database migrated, no model loaded. It knows where
things should be, not how they work.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict

from feedback_store.errors import StoreError
from hone import findings
from hone.errors import HoneError, one_line
from hone.findings import Finding
from hone.settings import Settings

_MARKS = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL"}

Check = Callable[[Settings], Iterator[Finding]]
CHECKS: tuple[Check, ...] = (
    findings.python,
    findings.packages,
    findings.device,
    findings.model,
    findings.data_folder,
    findings.disk_space,
    findings.database,
    findings.store,
    findings.adapters,
    findings.tokens,
    findings.host,
    findings.outbox,
)


def run(settings: Settings, *, as_json: bool) -> int:
    """Print every finding; exit code 1 when one of them is a failure."""
    found = []
    for check in CHECKS:
        for finding in _checked(check, settings):
            found.append(finding)
            if not as_json:
                print(as_line(finding), flush=True)
    healthy = all(finding.level != "fail" for finding in found)
    if as_json:
        print(json.dumps({"ok": healthy, "checks": [asdict(f) for f in found]}, indent=2))
    else:
        print(_summary(found))
    return 0 if healthy else 1


def _summary(found: list[Finding]) -> str:
    if any(finding.level == "fail" for finding in found):
        return "something fails: see the lines marked FAIL"
    if num_warnings := sum(finding.level == "warn" for finding in found):
        return f"nothing fails; see {num_warnings} marked WARN"
    return "all is well"


def as_line(finding: Finding) -> str:
    """Return a finding as one line for a person."""
    advice = f" -> {finding.advice}" if finding.advice else ""
    return f"{_MARKS[finding.level]}  {finding.name:<12} {finding.message}{advice}"


def _checked(check: Check, settings: Settings) -> list[Finding]:
    """Run one check; a check that stumbles is a finding too, and the others still run."""
    try:
        return list(check(settings))
    except (HoneError, StoreError) as error:
        return [findings.refused(check.__name__, one_line(error))]
    except Exception as error:
        told = f"the check itself failed: {type(error).__name__}: {one_line(error)}"
        return [Finding(check.__name__, "fail", told, "please report this line")]
