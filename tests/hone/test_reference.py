"""Every setting is documented, and the page in the repository is the one the code makes."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from hone import wiring
from hone.configuration import load
from hone.reference import page
from hone.settings import Settings, setting_names

PAGE = Path(__file__).resolve().parents[2] / "docs" / "settings.md"


@pytest.mark.parametrize("name", setting_names())
def test_every_setting_says_what_it_does(name: str) -> None:
    description = setting_names()[name].description
    assert description, f"{name} has no description"
    assert description.endswith("."), f"{name}: write a sentence"
    assert "|" not in description


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make docs`"


def test_the_example_on_the_page_is_valid(tmp_path: Path) -> None:
    example = re.search(r"```toml\n(.*?)```", page(), re.DOTALL)
    assert example
    (tmp_path / "hone.toml").write_text(example[1])
    assert load(config=str(tmp_path / "hone.toml")).train.min_pairs == 100


def test_every_setting_reaches_its_part() -> None:
    settings = Settings()
    editor, host, night = (
        wiring.editor_config(settings),
        wiring.host_config(settings),
        wiring.night_config(settings),
    )
    for section, config in (
        (settings.editor, editor),
        (settings.engine, host),
        (settings.train, night),
        (settings.gate, night.gate),
        (settings.retention, night.retention),
    ):
        known = {field.name for field in fields(config)}
        for name, value in dict(section).items():
            assert name in known
            if name != "num_threads":  # A night's unset cap becomes half the cores.
                assert getattr(config, name) == value
    assert host.retention == night.retention
