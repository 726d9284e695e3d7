"""`python -m docs.generate` writes the generated sections; `--check` only names the pages that differ, and ends with 1."""

from __future__ import annotations

import sys

from docs.generate.pages import DOCS, generated_files


def main(arguments: list[str]) -> int:
    """Write or compare."""
    changed = [name for name, text in generated_files().items() if not is_current(name, text)]
    for name in changed:
        if "--check" not in arguments:
            (DOCS / name).write_text(generated_files()[name])
        sys.stdout.write(f"docs/{name}\n")
    return 1 if changed and "--check" in arguments else 0


def is_current(name: str, text: str) -> bool:
    """Whether the file holds this text."""
    path = DOCS / name
    return path.exists() and path.read_text() == text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
