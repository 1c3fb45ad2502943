"""Child processes: each forked with its libraries loaded, in a session of its own, and never outliving its parent.

A terminal sends Ctrl-C to every process of its foreground group, and to Dramatiq a second signal means 'now': so each
child leaves that group, and is told once by its parent. It is forked rather than started anew because a worker that has
to import everything first takes its first job a second later.
"""

import ctypes
import gc
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

import structlog
from setproctitle import setproctitle

from persistence.environment import SettingsError
from persistence.errors import DatabaseUnavailableError, GreenroomError

DONE, FAILED, HOPELESS = 0, 1, 2  # the last is also Dramatiq's code for a module that cannot be imported

_SET_PARENT_DEATH_SIGNAL, _SET_CHILD_SUBREAPER = 1, 36
_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)

log = structlog.get_logger(__name__)


def _linux() -> ctypes.CDLL | None:
    """Load what asks the kernel for favours that only Linux does."""
    return ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


_LIBC = _linux()


def adopt_orphans() -> None:
    """Become the parent of what this process's children leave behind, so that its end can be waited for."""
    if _LIBC is not None:
        _LIBC.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Child:
    """One child process.

    :param title: what the system's lists of processes show.
    :param work: what it does; its result is the exit code, None is 0.
    """

    def __init__(self, title: str, work: Callable[[], int | None]) -> None:
        self.title = title
        self.pid = 0
        self.exit_code: int | None = None
        self._work = work

    def start(self) -> None:
        """Fork."""
        sys.stdout.flush()
        sys.stderr.flush()
        gc.freeze()  # what is there stays shared: the collector would write into each object's page
        parent = os.getpid()
        # Until the child has its own handlers a signal must wait: ours, which it inherits, would swallow it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)
        try:
            self.pid = os.fork()
            if self.pid == 0:
                self._run(parent, before)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def note_exit(self, status: int) -> None:
        """Take the status that waiting for the child returned, and end what it left behind in its session.

        :param status: as `os.waitpid` gives it.
        """
        self.exit_code = os.waitstatus_to_exitcode(status)
        self.kill()

    def terminate(self) -> None:
        """Ask the child to stop, once: it passes the word on to its own children itself."""
        if self.exit_code is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End the child's whole session at once."""
        with suppress(ProcessLookupError, PermissionError):  # the latter is how macOS says that only the dead are left
            os.killpg(self.pid, signal.SIGKILL)

    def _run(self, parent: int, mask: set[signal.Signals | int]) -> NoReturn:
        code = FAILED
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            for number in _PASSED_ON:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            if _LIBC is not None:
                _LIBC.prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM, 0, 0, 0)
            if os.getppid() != parent:  # it died before the kernel was asked to say so
                os._exit(FAILED)
            setproctitle(self.title)
            code = self._work() or DONE
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else FAILED if stop.code else DONE
            if isinstance(stop.code, str):
                sys.stderr.write(f"{stop.code}\n")
        except (SettingsError, ImportError) as error:
            code = HOPELESS
            sys.stderr.write(f"greenroom: {error}\n")
        except GreenroomError as error:
            code = FAILED if isinstance(error, DatabaseUnavailableError) else HOPELESS
            sys.stderr.write(f"greenroom: {error}\n")
        except BaseException:
            log.critical("process.failed", process=self.title, exc_info=True)
        finally:
            with suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)
