"""The house rules that can be checked: who imports whom, how long things are, what is named how."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("feedback_store", "lsp_server", "trainer", "hone")
MAX_FUNCTION_LINES = 60
MAX_FILE_LINES = 400
BANNED_WORDS = {"manager", "helper", "processor", "utils", "common", "misc"}

# Longest prefix wins. A package may always import itself and what stands here, nothing else of
# ours. Nobody names `hone`: nothing imports the front door.
MAY_IMPORT = {
    "feedback_store": (),
    "lsp_server": (),
    "lsp_server.editor": ("feedback_store.schemas",),
    "lsp_server.engine": ("feedback_store",),
    "trainer": ("feedback_store", "lsp_server.engine"),
    "trainer.replay": ("feedback_store", "lsp_server.engine", "lsp_server.editor.stdio", "trainer"),
    "hone": ("feedback_store", "lsp_server", "trainer"),
}
EDITOR_LIBRARIES = {
    "filelock", "httpx", "lsprotocol", "pathspec", "pydantic", "pygls", "tree_sitter",
    "tree_sitter_python",
}  # fmt: skip
ONLY_IN = {
    "trl": ("trainer.train",),
    "datasets": ("trainer",),
    "pygls": ("lsp_server.editor",),
    "fastapi": ("feedback_store", "lsp_server.engine"),
    "sqlalchemy": ("feedback_store", "hone"),
    "pydantic_settings": ("hone",),
    "rich": ("hone", "trainer.pretrain"),
    "matplotlib": ("trainer.replay.plots",),
}
PURE = {
    "feedback_store.outcomes",
    "lsp_server.editor.context",
    "lsp_server.editor.document",
    "lsp_server.editor.postprocess",
    "lsp_server.editor.redaction",
    "lsp_server.editor.tracker",
    "lsp_server.engine.prompt",
    "trainer.gate",
    "trainer.pairs",
    "trainer.replay.comparing",
    "trainer.replay.passage",
    "trainer.replay.typist",
}
IMPURE_MODULES = {"os", "time", "socket", "subprocess", "shutil", "tempfile", "httpx", "sqlalchemy"}


def module_files() -> dict[str, Path]:
    """Every module of the packages by its dotted name."""
    files = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return files


MODULES = module_files()
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}


def imports_of(tree: ast.AST) -> Iterator[str]:
    """Every module an AST imports, as the most exact dotted name that can be read from it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else node.module


def is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def longest(module: str, packages: dict[str, tuple[str, ...]]) -> str:
    return max((p for p in packages if is_within(module, p)), key=len)


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_one_way(module: str) -> None:
    home = longest(module, MAY_IMPORT)
    allowed = (home, *MAY_IMPORT[home])
    for imported in imports_of(TREES[module]):
        if imported.split(".")[0] in PACKAGES:
            assert any(is_within(imported, package) for package in allowed), (
                f"{module} imports {imported}; {home} may import only {', '.join(allowed)}"
            )


@pytest.mark.parametrize("module", MODULES)
def test_libraries_stay_where_they_belong(module: str) -> None:
    for imported in imports_of(TREES[module]):
        library = imported.split(".")[0]
        homes = ONLY_IN.get(library)
        assert homes is None or any(is_within(module, home) for home in homes), (
            f"{module} imports {library}, which only {', '.join(homes or ())} may know"
        )
        if is_within(module, "lsp_server.editor"):
            known = library in sys.stdlib_module_names or library in EDITOR_LIBRARIES
            assert known or library in PACKAGES, f"{module} imports {library}"


@pytest.mark.parametrize("module", sorted(PURE))
def test_pure_modules_do_no_input_or_output(module: str) -> None:
    assert module in MODULES, f"{module} is gone; correct the list"
    impure = {name.split(".")[0] for name in imports_of(TREES[module])} & IMPURE_MODULES
    assert not impure
    calls = {n.func.id for n in ast.walk(TREES[module])
             if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}  # fmt: skip
    assert not calls & {"open", "print", "input"}
    clocks = {n.attr for n in ast.walk(TREES[module]) if isinstance(n, ast.Attribute)}
    assert not clocks & {"now", "utcnow", "today"}


def test_no_import_cycles() -> None:
    graph: dict[str, set[str]] = {}
    for module, tree in TREES.items():
        top = ast.Module(
            [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)], type_ignores=[]
        )
        graph[module] = {name for name in imports_of(top) if name in MODULES and name != module}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"import cycle: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize("module", MODULES)
def test_nothing_is_too_long(module: str) -> None:
    num_lines = len(MODULES[module].read_text(encoding="utf-8").splitlines())
    assert num_lines <= MAX_FILE_LINES, f"{module} has {num_lines} lines"
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= MAX_FUNCTION_LINES, f"{module}.{node.name} has {length} lines"


def test_test_files_are_not_too_long_either() -> None:
    for path in (ROOT / "tests").rglob("*.py"):
        num_lines = len(path.read_text(encoding="utf-8").splitlines())
        assert num_lines <= MAX_FILE_LINES, f"{path.relative_to(ROOT)} has {num_lines} lines"


def defined_names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


@pytest.mark.parametrize("module", MODULES)
def test_no_name_says_nothing(module: str) -> None:
    for name in (module, *defined_names(TREES[module])):
        words = re.findall(r"[A-Z]?[a-z]+", name)
        assert not {word.lower() for word in words} & BANNED_WORDS, f"{module}: {name}"


def check_import(module: str, *absent: str) -> None:
    """Import `module` in a fresh process; none of `absent` may come along."""
    code = f"import sys, {module}; print([m for m in {absent!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert result.stdout.strip() == "[]", result.stdout + result.stderr


def test_the_editor_side_is_light() -> None:
    heavy = ("torch", "transformers", "sqlalchemy", "fastapi", "alembic", "numpy", "rich")
    check_import("lsp_server.editor.server", *heavy)


def test_the_front_door_is_light() -> None:
    check_import("hone.cli", "torch", "pydantic", "pydantic_settings", "httpx", "rich", "asyncio")
    check_import("hone.configuration", "torch", "sqlalchemy", "httpx", "rich")


def test_the_store_needs_no_torch() -> None:
    check_import("feedback_store.registry", "torch", "transformers")
    check_import("hone.adapters", "torch", "transformers", "fastapi")


def test_what_is_wrong_with_a_replay_is_said_before_a_model_is_loaded() -> None:
    check_import("trainer.replay.prepare", "torch", "transformers", "sqlalchemy")
    check_import("hone.replay", "torch", "transformers", "sqlalchemy")


def tracked_files() -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listing.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listing.stdout.decode().split("\0") if name]


def test_no_machine_is_written_into_the_repository() -> None:
    # Put together here, so that this file does not find itself.
    hosts = [".".join(h) for h in (("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"),
                                   ("pytorch", "org", "whl"), ("yarnpkg", "com"))]  # fmt: skip
    folders = ["/" + f for f in ("work/main", "work/shared", "root/", "opt/pypi", "home/runner")]
    for path in tracked_files():
        if not path.is_file() or path.suffix in {".safetensors", ".png", ".gif"}:
            continue
        content = path.read_text(encoding="utf-8", errors="replace")
        found = [text for text in (*hosts, *folders) if text in content]
        assert not found, f"{path.relative_to(ROOT)} names {found}"
