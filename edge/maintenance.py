"""Commands that work on a store that nobody records to. Shell."""

from __future__ import annotations

from config.schema import Settings
from edge.auditing import on_record
from edge.lock import state_lock
from edge.status import index_path
from retention.audit_chain import Action
from retention.read import is_edge_running
from retention.reindex import Rebuilt, reindex


def reindex_store(settings: Settings, *, dry_run: bool) -> Rebuilt:
    """Rebuild the index from the volumes alone; with ``dry_run`` only compare.

    Raises:
        StateFolderInUse: ``edge`` runs, and this is no dry run.
        VolumeUnavailable: nothing was changed.
        AuditUnavailable: it could not be put on record, and nothing was changed.
    """
    state_dir = settings.storage.state_dir
    if dry_run:
        is_live = is_edge_running(state_dir)
        return reindex(
            index_path(settings), settings.storage.volumes, dry_run=True, is_live=is_live
        )
    with state_lock(state_dir), on_record(settings, Action.REINDEX, "index.db") as deed:
        rebuilt = reindex(index_path(settings), settings.storage.volumes, dry_run=False)
        deed.told["segments"] = rebuilt.segments
        deed.told["differences"] = len(rebuilt.differences)
        deed.told["unreadable"] = len(rebuilt.unreadable)
        return rebuilt
