"""The table of routes: what each asks for before it answers. Core.

Default-deny: a rule cannot be written without its permission, one that is no :class:`Permission` is
refused when the table is made, and what is in no table is not served.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from edge.console.roles import Permission, Scope

#: Gets a :class:`edge.console.visit.Visit`, gives a Starlette response.
Endpoint = Callable[[Any], Awaitable[Any]]
BODY_BYTES_MAX = 64 * 1024


class Kind(StrEnum):
    """Who reads the answer, and so how a refusal is told."""

    PAGE = "page"  # a person: redirect to the login, a page that says why not
    DATA = "data"  # a program: 401, 403 and JSON


class UndeclaredRule(TypeError):
    """A route that does not say who may use it, or says it twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One method of one path.

    Args:
        path: as Starlette writes it, ``/holds/{id}/release``.
        permission: what the account must have; ``PUBLIC`` needs no login.
        scope: a token with this scope may, too. None: no token may, unless
        any_token: every valid one may.
        nav: key of the phrase under which the page stands in the navigation.
        is_background: asked by a page by itself: does not keep a session alive.
        body_bytes_max: of a request.
    """

    method: str
    path: str
    endpoint: Endpoint
    permission: Permission
    kind: Kind = Kind.PAGE
    scope: Scope | None = None
    any_token: bool = False
    nav: str = ""
    is_background: bool = False
    body_bytes_max: int = BODY_BYTES_MAX


def table(groups: Iterable[Sequence[Rule]]) -> tuple[Rule, ...]:
    """All rules, in order.

    Raises:
        UndeclaredRule: one without a permission, of an unknown method, or told twice.
    """
    found: dict[tuple[str, str], Rule] = {}
    for rule in (rule for group in groups for rule in group):
        place = (rule.method, rule.path)
        if not isinstance(rule.permission, Permission):
            raise UndeclaredRule(f"{place} declares no permission")
        if rule.method not in ("GET", "POST", "PUT", "DELETE") or not rule.path.startswith("/"):
            raise UndeclaredRule(f"{place} is no method and path")
        if (rule.scope is not None or rule.any_token) and (
            rule.method != "GET" or rule.kind is not Kind.DATA
        ):
            raise UndeclaredRule(f"{place}: tokens only read data")
        if place in found:
            raise UndeclaredRule(f"{place} stands twice")
        found[place] = rule
    return tuple(found.values())
