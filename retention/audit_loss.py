"""A state folder that was lost, and its audit logs with it, as the commands' log tells it. Core.

The journal on the volumes outlives the system disk and anchors logs that went with it. ``xueliang
restore`` puts on record, before it writes anything, whether the state folder is another than the
backup's (``state``: ``new``; else ``kept``) and where the logs ended that stand in it already
(``logs``: ``service:seq:hash``, apart by spaces).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from retention.audit_chain import Action, Anchor, Head, Loss, Outcome, Record

NEW, KEPT = "new", "kept"
#: Whose log holds restores.
COMMANDS = "cli"

_HEAD = re.compile(r"([a-z][a-z0-9-]*):([0-9]{1,15}):([0-9a-f]{64})", re.ASCII)


def restore_detail(heads: Mapping[str, Head], *, is_new: bool) -> dict[str, str]:
    """What is put on record as a restore begins.

    Args:
        heads: of all logs; the commands' own goes on with this very record.
        is_new: whether the state folder is not the one that the backup was made of.
    """
    logs = [f"{name}:{head.seq}:{head.hash}" for name, head in heads.items() if name != COMMANDS]
    return {"state": NEW if is_new else KEPT, "logs": " ".join(logs)}


def tells_of_loss(record: Record) -> bool:
    """Whether a restore begins here that found a new state folder; the record is kept for ever."""
    return (
        record.action == Action.RESTORE
        and record.outcome == Outcome.BEGUN
        and record.detail.get("state") == NEW
    )


def announced(records: Iterable[Record], anchors: Sequence[Anchor]) -> Loss | None:
    """The loss that the commands' log tells of; None if it tells of none.

    It is the first restore that found a new state folder: with a later loss this log would have
    gone, too. It counts once a restore was carried out: one that the power cut off is gone on with
    by another, which finds the key there already.

    Args:
        records: the commands' log, in order, without damaged lines.
        anchors: the commands' own.
    """
    entries = {(one.seq, one.hash): one.entry for one in reversed(anchors)}
    begun: Record | None = None
    done: Record | None = None
    until_entry: int | None = None
    for record in records:
        if begun is None:
            begun = record if tells_of_loss(record) else None
        elif done is None and (record.action, record.outcome) == (Action.RESTORE, Outcome.DONE):
            done = record
        if begun is not None and until_entry is None:
            until_entry = entries.get((record.seq, record.hash))
        if done is not None and until_entry is not None:
            break
    if begun is None or done is None:
        return None
    logs = _HEAD.findall(str(begun.detail.get("logs", "")))
    heads = {name: Head(seq=int(seq), hash=digest) for name, seq, digest in logs}
    return Loss(at_us=done.at_us, until_entry=until_entry, heads=heads)
