"""The OpenAPI 3.1 document of the JSON API, made of its operations and their models. Core."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from edge.console.api_models import Error
from edge.console.roles import Scope

VERSION = "1.0.0"
PREFIX = "/api/v1"
DAYS_MAX = 400
_REFUSALS = {
    "400": "a parameter makes no sense",
    "401": "no token, and no login",
    "403": "the token's scopes, or the role, do not reach so far",
    "404": "there is no such camera",
    "503": "what was asked for cannot be read now; this never means that there is nothing",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    name: str
    schema: dict[str, Any]
    text: str
    is_in_path: bool = False
    is_required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One GET.

    Args:
        scope: what a token needs; None: any token.
        refusals: status codes beside 401 and 403 that it may answer with.
    """

    path: str
    name: str
    text: str
    answer: type[BaseModel]
    scope: Scope | None
    refusals: tuple[str, ...] = ("503",)
    parameters: tuple[Parameter, ...] = ()


def openapi(operations: Sequence[Operation], site: str, cameras: Sequence[str]) -> dict[str, Any]:
    """The document of one site: its only server is the box that gives it, its cameras are named."""
    models: list[type[BaseModel]] = [Error, *(one.answer for one in operations)]
    _, definitions = models_json_schema(
        [(model, "serialization") for model in dict.fromkeys(models)],
        ref_template="#/components/schemas/{model}",
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"Xueliang Edge: {site}",
            "version": VERSION,
            "description": "雪亮边缘录像机只读接口 Read-only; instants are ISO 8601, durations"
            " seconds, ratios 0 to 1.",
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}, {"session": []}],
        "paths": {one.path: {"get": _operation(one, cameras)} for one in operations},
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "__Host-session"},
            },
        },
    }


def _operation(one: Operation, cameras: Sequence[str]) -> dict[str, Any]:
    named = {"enum": list(cameras)} if cameras else {}

    def content(model: type[BaseModel]) -> dict[str, Any]:
        schema = {"$ref": f"#/components/schemas/{model.__name__}"}
        return {"application/json": {"schema": schema}}

    scope = "any" if one.scope is None else one.scope.value
    refusals = {
        code: {"description": _REFUSALS[code], "content": content(Error)}
        for code in sorted({"401", "403", *one.refusals})
    }
    return {
        "operationId": one.name,
        "summary": one.text,
        "description": f"Scope of a token: {scope}.",
        "parameters": [
            {
                "name": parameter.name,
                "in": "path" if parameter.is_in_path else "query",
                "required": parameter.is_in_path or parameter.is_required,
                "description": parameter.text,
                "schema": parameter.schema | (named if parameter.is_in_path else {}),
            }
            for parameter in one.parameters
        ],
        "responses": {
            "200": {"description": one.text, "content": content(one.answer)},
            **refusals,
        },
    }
