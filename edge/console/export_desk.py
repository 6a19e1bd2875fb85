"""The export desk: its register (``exports.json``), and ``edge`` that makes exports. Shell.

Each step is on record before it is done. The desk asks ``edge`` to make what was approved (it alone
may sign), asks how far that is, and has finished copies deleted when their days are over.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from config.schema import Settings
from edge import control
from edge.console import export_orders
from edge.console.export_orders import Order, OrderRefused, OrderState, from_json, to_json
from edge.console.records_file import ConsoleFileUnusable, Register
from edge.exporting import export_dir
from retention.audit import AuditLog, AuditUnavailable
from retention.audit_chain import Action, Outcome, Value
from retention.clock import Clock
from retention.export_verifier import MANIFEST, fingerprint_of

log = logging.getLogger(__name__)

FILE_NAME = "exports.json"
#: Closed orders stay in the register for so long (PIPL art. 56), in the audit log as well.
KEPT_US = 1096 * export_orders.DAY_US
LOOK_S = 2.0
START_TIMEOUT_S = 10.0
REMOVE_TIMEOUT_S = 60.0
SERVICE = "service:console"


def _absent(order_id: str) -> OrderRefused:
    return OrderRefused(f"there is no export {order_id[:40]!r}", hint="load the page again")


class ExportDesk:
    """Every order; methods that change one run in threads.

    Args:
        settings: those in force now.
    """

    def __init__(
        self, state_dir: Path, settings: Callable[[], Settings], audit: AuditLog, clock: Clock
    ) -> None:
        self._file = Register(state_dir, FILE_NAME, from_json, to_json, _absent)
        self._state_dir = state_dir
        self._settings = settings
        self._audit = audit
        self._clock = clock

    def orders(self) -> list[Order]:
        """The newest first. Raises :class:`ConsoleFileUnusable`."""
        return sorted(self._file.entries(), key=lambda order: order.asked_us, reverse=True)

    def find(self, order_id: str) -> Order:
        """Raises :class:`OrderRefused`: there is none."""
        return self._file.find(order_id)

    def folder(self, order: Order) -> Path:
        return export_dir(self._settings()) / order.id

    # Steps of persons ------------------------------------------------------------------------

    def ask(self, camera: str, from_us: int, to_us: int, reason: str, by: str) -> Order:
        order = export_orders.asked(
            secrets.token_hex(6),
            camera,
            from_us,
            to_us,
            reason,
            by,
            self._clock.utc_us(),
            needs_second=self._settings().console.export_approval,
            open_orders=sum(order.is_open for order in self.orders()),
        )
        self._record(order, by, "asked", needs_second=order.state is OrderState.ASKED)
        self._put(order)
        return order

    def approve(self, order_id: str, by: str) -> Order:
        def step(order: Order) -> Order:
            found = export_orders.approved(order, by, self._clock.utc_us())
            self._record(found, by, "approved")
            return found

        return self._file.change(order_id, step)

    def refuse(self, order_id: str, by: str, why: str) -> Order:
        def step(order: Order) -> Order:
            found = export_orders.refused(order, by, why, self._clock.utc_us())
            self._record(found, by, "refused", refusal=found.refusal)
            return found

        return self._file.change(order_id, step)

    def again(self, order_id: str, by: str) -> Order:
        def step(order: Order) -> Order:
            found = export_orders.again(order)
            self._record(found, by, "again")
            return found

        return self._file.change(order_id, step)

    def take(self, order_id: str, by: str) -> Order:
        """Before its first byte goes out."""

        def step(order: Order) -> Order:
            found = export_orders.taken(order, by, self._clock.utc_us())
            self._record(found, by, "taken", manifest_sha256=order.manifest_sha256)
            return found

        return self._file.change(order_id, step)

    def remove(self, order_id: str, by: str) -> Order:
        """The copy; ``edge`` deletes it.

        Raises:
            ControlUnavailable, ControlRefused: it is still there.
        """
        order_us = self._clock.utc_us()
        order = export_orders.removed(self.find(order_id), by, order_us)
        self._record(order, by, "removed", size_bytes=order.size_bytes)
        control.ask(self._state_dir, "export_remove", timeout_s=REMOVE_TIMEOUT_S, id=order.id)
        return self._file.change(order.id, lambda found: export_orders.removed(found, by, order_us))

    def _record(self, order: Order, by: str, step: str, **detail: Value) -> None:
        """Raises :class:`AuditUnavailable`: the step is not to be done."""
        self._audit.record(
            Action.EXPORT_DESK,
            subject=f"export:{order.id}",
            actor=by if by == SERVICE else f"person:{by}",
            outcome=Outcome.DONE,
            step=step,
            camera=order.camera,
            from_us=order.from_us,
            to_us=order.to_us,
            reason=order.reason,
            asked_by=order.asked_by,
            **detail,
        ).result(START_TIMEOUT_S)

    def _put(self, order: Order) -> None:
        with self._file.changing() as content:
            content[order.id] = to_json(order)

    # What goes on by itself ------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled: starts, asks, and cleans up."""
        while True:
            try:
                await asyncio.to_thread(self.look)
            except (ConsoleFileUnusable, AuditUnavailable) as error:
                log.error("export_desk_stands_still", extra={"error": error.sentence()})
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """One round over all orders."""
        now_us, days = self._clock.utc_us(), self._settings().console.export_days
        for order in self.orders():
            try:
                if order.state is OrderState.APPROVED:
                    self._start(order)
                elif order.state is OrderState.RUNNING:
                    self._ask_how_far(order)
                elif order.is_due(now_us, days):
                    self.remove(order.id, SERVICE)
                    log.info("export_copy_deleted", extra={"export": order.id})
                elif not order.is_open and now_us - order.asked_us > KEPT_US:
                    self._forget(order)
            except (control.ControlUnavailable, control.ControlRefused) as error:
                log.warning("export_waits", extra={"export": order.id, "error": error.sentence()})

    def _start(self, order: Order) -> None:
        control.ask(
            self._state_dir,
            "export_start",
            timeout_s=START_TIMEOUT_S,
            id=order.id,
            camera=order.camera,
            from_us=order.from_us,
            to_us=order.to_us,
            reason=order.reason,
            actor=f"person:{order.asked_by}",
            approved_by=f"person:{order.decided_by}" if order.decided_by else "",
        )
        self._file.change(order.id, export_orders.running)

    def _ask_how_far(self, order: Order) -> None:
        told: dict[str, Any] = control.ask(self._state_dir, "export_state", id=order.id)
        now_us = self._clock.utc_us()

        def step(found: Order) -> Order:
            if found.state is not OrderState.RUNNING:
                return found
            if told["state"] == "done":
                return self._finished(found, now_us)
            if told["state"] in ("failed", "unknown"):
                why = told.get("error") or "edge was started anew meanwhile"
                return replace(found, state=OrderState.FAILED, error=why, ended_us=now_us)
            return replace(found, written_bytes=told["written_bytes"], of_bytes=told["of_bytes"])

        self._file.change(order.id, step)

    def _finished(self, order: Order, now_us: int) -> Order:
        """With what its manifest tells."""
        folder = self.folder(order)
        try:
            content = (folder / MANIFEST).read_bytes()
            manifest = json.loads(content)
            return replace(
                order,
                state=OrderState.DONE,
                ended_us=now_us,
                files=len(manifest["files"]),
                size_bytes=sum(path.stat().st_size for path in folder.iterdir()),
                manifest_sha256=hashlib.sha256(content).hexdigest(),
                fingerprint=fingerprint_of(bytes.fromhex(manifest["key"])),
                gaps=len(manifest["gaps"]),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            why = f"its manifest cannot be read: {error}"
            return replace(order, state=OrderState.FAILED, error=why, ended_us=now_us)

    def _forget(self, order: Order) -> None:
        with self._file.changing() as content:
            content.pop(order.id, None)
