"""`hone users`, through real processes, on a real database."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from commands import refused, run

from feedback_store import access, audit
from feedback_store.access import TokenScope
from feedback_store.database import Database, default_url
from hone.cli import SCOPES

HOSTILE = ["'; DROP TABLE users; --", "<script>alert(1)</script>", "a b", "名"]


@dataclass(frozen=True)
class House:
    """A folder in which `hone users` works."""

    home: Path

    def run(self, *arguments: str, code: int = 0) -> str:
        result = run(self.home, "users", *arguments, "--data", "data")
        assert result.returncode == code, result.stdout + result.stderr
        return result.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json"))

    def refused(self, *arguments: str, says: str) -> None:
        refused(run(self.home, "users", *arguments, "--data", "data"), says)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_the_first_user_may_come_before_the_first_start(house: House) -> None:
    told = house.run("add", "ada", "--scope", "reviewer", "--scope", "editor", "--days", "30")
    (secret,) = re.findall(r"^hone_[\w-]{43}$", told, re.MULTILINE)
    assert "token 1 of ada: editor,reviewer, until 20" in told
    assert "not shown again" in told
    database = Database.open(default_url(house.home / "data"))
    token = access.find(database, access.digest(secret))
    assert token is not None
    assert token.scopes == {TokenScope.EDITOR, TokenScope.REVIEWER}
    assert (token.expires_at - token.created_at).days == 30
    assert audit.entries(database, 1)[0].action == "token issued"
    database.close()
    for shown in (
        house.run("list"),
        house.run("tokens", "ada"),
        house.run("tokens", "ada", "--json"),
    ):
        assert "hone_" not in shown


def test_a_life_of_tokens(house: House) -> None:
    first = house.json("add", "ada", "--scope", "editor")
    second = house.json("add", "ada", "--scope", "admin")
    assert first["token"] != second["token"]
    assert (first["token_id"], second["token_id"]) == (1, 2)
    assert [u["num_valid_tokens"] for u in house.json("list")] == [2]
    told = house.json("revoke", "1", "--reason", "laptop lost", "--by", "eve")
    assert (told["state"], told["user"]) == ("revoked", "ada")
    assert [t["state"] for t in house.json("tokens", "ada")] == ["revoked", "valid"]
    assert [u["num_valid_tokens"] for u in house.json("list")] == [1]
    assert re.search(r"1  revoked  20\S+  never +editor", house.run("tokens", "ada"))
    house.refused("revoke", "1", says="revoked on")
    database = Database.open(default_url(house.home / "data"))
    entry = audit.entries(database, 1)[0]
    assert (entry.who, entry.subject, entry.reason) == ("eve", "1 of ada", "laptop lost")
    database.close()


def test_names_are_only_text(house: House) -> None:
    for name in HOSTILE:
        house.run("add", name, "--scope", "editor")
    assert sorted(user["name"] for user in house.json("list")) == sorted(HOSTILE)
    for name in HOSTILE:
        assert len(house.json("tokens", name)) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["add", "ada"], "--scope"),
        (["add", "ada", "--scope", "root"], "'root'"),
        (["add", "", "--scope", "editor"], "printable"),
        (["add", "a\nb", "--scope", "editor"], "printable"),
        (["add", "x" * 65, "--scope", "editor"], "1 to 64"),
        (["add", "ada", "--scope", "editor", "--days", "0"], "'0'"),
        (["add", "ada", "--scope", "editor", "--days", "-1"], "--days"),
        (["revoke", "hone_abc"], "hone_abc"),
        (["list"], "no database"),
        (["tokens", "ada"], "no database"),
        (["dance"], "'dance'"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], says: str, house: House) -> None:
    house.refused(*arguments, says=says)
    assert not list(house.home.rglob("hone.db")) or arguments[0] == "add"


def test_whom_nobody_knows(house: House) -> None:
    house.run("add", "ada", "--scope", "editor")
    house.refused("tokens", "bob", says="no user is named 'bob'")
    house.refused("revoke", "7", says="no token has the number 7")
    house.refused("revoke", "-7", says="-7")
    assert "no users yet" not in house.run("list")


def test_the_scopes_are_those_of_the_store() -> None:
    assert tuple(TokenScope) == SCOPES
