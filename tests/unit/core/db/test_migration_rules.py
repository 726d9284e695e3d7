"""Migrations expand: what the previous release does still works on the new schema, and no table is locked for long.

A step that breaks this (drop, rename, NOT NULL, rewrite) is a contract step. It says so with `contract = "why, and since which
release nobody needs what it takes away"`, and docs/how-to/upgrade.md#contract-steps says how it is rolled out.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from core.db.migrations import versions

FILES = sorted(Path(versions.__file__).parent.glob("0*.py"))
SINCE_FIRST = [path for path in FILES if not path.name.startswith("0001_")]


def faults(source: str) -> list[str]:
    """What a migration does that the previous release, or a table in use, would not survive."""
    tree = ast.parse(source)
    if any(isinstance(node, ast.Assign) and _names(node) == ["contract"] for node in tree.body):
        return []
    upgrade = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "upgrade")
    calls = [node for node in ast.walk(upgrade) if isinstance(node, ast.Call) and _is_operation(node)]
    calls.sort(key=lambda call: call.lineno)
    created = {_text(call.args[0]) for call in calls if _name(call) == "op.create_table"}
    found = [fault for call in calls if (fault := _fault(call, created))]
    names = [_name(call) for call in calls]
    transactional = [at for at, name in enumerate(names) if name.startswith("op.")]
    if transactional and any(name.startswith("online.") for name in names[transactional[0] :]):
        found.append("online.… commits by itself: call it before everything else")
    return found


def _fault(call: ast.Call, created: set[str]) -> str | None:
    name = _name(call)
    if name in ("op.create_table", "op.f", "online.create_index", "online.make_append_only"):
        return None
    if name == "op.add_column" and _may_be_left_out(call.args[1]):
        return None
    table = _text(call.args[1 if name == "op.create_index" else 0]) if call.args else ""
    if name in ("op.create_index", "op.batch_alter_table", "op.bulk_insert") and table in created:
        return None
    return f"line {call.lineno}: {name} on {table or 'the database'}"


def _may_be_left_out(column: ast.expr) -> bool:
    assert isinstance(column, ast.Call)
    options = {keyword.arg: keyword.value for keyword in column.keywords}
    nullable = options.get("nullable")
    return "server_default" in options or (isinstance(nullable, ast.Constant) and nullable.value is True)


def _is_operation(call: ast.Call) -> bool:
    return _name(call).partition(".")[0] in ("op", "online")


def _name(call: ast.Call) -> str:
    return ast.unparse(call.func)


def _names(node: ast.Assign) -> list[str]:
    return [ast.unparse(target) for target in node.targets]


def _text(node: ast.expr) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else ast.unparse(node)


@pytest.mark.parametrize("path", SINCE_FIRST, ids=lambda path: path.stem)
def test_a_migration_expands_or_says_that_it_contracts(path: Path) -> None:
    assert faults(path.read_text()) == []


def test_revisions_are_one_row_without_forks() -> None:
    parents = []
    for path in FILES:
        values = {_names(node)[0]: node.value for node in ast.parse(path.read_text()).body if isinstance(node, ast.Assign)}
        assert path.name.startswith(_text(values["revision"]))
        parents.append(_text(values["down_revision"]))
    assert parents == ["None", *(path.name[:4] for path in FILES[:-1])]


@pytest.mark.parametrize(
    ("step", "fault"),
    [
        ('op.drop_column("jobs", "name")', "op.drop_column on jobs"),
        ('op.add_column("jobs", sa.Column("a", sa.Text(), nullable=False))', "op.add_column on jobs"),
        ('op.add_column("jobs", sa.Column("a", sa.Text()))', "op.add_column on jobs"),
        ('op.create_index("ix", "jobs", ["name"])', "op.create_index on jobs"),
        ('op.alter_column("jobs", "name", nullable=False)', "op.alter_column on jobs"),
        ('op.execute("UPDATE jobs SET name = 1")', "op.execute on UPDATE jobs SET name = 1"),
        ('op.create_table("t")\n    online.create_index("ix", "jobs", ["name"])', "online.… commits by itself"),
    ],
)
def test_the_rule_finds_what_the_previous_release_would_not_survive(step: str, fault: str) -> None:
    found = faults(f"def upgrade():\n    {step}\n")
    assert len(found) == 1
    assert fault in found[0]
    assert faults(f'contract = "nobody reads it since 0.9"\n\n\ndef upgrade():\n    {step}\n') == []


@pytest.mark.parametrize(
    "step",
    [
        'op.add_column("jobs", sa.Column("a", sa.Text(), nullable=True))',
        'op.add_column("jobs", sa.Column("a", sa.Text(), nullable=False, server_default=""))',
        'online.create_index("ix", "jobs", ["name"])\n    op.create_table("t")\n    op.create_index("ix_t", "t", ["a"])',
    ],
)
def test_the_rule_lets_pass_what_it_survives(step: str) -> None:
    assert faults(f"def upgrade():\n    {step}\n") == []
