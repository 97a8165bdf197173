"""What the Linux kernel lets a process take away from itself: files by Landlock, sockets by seccomp.

Needs no rights and no program; what is taken away stays so, also for what the process starts. The
standard library has neither, hence ``ctypes``. Nothing here knows what is run afterwards.

Source: linux/landlock.h, linux/seccomp.h and linux/filter.h of Linux 6.12; landlock(7), seccomp(2).
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REFER, _TRUNCATE, _IOCTL = 1 << 13, 1 << 14, 1 << 15

_READ: Final = _EXECUTE | _READ_FILE | _READ_DIR
_ON_FILES: Final = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL
"""What may be said of a file; the rest only has a meaning for folders."""

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_NO_NEW_PRIVILEGES, _SET_SECCOMP, _SECCOMP_FILTER = 38, 22, 2
_SET_SUBREAPER, _SET_DEATH_SIGNAL = 36, 1

_DROP_CAPABILITY, _AMBIENT, _CLEAR_ALL = 24, 47, 4
_CAPABILITIES: Final = 64
_ON_OWNERS: Final = frozenset({0, 1, 3, 4})
"""CHOWN, DAC_OVERRIDE, FOWNER, FSETID: a workspace may belong to somebody else than root."""

_MACHINES: Final = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198), "riscv64": (0xC00000F3, 198)}
"""The machine's name for the kernel's audit, and the number of ``socket(2)`` on it."""
_IO_URING_SETUP: Final = 425
"""Opens sockets past a filter of ``socket(2)``."""
_X32_BIT: Final = 0x40000000


class NotOffered(Exception):
    """The kernel, or the machine, does not offer this."""


def landlock_version() -> int:
    """The version of Landlock's interface; 0 where there is none."""
    if sys.platform != "linux":
        return 0
    version: int = _libc().syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    return max(version, 0)


def has_socket_filter() -> bool:
    """Whether sockets can be taken away on this machine."""
    return sys.platform == "linux" and platform.machine() in _MACHINES and sys.maxsize > 2**32


def restrict_files(*, read: Iterable[str], write: Iterable[str]) -> None:
    """From now on only these folders and files can be read and executed, and only those in ``write`` changed.

    Names that do not exist are left out. Processes outside can no longer be looked into (not their
    memory or environment) nor, from Linux 6.12 on, be sent signals. Raises ``NotOffered``.
    """
    version = landlock_version()
    if not version:
        raise NotOffered("the kernel has no Landlock (Linux 5.13 and later have it, where it is switched on)")
    known = (1 << 13) - 1 | (_REFER if version > 1 else 0) | (_TRUNCATE if version > 2 else 0)
    known |= _IOCTL if version > 4 else 0
    ruleset = _ruleset(known, version)
    try:
        for path in read:
            _allow(ruleset, path, _READ & known)
        for path in write:
            _allow(ruleset, path, known & ~_IOCTL)
        _no_new_privileges()
        _check(_libc().syscall(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)


def forbid_sockets() -> None:
    """From now on no socket of any kind can be opened: no network, loopback included, no daemon of the system.

    Pairs of sockets between a process and its children still can. Raises ``NotOffered``.
    """
    if not has_socket_filter():
        raise NotOffered(f"no socket filter for {platform.system()} on {platform.machine()}")
    machine, socket = _MACHINES[platform.machine()]
    program = _filter(machine, (socket, _IO_URING_SETUP))
    memory = ctypes.create_string_buffer(program, len(program))
    pointer = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(memory))
    _no_new_privileges()
    try:
        _prctl(_SET_SECCOMP, _SECCOMP_FILTER, pointer)
    except OSError as error:
        raise NotOffered(f"the kernel refuses a filter: {error.strerror}") from None


def drop_capabilities() -> None:
    """For root: the next program has no other rights than to change files of any owner. For others: nothing changes.

    Root may otherwise read the memory and the environment of any process, past Landlock (since Linux 6.16).
    """
    for capability in range(_CAPABILITIES):
        if capability not in _ON_OWNERS:
            with suppress(OSError):
                _prctl(_DROP_CAPABILITY, capability)
    with suppress(OSError):
        _prctl(_AMBIENT, _CLEAR_ALL)


def adopt_orphans() -> None:
    """Processes below this one whose parent ends become children of this one. Nothing where that is not offered."""
    if sys.platform == "linux":
        _prctl(_SET_SUBREAPER, 1)


def die_with_parent(signal: int) -> None:
    """Get this signal when the parent ends. Nothing where that is not offered."""
    if sys.platform == "linux":
        _prctl(_SET_DEATH_SIGNAL, signal)


def _ruleset(known: int, version: int) -> int:
    # Later versions know later fields; the size says which are meant.
    fields = [known] + ([0] if version > 3 else []) + ([0b11] if version > 5 else [])
    attributes = struct.pack(f"{len(fields)}Q", *fields)
    return _check(_libc().syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0))


def _allow(ruleset: int, path: str, access: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not os.path.isdir(f"/proc/self/fd/{descriptor}"):
            access &= _ON_FILES
        rule = struct.pack("=Qi", access, descriptor)
        _check(_libc().syscall(_ADD_RULE, ruleset, 1, rule, 0))
    finally:
        os.close(descriptor)


def _filter(machine: int, forbidden: tuple[int, ...]) -> bytes:
    """A program for the kernel: refuse these calls, and every call of another machine's numbering."""
    load, equal, above, answer = 0x20, 0x15, 0x35, 0x06
    refuse, allow = 0x00050000 | errno.EACCES, 0x7FFF0000
    count = len(forbidden)
    lines = [
        (load, 0, 0, 4),
        (equal, 0, count + 3, machine),
        (load, 0, 0, 0),
        (above, count + 1, 0, _X32_BIT),
        *((equal, count - number, 0, call) for number, call in enumerate(forbidden)),
        (answer, 0, 0, allow),
        (answer, 0, 0, refuse),
    ]
    return b"".join(struct.pack("HBBI", *line) for line in lines)


def _no_new_privileges() -> None:
    _prctl(_NO_NEW_PRIVILEGES, 1)


def _prctl(option: int, value: int, pointer: bytes | None = None) -> None:
    # All of them as wide as a register: the kernel refuses what is left over in one.
    zero = ctypes.c_ulong(0)
    _check(_libc().prctl(option, ctypes.c_ulong(value), pointer, zero, zero))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
