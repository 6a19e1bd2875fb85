"""A small JSON file of the console: read whole, written whole or not at all. Shell.

Two processes may change one (the console, and ``xueliang user``): whoever changes it holds a lock
beside it and reads it anew first.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

from config.errors import Retry, XueliangError
from retention.whole_file import replace_file

T = TypeVar("T")

FOLDER = "console"
FILE_BYTES_MAX = 4 * 2**20


class ConsoleFileUnusable(XueliangError):
    """A file of the console cannot be read or written."""

    code = "console_file_unusable"


class RecordsFile:
    """``<state_dir>/console/<name>``, mode 0600, of the folder's owner.

    Args:
        empty: what stands for a file that is not there yet.
    """

    def __init__(self, state_dir: Path, name: str, empty: Callable[[], Any]) -> None:
        self.path = console_folder(state_dir) / name
        self._empty = empty
        self._stamp: tuple[int, int, int] | None = None
        self._content: Any = None

    def read(self) -> Any:
        """The content; read again only when the file is another one. Not to be changed.

        Raises:
            ConsoleFileUnusable: unreadable or damaged.
        """
        try:
            found = os.stat(self.path)
            stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
            if stamp != self._stamp:
                self._content, self._stamp = json.loads(self.path.read_bytes()), stamp
        except FileNotFoundError:
            self._content, self._stamp = self._empty(), None
        except OSError as error:
            raise self._unusable(error) from error
        except ValueError as error:
            raise self._damaged() from error
        return self._content

    @contextlib.contextmanager
    def changing(self) -> Iterator[Any]:
        """The content as it stands, to be changed; written when the block ends well.

        Raises:
            ConsoleFileUnusable: unreadable, damaged, or not writable: then nothing has changed.
        """
        try:
            lock = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise self._unusable(error) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._stamp = None
            content = json.loads(json.dumps(self.read()))
            yield content
            try:
                write_private(self.path, json.dumps(content, ensure_ascii=False, indent=1).encode())
            except OSError as error:
                raise self._unusable(error) from error
        finally:
            self._stamp = None
            os.close(lock)

    def _unusable(self, error: OSError) -> ConsoleFileUnusable:
        return ConsoleFileUnusable(
            f"{self.path} cannot be used: {error.strerror or error}",
            hint="run this as root or as the console's user; is the disk full or read-only?",
            retry=Retry.LATER,
        )

    def _damaged(self) -> ConsoleFileUnusable:
        return ConsoleFileUnusable(
            f"{self.path} is damaged", hint="put it back from a copy, or move it away"
        )


class Register(RecordsFile, Generic[T]):
    """Entries by their number, each changed by steps.

    Args:
        from_json: raises KeyError, TypeError, ValueError for what is no entry.
        absent: the error for a number that no entry has.
    """

    def __init__(
        self,
        state_dir: Path,
        name: str,
        from_json: Callable[[dict[str, Any]], T],
        to_json: Callable[[T], dict[str, Any]],
        absent: Callable[[str], XueliangError],
    ) -> None:
        super().__init__(state_dir, name, dict)
        self._from_json = from_json
        self._to_json = to_json
        self._absent = absent

    def entries(self) -> list[T]:
        """In the order of the file. Raises :class:`ConsoleFileUnusable`."""
        return [self._entry(one) for one in self.read().values()]

    def find(self, number: str) -> T:
        """Raises :class:`ConsoleFileUnusable`, and what ``absent`` makes."""
        return self._found(self.read(), number)

    def change(self, number: str, step: Callable[[T], T]) -> T:
        """The entry as it stands now, through a step, and kept; nothing changes where it raises."""
        with self.changing() as content:
            made = step(self._found(content, number))
            content[number] = self._to_json(made)
        return made

    def _found(self, content: dict[str, Any], number: str) -> T:
        if number not in content:
            raise self._absent(number)
        return self._entry(content[number])

    def _entry(self, found: dict[str, Any]) -> T:
        try:
            return self._from_json(found)
        except (KeyError, TypeError, ValueError) as error:
            raise self._damaged() from error


def console_folder(state_dir: Path) -> Path:
    """The console's own folder, made (0700) if it is missing.

    Raises:
        ConsoleFileUnusable: it cannot be made.
    """
    folder = state_dir / FOLDER
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise ConsoleFileUnusable(
            f"the folder {folder} cannot be made: {error.strerror}",
            hint="may this user write in the state folder?",
        ) from error
    return folder


def write_private(path: Path, content: bytes) -> None:
    """Durable under its name or not at all; mode 0600, of the folder's owner. Raises OSError."""
    write_whole(path, content, 0o600, os.stat(path.parent))


def write_whole(path: Path, content: bytes, mode: int, like: os.stat_result) -> None:
    """Durable under its name or not at all, of the owner that ``like`` tells, as far as this user
    may give it away. Raises OSError."""

    def give(file: int) -> None:
        with contextlib.suppress(PermissionError):  # it is this user's own from now on
            os.fchown(file, like.st_uid, like.st_gid)

    replace_file(path, content, mode=mode, give=give)
