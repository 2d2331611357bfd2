"""Holds a server: a process of its own that ends the server when its own standard input ends.

    python keeper.py LOG COMMAND...

Whoever began it holds the other end of that pipe, and lets go of it however it ends: by itself, by Ctrl-C or by a
SIGKILL. Only Python's standard library is used, so that it starts at once.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

GRACE = 10.0  # seconds that a server has to end by itself
MISSING = 127  # the exit code where the program is not there, as shells have it
KILLED = 128  # to which the number of the signal that ended it is added, likewise
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # prctl(2)


def main(log: str, command: list[str]) -> int:
    """Run the server until it ends or nobody holds us any more; gives its exit code."""
    # Not ours to act on: whoever began us lets go of the pipe when the last answers are written down.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What a server leaves in a session of its own (Ray under vLLM) becomes our child, and not that of the system.
    _ask_the_kernel(PR_SET_CHILD_SUBREAPER, 1)
    with open(log, "ab") as file:
        try:
            server = subprocess.Popen(
                # A group of its own: vLLM and SGLang begin workers, which hold the GPU's memory when only their parent
                # is ended.
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                process_group=0,
                # Where the keeper itself is killed, the kernel ends the server.
                preexec_fn=lambda: _ask_the_kernel(PR_SET_PDEATHSIG, signal.SIGKILL),
            )
        except OSError as error:
            file.write(f"{command[0]}: {error.strerror}\n".encode())
            return MISSING
    signal.signal(signal.SIGTERM, lambda *_: _end(server))
    threading.Thread(target=_watch, args=(server,), daemon=True).start()
    code = _wait(server)
    _tell(server, signal.SIGKILL)  # what it left of its group
    while left := list(_children()):
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        os.wait()  # what these leave behind becomes our child only then
    # A negative code would leave as its lowest byte: 247 for a SIGKILL.
    return code if code >= 0 else KILLED - code


def _wait(server: subprocess.Popen[bytes]) -> int:
    """Its exit code, once it ended; what it leaves behind before is waited for too, or would stay as a zombie."""
    while True:
        pid, status = os.wait()
        if pid == server.pid:
            server.returncode = os.waitstatus_to_exitcode(status)
            return server.returncode


def _children() -> Iterator[int]:
    """Our children, those that ended and were not waited for among them; none where there is no /proc."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended meanwhile
            # After the name, in brackets, which may hold anything: the state, and the parent.
            if int(stat.read_text(errors="replace").rpartition(")")[2].split()[1]) == os.getpid():
                yield int(stat.parent.name)


def _watch(server: subprocess.Popen[bytes]) -> None:
    # Ends when the other end is closed, which the system does for a process however it ends. Not by sys.stdin, whose
    # lock this thread would hold when Python ends, and that is fatal.
    while os.read(0, 4096):
        pass
    _end(server)


def _end(server: subprocess.Popen[bytes]) -> None:
    _tell(server, signal.SIGTERM)
    timer = threading.Timer(GRACE, _tell, (server, signal.SIGKILL))
    # Or the keeper would wait for it after a server that ended at once.
    timer.daemon = True
    timer.start()


def _tell(server: subprocess.Popen[bytes], what: signal.Signals) -> None:
    """Send a signal to the server and all that it began."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(server.pid, what)


def _ask_the_kernel(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
