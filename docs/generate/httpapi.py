"""Routes, from the OpenAPI document of the application."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from typing import Any

from api.app import create_app
from api.openapi import TAGS
from core.settings import ApiSettings, Settings
from docs.generate.markdown import code, codes, sentence, table

_PROBLEM = "application/problem+json"
_LARGE = 2**31 - 1  # a greater bound is that of a type
_METHODS = ("get", "post", "put", "patch", "delete")


@functools.cache
def document() -> dict[str, Any]:
    """The OpenAPI document, the same on every machine. It is made once, as that takes a second; nobody changes it."""
    return create_app(Settings(api=ApiSettings())).openapi()


def openapi_json() -> str:
    """The document as it is kept in docs/reference/openapi.json."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def routes_section() -> str:
    """Every route, by topic: what it does, its parameters, bodies and answers."""
    described = document()
    parts = []
    for tag in TAGS:
        parts.append(f"## {tag['name'].capitalize()}\n\n{sentence(tag['description'])}")
        parts += [_route(*each) for each in _operations(described) if tag["name"] in each[2].get("tags", ())]
    return "\n\n".join(parts)


def schemas_section() -> str:
    """The fields of the objects that routes take and give."""
    schemas = document()["components"]["schemas"]
    return "\n\n".join(_schema(name, schemas[name]) for name in sorted(schemas) if "properties" in schemas[name])


def _operations(described: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in described["paths"].items():
        for method in _METHODS:
            if method in item:
                yield method.upper(), path, item[method]


def _route(method: str, path: str, operation: dict[str, Any]) -> str:
    parts = [f"### {method} {path}", sentence(operation.get("summary", "")), sentence(operation.get("description", ""))]
    parameters = [
        (code(each["name"]), each["in"], _value(each["schema"]), sentence(each.get("description", "")))
        for each in operation.get("parameters", ())
    ]
    if parameters:
        parts.append(table(("parameter", "in", "value", "meaning"), parameters))
    body = operation.get("requestBody", {}).get("content", {})
    if body:
        parts.append(f"Body: {codes(body)}.")
    answers = {
        status: answer for status, answer in sorted(operation["responses"].items()) if _PROBLEM not in answer.get("content", {})
    }
    parts.append(table(("answer", "body", "meaning"), [(code(s), _content(a), _said(a)) for s, a in answers.items()]))
    problems = [status for status in sorted(operation["responses"]) if status not in answers]
    if problems:
        parts.append(f"Problems: {codes(problems)}.")
    return "\n\n".join(filter(None, parts))


def _said(answer: dict[str, Any]) -> str:
    text = answer["description"]
    return "" if text == "Successful Response" else sentence(text)


def _value(schema: dict[str, Any]) -> str:
    """Of a parameter: that it may be left out is not said."""
    return _kind(schema).removesuffix(" or null")


def _content(answer: dict[str, Any]) -> str:
    shown = []
    for media, content in answer.get("content", {}).items():
        name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
        shown.append(f"[{name}](#{name.lower()})" if name else code(media))
    return ", ".join(shown)


def _schema(name: str, schema: dict[str, Any]) -> str:
    required = schema.get("required", ())
    rows = [
        (code(field), _kind(each), "yes" if field in required else "", sentence(each.get("description", "")))
        for field, each in schema["properties"].items()
    ]
    about = sentence(schema.get("description", ""))
    return "\n\n".join(filter(None, [f"### {name}", about, table(("field", "value", "always there", "meaning"), rows)]))


def _kind(schema: dict[str, Any]) -> str:
    """A JSON schema in words; a list of alternatives is joined by `or`."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})" if "properties" in _resolve(name) else _kind(_resolve(name))
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(map(_kind, schema["anyOf"])))
    if "const" in schema:
        return code(schema["const"])
    if "enum" in schema:
        return codes(schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    words = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false", "null": "null"}
    kind = words.get(schema.get("type", ""), "object")
    bounds = [
        f"{sign} {schema[key]}" for key, sign in (("minimum", "≥"), ("maximum", "≤")) if abs(schema.get(key, _LARGE)) < _LARGE
    ]
    default = [f"default {code(json.dumps(schema['default']))}"] if schema.get("default") is not None else []
    return ", ".join([kind, *bounds, *default])


def _resolve(name: str) -> dict[str, Any]:
    schemas: dict[str, dict[str, Any]] = document()["components"]["schemas"]
    return schemas[name]
