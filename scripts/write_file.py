"""Writes output files whole or not at all, like write_file.ts: beside the old file, then renamed
over it."""

import os
import signal
import stat
import tempfile
import threading
from contextlib import contextmanager

ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
# What a shell adds to the number of the signal that ended a process.
ENDED_BY_SIGNAL = 128


class WriteError(Exception):
    """A file could not be written; what was there before is as it was. The message says why."""


def check_output(output, inputs):
    """Refuses an output that is one of the inputs, by whatever path or link."""
    for file in inputs:
        if os.path.exists(output) and os.path.exists(file) and os.path.samefile(output, file):
            raise WriteError(f"output: expected another file than the input {file}, got {output}")


@contextmanager
def ending_raises():
    """Lets signals that end a process raise SystemExit, so that what is half-written is removed."""

    def end(number, _frame):
        raise SystemExit(ENDED_BY_SIGNAL + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, end) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def new_file_mode():
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def replace(path, chunks):
    old = os.stat(path) if os.path.exists(path) else None
    if old is None and os.path.islink(path):
        raise OSError("it is a symbolic link to a file that is not there")
    if old is not None:
        with open(path, "r+b" if stat.S_ISREG(old.st_mode) else "wb") as file:
            # A device or a pipe keeps nothing that could be lost, and must not be renamed over.
            if not stat.S_ISREG(old.st_mode):
                file.writelines(chunks)
                return
    # A symbolic link stays one, and what it points to is replaced.
    target = os.path.realpath(path)
    folder, name = os.path.split(target)
    part = None
    try:
        with ending_raises():
            handle, part = tempfile.mkstemp(prefix=f".{name}.", suffix=".part", dir=folder)
            with open(handle, "wb") as file:
                file.writelines(chunks)
                file.flush()
                os.fsync(file.fileno())
            if old is not None and hasattr(os, "chown"):
                try:
                    os.chown(part, old.st_uid, old.st_gid)
                except PermissionError:
                    # Only the superuser gives files away; the new file is the process' own.
                    pass
            os.chmod(part, new_file_mode() if old is None else stat.S_IMODE(old.st_mode))
            os.replace(part, target)
            part = None
    finally:
        if part is not None:
            os.remove(part)


def write_file(path, chunks):
    """Writes bytes, given in pieces, whole, or leaves what was there. Raises WriteError.

    Mode and symbolic links of an old file are kept; other hard links to it keep the old contents.
    Devices and pipes are written as they are. Only SIGKILL leaves the unfinished .NAME.*.part.
    """
    try:
        replace(path, chunks)
    except OSError as error:
        raise WriteError(f"{path}: could not be written: {error.strerror or error}") from error
