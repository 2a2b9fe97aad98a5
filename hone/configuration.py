"""Turns the sources of settings into `Settings`, or into one line that says what is wrong.

It finds hone.toml, refuses names nobody knows (in the file and in the environment alike), and
traces a bad value back to the place it came from. It does not know what a setting is for.
"""

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import platformdirs
from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsError,
)

from hone.errors import UsageError, one_line
from hone.settings import Settings, setting_names, variable_of

CONFIG_VARIABLE = "HONE_CONFIG"
FILE_NAME = "hone.toml"
PAGE = "docs/settings.md"


def load(
    flags: Mapping[str, object] | None = None,
    *,
    config: str | None = None,
    trust_folder: bool = True,
) -> Settings:
    """Read all settings; `flags` maps dotted names to raw values and wins over everything.

    `trust_folder=False` leaves out the working folder's hone.toml: an editor starts the language
    server inside whatever repository is open, and that repository must not choose the host.
    Raises `UsageError` for unknown names, bad values and unreadable files.
    """
    flags = dict(flags or {})
    path = find_file(config, trust_folder=trust_folder)
    in_file = read_file(path) if path else {}
    _refuse_unknown_variables(os.environ)

    class Sourced(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (init_settings, env_settings, InitSettingsSource(settings_cls, in_file))

    try:
        return Sourced(**_nest(flags))
    except ValidationError as error:
        raise UsageError(_explain(error, flags, path)) from error
    except SettingsError as error:
        raise UsageError(f"the environment cannot be read: {one_line(error)}") from error


def find_file(config: str | None, *, trust_folder: bool = True) -> Path | None:
    """Return the hone.toml to read: the one named, the working folder's, or the user's."""
    for named, by in ((config, "--config"), (os.environ.get(CONFIG_VARIABLE), CONFIG_VARIABLE)):
        if named:
            path = Path(named).expanduser()
            if not path.is_file():
                raise UsageError(f"{by} names {named!r}, which is not a file: name a {FILE_NAME}")
            return path
    folders = [Path()] if trust_folder else []
    folders.append(platformdirs.user_config_path("hone", appauthor=False))
    return next((path for f in folders if (path := f / FILE_NAME).is_file()), None)


def read_file(path: Path) -> dict[str, Any]:
    """Return the settings of a file; relative folders in it are relative to the file."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} cannot be read as TOML: {one_line(error)}; correct it") from error
    for name in _flatten(content):
        if name not in setting_names():
            raise UsageError(f"unknown setting {name} in {path}: {_advice(name)}")
    if isinstance(content.get("data"), str):
        content["data"] = str(path.absolute().parent / Path(content["data"]).expanduser())
    return content


def environment_of(flags: Mapping[str, object], config: str | None) -> dict[str, str]:
    """Return the variables that give a child process the same settings as this process."""
    variables = {variable_of(name): str(value) for name, value in flags.items()}
    path = find_file(config)
    if path:
        variables[CONFIG_VARIABLE] = str(path.absolute())
    return variables


def _refuse_unknown_variables(environment: Mapping[str, str]) -> None:
    known = {variable_of(name) for name in setting_names()} | {CONFIG_VARIABLE}
    for variable in environment:
        if variable.upper().startswith("HONE_") and variable.upper() not in known:
            advice = _closest(variable.upper(), known) or f"see {PAGE}, or unset it"
            raise UsageError(f"unknown setting {variable} in the environment: {advice}")


def _flatten(content: Mapping[str, Any], prefix: str = "") -> list[str]:
    names = []
    for key, value in content.items():
        name = prefix + key
        names += _flatten(value, name + ".") if isinstance(value, dict) else [name]
    return names


def _nest(flags: Mapping[str, object]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, value in flags.items():
        *section, last = name.split(".")
        (nested.setdefault(section[0], {}) if section else nested)[last] = value
    return nested


def _advice(name: str) -> str:
    return _closest(name, set(setting_names())) or f"see {PAGE}"


def _closest(name: str, known: set[str]) -> str | None:
    matches = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    return f"did you mean {matches[0]}?" if matches else None


def _explain(error: ValidationError, flags: Mapping[str, object], path: Path | None) -> str:
    """Describe the first problem: the setting, its value, where that came from, what fits."""
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"][:2] if not isinstance(part, int))
    if name not in setting_names():
        name = str(first["loc"][0])
    value = "(hidden)" if name in {"token", "database_url"} else repr(first["input"])
    if name in flags:
        source = "--" + name.split(".")[-1].replace("_", "-")
    elif os.environ.get(variable_of(name)):
        source = variable_of(name)
    else:
        source = str(path)
    expected = (
        first["msg"].replace("Input should", "it should").replace("String should", "it should")
    )
    field = setting_names().get(name)
    if first["type"] == "string_pattern_mismatch" and field is not None and field.examples:
        expected = f"write it like {' or '.join(field.examples)}"
    hint = f" ({field.description.rstrip('.')})" if field is not None else ""
    return f"{name} = {value}, from {source}, is not valid: {expected}{hint}"
