"""The working directory of one program: how much it holds, and its removal, whatever a program made of it.

A program can nest folders deeper than any path is long, take away its own rights to them, and link to anything.

Standard library only: the warm process loads this file by itself.
"""

import os

_BLOCK_BYTES = 4096
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def is_within(folder, limit_bytes):
    """Return whether a folder holds at most `limit_bytes`.

    An entry counts as one block at least, so that empty files are not free. A folder that cannot be read, because its
    path is too long or its rights are gone, counts as too much.
    """
    total = 0
    folders = [folder]
    while folders:
        path = folders.pop()
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    total += max(_count_bytes(entry), _BLOCK_BYTES)
                    if total > limit_bytes:
                        return False
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
        except FileNotFoundError:
            continue
        except OSError:
            return False
    return True


def _count_bytes(entry):
    try:
        return entry.stat(follow_symlinks=False).st_blocks * 512
    except FileNotFoundError:
        return 0


def remove(folder):
    """Remove a folder whose program has ended. Inner folders are moved to its top first, so depth does not matter."""
    try:
        top = os.open(folder, _OPEN)
    except FileNotFoundError:
        return
    try:
        prefix, count = os.urandom(8).hex(), 0
        while names := os.listdir(top):
            for name in names:
                if _unlink(name, top):
                    continue
                inner = os.open(name, _OPEN, dir_fd=top)
                try:
                    for inner_name in os.listdir(inner):
                        if not _unlink(inner_name, inner):
                            count += 1
                            os.rename(inner_name, f"{prefix}-{count}", src_dir_fd=inner, dst_dir_fd=top)
                finally:
                    os.close(inner)
                os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)
    os.rmdir(folder)


def _unlink(name, folder):
    """Remove a file or link; False for a folder, which is then one that can be read and emptied."""
    try:
        os.unlink(name, dir_fd=folder)
    except IsADirectoryError:
        os.chmod(name, 0o700, dir_fd=folder)
        return False
    return True
