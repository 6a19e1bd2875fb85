"""Commands that work on a store that nobody records to. Shell."""

from __future__ import annotations

from contextlib import nullcontext

from config.schema import Settings
from edge.lock import state_lock
from edge.status import index_path
from retention.read import is_edge_running
from retention.reindex import Rebuilt, reindex


def reindex_store(settings: Settings, *, dry_run: bool) -> Rebuilt:
    """Rebuild the index from the volumes alone; with ``dry_run`` only compare.

    Raises:
        StateFolderInUse: ``edge`` runs, and this is no dry run.
        VolumeUnavailable: nothing was changed.
    """
    state_dir = settings.storage.state_dir
    with nullcontext() if dry_run else state_lock(state_dir):
        return reindex(
            index_path(settings),
            settings.storage.volumes,
            dry_run=dry_run,
            is_live=dry_run and is_edge_running(state_dir),
        )
