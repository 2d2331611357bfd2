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
from contextlib import suppress

GRACE = 10.0  # seconds that a server has to end by itself
MISSING = 127  # the exit code where the program is not there, as shells have it
KILLED = 128  # to which the number of the signal that ended it is added, likewise
PR_SET_PDEATHSIG = 1


def main(log: str, command: list[str]) -> int:
    """Run the server until it ends or nobody holds us any more; gives its exit code."""
    # Not ours to act on: whoever began us lets go of the pipe when the last answers are written down.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
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
                preexec_fn=_die_with_us,
            )
        except OSError as error:
            file.write(f"{command[0]}: {error.strerror}\n".encode())
            return MISSING
    signal.signal(signal.SIGTERM, lambda *_: _end(server))
    threading.Thread(target=_watch, args=(server,), daemon=True).start()
    code = server.wait()
    _tell(server, signal.SIGKILL)  # what it left of its group
    # A negative code would leave as its lowest byte: 247 for a SIGKILL.
    return code if code >= 0 else KILLED - code


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


def _die_with_us() -> None:
    """Where the keeper itself is killed, the kernel ends the server."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
