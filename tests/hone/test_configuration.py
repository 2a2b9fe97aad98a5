"""Where settings come from, who wins, and what is said when one is wrong."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hone.configuration import environment_of, load
from hone.errors import UsageError
from hone.settings import Settings, setting_names, variable_of


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of this machine reaches the tests."""
    for variable in [variable_of(name) for name in setting_names()] + ["HONE_CONFIG"]:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def value_of(settings: Settings, name: str) -> object:
    value: object = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value


SOURCES = [
    # flags, environment, hone.toml, setting, value
    ({}, {}, "", "port", 8750),
    ({}, {}, "port = 1", "port", 1),
    ({}, {"HONE_PORT": "2"}, "port = 1", "port", 2),
    ({"port": "3"}, {"HONE_PORT": "2"}, "port = 1", "port", 3),
    ({}, {"hone_port": "2"}, "", "port", 2),
    ({}, {"HONE_PORT": ""}, "port = 1", "port", 1),
    ({}, {}, "[train]\nmin_pairs = 7", "train.min_pairs", 7),
    ({}, {"HONE_TRAIN__MIN_PAIRS": "8"}, "[train]\nmin_pairs = 7", "train.min_pairs", 8),
    ({"train.min_pairs": "9"}, {"HONE_TRAIN__MIN_PAIRS": "8"}, "", "train.min_pairs", 9),
    ({"train.seed": "1"}, {"HONE_TRAIN__MIN_PAIRS": "8"}, "[train]\nrank = 4", "train.rank", 4),
    (
        {"train.seed": "1"},
        {"HONE_TRAIN__MIN_PAIRS": "8"},
        "[train]\nrank = 4",
        "train.min_pairs",
        8,
    ),
    ({}, {"HONE_EDITOR__EXCLUDE": "*.sql, gen/"}, "", "editor.exclude", ("*.sql", "gen/")),
    ({}, {}, "[editor]\nexclude = ['a', 'b']", "editor.exclude", ("a", "b")),
    ({}, {"HONE_TRAIN__NUM_THREADS": "2"}, "", "train.num_threads", 2),
    ({"host": "0.0.0.0", "port": "9"}, {}, "", "client_url", "http://127.0.0.1:9"),
    ({"host": "::1"}, {}, "", "client_url", "http://[::1]:8750"),
    ({"url": "https://gpu.example"}, {}, "", "client_url", "https://gpu.example"),
]


@pytest.mark.parametrize(("flags", "environment", "file", "name", "expected"), SOURCES)
def test_who_wins(
    flags: Mapping[str, object],
    environment: Mapping[str, str],
    file: str,
    name: str,
    expected: object,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    Path("hone.toml").write_text(file)
    assert value_of(load(flags), name) == expected


MISTAKES = [
    # flags, environment, hone.toml, what the line must contain
    ({"port": "x"}, {}, "", ["port = 'x'", "--port", "integer"]),
    ({"port": "0"}, {}, "", ["port = '0'", "greater than or equal to 1"]),
    ({}, {"HONE_PORT": "70000"}, "", ["'70000'", "HONE_PORT"]),
    ({}, {}, "port = 'x'", ["port = 'x'", "hone.toml"]),
    ({}, {}, "prot = 1", ["unknown setting prot", "hone.toml", "did you mean port?"]),
    ({}, {}, "[train]\nmin_pears = 1", ["train.min_pears", "did you mean train.min_pairs?"]),
    ({}, {}, "train = 3", ["unknown setting train"]),
    ({}, {}, "port = ", ["hone.toml", "cannot be read as TOML"]),
    ({}, {"HONE_PROT": "1"}, "", ["HONE_PROT", "did you mean HONE_PORT?"]),
    ({}, {"HONE_TRAIN__MIN_PEARS": "1"}, "", ["HONE_TRAIN__MIN_PAIRS"]),
    ({}, {"HONE_TRIAN__SEED": "1"}, "", ["HONE_TRAIN__SEED"]),
    ({}, {"HONE_TRAIN": '{"seed": 1}'}, "", ["unknown setting HONE_TRAIN"]),
    ({}, {"HONE_TOKEN": "s3cret"}, "", ["token = (hidden)", "at least 8 characters"]),
    ({}, {"HONE_NIGHT__AT": "25:00"}, "", ["night.at = '25:00'", "HH:MM"]),
    ({}, {"HONE_GATE__CONFIDENCE": "2"}, "", ["gate.confidence = '2'"]),
    ({}, {"HONE_DEVICE": "gpu"}, "", ["device = 'gpu'", "cuda:N"]),
    ({}, {"HONE_URL": "localhost:1"}, "", ["url = 'localhost:1'", "http://HOST:PORT"]),
    ({}, {"HONE_CONFIG": "no.toml"}, "", ["HONE_CONFIG", "'no.toml'", "not a file"]),
]


@pytest.mark.parametrize(("flags", "environment", "file", "parts"), MISTAKES)
def test_one_line_says_what_is_wrong(
    flags: Mapping[str, object],
    environment: Mapping[str, str],
    file: str,
    parts: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    Path("hone.toml").write_text(file)
    with pytest.raises(UsageError) as caught:
        load(flags)
    line = str(caught.value)
    assert "\n" not in line
    assert "s3cret" not in line
    for part in parts:
        assert part in line


def test_an_editor_does_not_trust_the_repository_it_opens() -> None:
    Path("hone.toml").write_text("url = 'http://evil.example'")
    assert load(trust_folder=False).client_url == "http://127.0.0.1:8750"
    assert load(trust_folder=True).client_url == "http://evil.example"


def test_the_users_own_file_is_found(tmp_path: Path) -> None:
    own = tmp_path / "config" / "hone" / "hone.toml"
    own.parent.mkdir(parents=True)
    own.write_text("port = 5")
    assert load(trust_folder=False).port == 5
    Path("hone.toml").write_text("port = 6")
    assert load().port == 6
    assert load(config=str(own)).port == 5


def test_a_folder_in_a_file_is_relative_to_the_file(tmp_path: Path) -> None:
    file = tmp_path / "elsewhere.toml"
    file.write_text("data = 'state'")
    assert load(config=str(file)).data == tmp_path / "state"


def test_folders_are_absolute_and_know_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load({"data": "d"}).data == Path.cwd() / "d"
    assert load({"data": "~/d"}).data == tmp_path / "d"
    assert load({"model": "~/m"}).model == str(tmp_path / "m")
    assert load({"model": "a/b"}).model == "a/b"


def test_settings_cannot_be_changed() -> None:
    settings = load()
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1
    with pytest.raises(ValueError, match="frozen"):
        settings.train.seed = 1


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "port": st.integers(1, 65_535),
            "train.min_pairs": st.integers(1, 10**6),
            "gate.min_gain_nats": st.floats(0, 10),
            "night.at": st.sampled_from(["off", "00:00", "23:59"]),
        },
    )
)
def test_a_child_process_gets_the_same_settings(flags: dict[str, object]) -> None:
    ours = load(flags)
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in environment_of(flags, None).items():
            patch.setenv(variable, value)
        assert load().model_dump() == ours.model_dump()
