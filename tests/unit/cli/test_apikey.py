"""The API key of a command: given, from a file, never quoted."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.apikey import read_key
from cli.output.exit_codes import CliError


def test_a_key_is_given_or_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "key.txt"
    file.write_text("dq_live_a\n")
    assert read_key(None) is None
    assert read_key("dq_live_b") == "dq_live_b"
    assert read_key(f"@{file}") == "dq_live_a"
    monkeypatch.setenv("DERMQ_API_KEY_FILE", str(file))
    assert read_key(None) == "dq_live_a"
    assert read_key("dq_live_b") == "dq_live_b"


@pytest.mark.parametrize("content", [b"", b" \n", b"dq_live_secret\nmore", b"dq_live_secret\xff"], ids=ascii)
def test_a_file_without_a_key_is_named_and_not_quoted(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "key.txt"
    file.write_bytes(content)
    with pytest.raises(CliError, match=r"key\.txt holds no API key") as refused:
        read_key(f"@{file}")
    assert "secret" not in str(refused.value)
    with pytest.raises(CliError, match=r"cannot be read: .*No such file"):
        read_key(f"@{tmp_path / 'none'}")
