"""The form of keys: random, recognisable, checked."""

from __future__ import annotations

import hashlib
import re

import pytest

from core.access.scopes import Scope, read_scopes
from core.access.tokens import digest, hint, is_token, new_token
from core.errors import InvalidRequestError


def test_a_key_has_a_prefix_256_random_bits_and_a_checksum() -> None:
    made = {new_token() for _ in range(1000)}
    assert len(made) == 1000
    assert all(re.fullmatch(r"dq_live_[0-9A-Za-z]{49}", token) for token in made)
    assert all(map(is_token, made))
    # Each digit of the secret takes many values; the first one only those that 2**256 / 62**42 leaves.
    assert min(len({token[at] for token in made}) for at in range(9, 51)) > 50


@pytest.mark.parametrize("at", range(8, 57))
def test_one_wrong_character_is_found(at: int) -> None:
    token = new_token()
    assert not is_token(f"{token[:at]}{'a' if token[at] != 'a' else 'b'}{token[at + 1 :]}")


@pytest.mark.parametrize("text", ["", "dq_live_", "dq_live_" + "a" * 49, "Bearer x", "dq_live_\ud800"], ids=ascii)
def test_what_is_no_key(text: str) -> None:
    assert not is_token(text)
    assert len(digest(text)) == 64


def test_a_line_end_does_not_belong_to_a_key() -> None:
    assert not is_token(new_token() + "\n")


def test_the_digest_is_the_sha_256_and_the_hint_shows_four_characters() -> None:
    token = new_token()
    assert digest(token) == hashlib.sha256(token.encode()).hexdigest()
    assert hint(token) == token[:12]


def test_scopes_are_known_words() -> None:
    assert read_scopes(["read", "submit", "read"]) == {Scope.READ, Scope.SUBMIT}
    for words in ([], ["read", "write"]):
        with pytest.raises(InvalidRequestError, match="submit, read, review, admin"):
            read_scopes(words)
