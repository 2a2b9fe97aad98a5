"""Turns any number of ids into one parameter of a statement that never changes.

A statement with a parameter for each id is made, and parsed, anew for every number of ids, which
takes longer than running it. Knows nothing of tables.
"""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement
from sqlalchemy.types import NullType, TypeDecorator


class Ids:
    """Ids that are written down once, for a statement that asks for them in several places."""

    def __init__(self, ids: Iterable[UUID]) -> None:
        """Write down `ids`."""
        self.quoted = ",".join([f'"{one}"' for one in ids])


class _IdList(TypeDecorator[Iterable[UUID] | Ids]):
    """Ids as one text: a JSON list, or how PostgreSQL writes an array.

    It has no type of its own: PostgreSQL then takes it for the array that it is cast to, once, and
    not for a text that it casts again for every row.
    """

    impl = NullType
    cache_ok = True

    def process_bind_param(self, value: Iterable[UUID] | Ids | None, dialect: Dialect) -> str:
        """Return what the databases take apart again."""
        quoted = (value if isinstance(value, Ids) else Ids(value or ())).quoted
        return f"{{{quoted}}}" if dialect.name == "postgresql" else f"[{quoted}]"


IDS = bindparam("ids", type_=_IdList())


class among(FunctionElement[bool]):  # reads like a word of SQL
    """True where `column` is one of the UUIDs that the statement is given as `ids`."""

    inherit_cache = True

    def __init__(self, column: Any) -> None:
        super().__init__(column, IDS)


@compiles(among)
def _in_list(element: among, compiler: SQLCompiler, **kw: Any) -> str:
    column, ids = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({ids}))"


@compiles(among, "postgresql")
def _in_array(element: among, compiler: SQLCompiler, **kw: Any) -> str:
    column, ids = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"{column} = ANY (CAST({ids} AS uuid[]))"
