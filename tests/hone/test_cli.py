"""The command line, through real processes: quick help, and one line when something is wrong."""

import shutil
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import free_port, refused, run

COMMANDS = ("up", "serve", "lsp", "train", "adapters", "users", "doctor", "demo")


def test_help_is_quick(tmp_path: Path) -> None:
    seconds = []
    for _ in range(5):
        begun = time.perf_counter()
        result = run(tmp_path, "--help")
        seconds.append(time.perf_counter() - begun)
        assert result.returncode == 0
        assert all(f"hone {command}" in result.stdout for command in COMMANDS if command != "serve")
    assert statistics.median(seconds) < 0.3


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_examples(command: str, tmp_path: Path) -> None:
    result = run(tmp_path, command, "--help")
    assert result.returncode == 0
    assert f"examples:\n  hone {command}" in result.stdout


def test_version(tmp_path: Path) -> None:
    assert run(tmp_path, "--version").stdout.startswith("hone 0.")


MISTAKES = [
    ([], ["COMMAND", "hone --help"]),
    (["dance"], ["'dance'"]),
    (["serve", "--prot", "1"], ["--prot"]),
    (["serve", "--por", "1"], ["--por"]),
    (["serve", "--port", "x"], ["port = 'x'", "--port"]),
    (["serve", "--host", "0.0.0.0"], ["0.0.0.0", "--token"]),
    (["serve", "--host", "203.0.113.1", "--token", "12345678"], ["203.0.113.1"]),
    (["serve", "--model", "./nothing"], ["'./nothing'", "starter"]),
    (["up", "--model", "./nothing"], ["'./nothing'"]),
    (["train", "--model", "./nothing"], ["'./nothing'"]),
    (["train", "--objective", "magic"], ["train.objective = 'magic'", "'sft'"]),
    (["train", "--model", "qwen"], ["'qwen'", "a hub id such as"]),
    (["lsp", "--url", "nowhere"], ["url = 'nowhere'", "write it like http://127.0.0.1:8750"]),
    (["serve", "--device", "gpu"], ["device = 'gpu'", "write it like auto or cpu or cuda:0"]),
    (["lsp", "--url", "http://:80"], ["url", "'http://:80'"]),
    (["lsp", "--clock", "broken"], ["editor.clock = 'broken'"]),
    (["serve", "--config", "no.toml"], ["'no.toml'"]),
    (["serve", "--database-url", "nonsense"], ["database", "nonsense"]),
    (["serve", "--data", "/proc/hone"], ["/proc/hone", "--data"]),
    (["adapters", "promote", "3f"], ["--reason"]),
    (["adapters", "list"], ["no database", "--data"]),
]


@pytest.mark.parametrize(("arguments", "parts"), MISTAKES)
def test_one_line_and_exit_code_two(arguments: list[str], parts: list[str], tmp_path: Path) -> None:
    refused(run(tmp_path, *arguments), *parts)


@pytest.mark.parametrize("command", ["up", "serve", "lsp", "train", "doctor"])
def test_unknown_settings_are_refused_everywhere(command: str, tmp_path: Path) -> None:
    refused(run(tmp_path, command, HONE_PROT="1"), "HONE_PROT", "HONE_PORT")


def test_an_unknown_setting_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "hone.toml").write_text("[train]\nmin_pears = 3")
    refused(run(tmp_path, "serve"), "train.min_pears", "train.min_pairs", "hone.toml")


@pytest.mark.parametrize("command", ["up", "serve"])
def test_a_port_in_use(command: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused(run(tmp_path, command, "--data", "d", "--port", port), port, "--port")


def test_an_incomplete_model(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    result = run(tmp_path, "serve", "--model", "model")
    refused(result, "model", "*.safetensors", "tokenizer_config.json")


@pytest.mark.parametrize("command", ["serve", "train"])
def test_an_unreadable_database(command: str, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "hone.db").write_bytes(b"this is no database" * 100)
    port = ["--port", str(free_port())] if command == "serve" else []
    refused(run(tmp_path, command, "--data", "d", *port), "hone.db")


def test_a_broken_model_is_one_line(tmp_path: Path) -> None:
    from hone.preflight import check_model

    starter = check_model("starter")
    assert starter
    shutil.copytree(starter, tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"torn")
    port = str(free_port())
    refused(run(tmp_path, "serve", "--model", "model", "--port", port, "--data", "d"), "model")


def test_what_needs_the_host_side_says_so(tmp_path: Path) -> None:
    # A finder that hides torch stands for an installation without the extra.
    code = (
        "import sys, importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'torch' else find(name, *a)\n"
        "from hone.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    for command in (["up"], ["serve"], ["train"], ["demo"], ["adapters", "list"]):
        result = subprocess.run(
            [sys.executable, "-c", code, *command], capture_output=True, text=True, cwd=tmp_path
        )
        refused(result, f"hone {command[0]}", "torch", "pip install 'hone[host]'")
