"""Who may do what in the console. Core.

A role gives permissions; a few more may be switched on for one account (``OPTIONAL``): live view is
off for everyone until a head allows it. What no role gives does not exist.
"""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """What an account is there for."""

    INTEGRATOR = "integrator"  # 集成商: sets the site up; no footage of his own right
    HEAD = "head"  # 园长, 安保负责人: answers for the footage
    GUARD = "guard"  # 保安: looks that all is green
    AUDITOR = "auditor"  # 监管, 审计: reads every register, sees no footage


class Permission(StrEnum):
    """What a route may ask for; each route declares one."""

    PUBLIC = "public"  # before any login: the login page and its style, nothing else
    OWN = "own"  # whoever is logged in: front page, own password, logout
    TIMELINE = "timeline"  # coverage and gaps, no picture
    PLAYBACK = "playback"  # recorded pictures, for a stated reason
    LIVE = "live"  # pictures as they come, for a stated reason
    EXPORT = "export"  # ask for an export and take it
    EXPORT_APPROVE = "export_approve"  # the second person of an export
    EXPORT_VIEW = "export_view"  # the register of exports
    REQUESTS = "requests"  # work on requests of guardians
    REQUESTS_VIEW = "requests_view"
    HOLDS = "holds"  # add and release
    HOLDS_VIEW = "holds_view"
    USERS = "users"
    TOKENS = "tokens"
    AUDIT = "audit"  # read and verify the audit logs
    REPORT = "report"  # evidence report
    SETTINGS = "settings"  # change the settings
    SETTINGS_VIEW = "settings_view"
    SETUP = "setup"  # the first-run wizard: cameras, capacity, platforms
    API = "api"  # the JSON API's documents about this site, without a picture
    METRICS = "metrics"


class Scope(StrEnum):
    """What a token may read."""

    STATUS = "status"
    TIMELINE = "timeline"  # time lines, completeness, KPI
    ALARMS = "alarms"
    HOLDS = "holds"
    AUDIT = "audit"  # heads of the logs
    METRICS = "metrics"


_EVERYBODY = frozenset({Permission.OWN, Permission.API})

PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.INTEGRATOR: _EVERYBODY
    | {
        Permission.TIMELINE,
        Permission.HOLDS_VIEW,
        Permission.USERS,
        Permission.TOKENS,
        Permission.REPORT,
        Permission.SETTINGS,
        Permission.SETTINGS_VIEW,
        Permission.SETUP,
        Permission.METRICS,
    },
    Role.HEAD: _EVERYBODY
    | {
        Permission.TIMELINE,
        Permission.PLAYBACK,
        Permission.EXPORT,
        Permission.EXPORT_APPROVE,
        Permission.EXPORT_VIEW,
        Permission.REQUESTS,
        Permission.REQUESTS_VIEW,
        Permission.HOLDS,
        Permission.HOLDS_VIEW,
        Permission.USERS,
        Permission.TOKENS,
        Permission.AUDIT,
        Permission.REPORT,
        Permission.SETTINGS_VIEW,
        Permission.METRICS,
    },
    Role.GUARD: _EVERYBODY,
    Role.AUDITOR: _EVERYBODY
    | {
        Permission.TIMELINE,
        Permission.EXPORT_VIEW,
        Permission.REQUESTS_VIEW,
        Permission.HOLDS_VIEW,
        Permission.AUDIT,
        Permission.REPORT,
        Permission.SETTINGS_VIEW,
        Permission.METRICS,
    },
}

#: What a head may switch on for one account of a role, beyond what the role gives.
OPTIONAL: dict[Role, frozenset[Permission]] = {
    Role.INTEGRATOR: frozenset({Permission.LIVE}),
    Role.HEAD: frozenset({Permission.LIVE}),
    Role.GUARD: frozenset({Permission.LIVE, Permission.PLAYBACK, Permission.TIMELINE}),
    Role.AUDITOR: frozenset(),
}


def permissions_of(role: Role, extras: frozenset[Permission]) -> frozenset[Permission]:
    """What an account may; extras that its role cannot have do not count."""
    return PERMISSIONS[role] | (extras & OPTIONAL[role])


def may_manage(actor: Role, target: Role, *, has_head: bool) -> bool:
    """Whether ``actor`` may make, change or disable an account of ``target``.

    A head answers for all accounts. An integrator makes those of guards and integrators, and the
    first head's: once there is one, he cannot give himself footage through an account of his own.
    """
    if actor is Role.HEAD:
        return True
    if actor is not Role.INTEGRATOR:
        return False
    return target in (Role.GUARD, Role.INTEGRATOR) or (target is Role.HEAD and not has_head)
