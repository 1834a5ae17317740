"""A worker process: takes tasks and carries them out, until its parent ends it.

What is printed in it, by Python or by C, goes into a pipe to the parent, so that a terminal shows the run alone.
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import importlib
import io
import os
import signal
import socket
import sys
import sysconfig
import threading
import time
import traceback
from dataclasses import replace
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any

from bench.engine.process.board import Board
from bench.engine.process.death import Failure, of_error, place_of
from bench.engine.process.memory import keep_freed_memory
from bench.engine.process.messages import receive, send

WATCH_SECONDS = 1.0
_LINGERS = 1  # looks without progress since the last, and its place is told
_PR_SET_PDEATHSIG = 1
#: begun; a part of its value, ahead of the end; ended with a value, and this process can go on; ended with a value, and
#: it should not; ended with a failure
STARTED, PART, ENDED, LEFT_OVER, RAISED = "started", "a part", "ended", "left over", "raised"
_LIBRARIES = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "purelib", "platlib"))

#: a function as "module:name", and its arguments
Call = tuple[str, tuple[Any, ...]]
_channel: socket.socket | None = None


def serve(channel: socket.socket, board: Board, printed: Connection | None, parent: int, first: Call | None) -> None:
    """Carries out `first` before its first task; where that fails, so does the task."""
    global _channel
    _channel = channel
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if printed is not None:
        _print_into(printed)
    keep_freed_memory()
    _report_to(board)
    _watch(parent, board)
    while True:
        try:
            function, arguments = receive(channel)
        except EOFError:
            os._exit(0)  # not by an end that would wait for threads that were left behind
        try:
            if first:
                resolve(first[0])(*first[1])
                first = None
            before = set(threading.enumerate())
            board.begin()
            send(channel, (STARTED, None))
            value = resolve(function)(*arguments)
            send(channel, (LEFT_OVER if _left_over(before) else ENDED, value))
        except Exception as error:
            failure = _told(error)
            if first:  # no fault of the task's
                failure = replace(failure, outside=True)
            send(channel, (RAISED, failure))
        finally:
            ctypes.CDLL(None).fflush(None)


def partly(value: Any) -> bool:
    """In a task: hands over a part of what it gives, which is kept whatever becomes of the rest. Whether it was: not
    where no worker process carries the task out."""
    if _channel is None:
        return False
    send(_channel, (PART, value))
    return True


def resolve(function: str) -> Any:
    """What "module:name" names. While it is imported nothing is collected: torch and what else there is make many
    objects and hardly any garbage, and looking for it was a seventh of a worker's start."""
    module, _, name = function.partition(":")
    collects = gc.isenabled()
    gc.disable()
    try:
        return getattr(importlib.import_module(module), name)
    finally:
        if collects:
            gc.enable()


def _told(error: Exception) -> Failure:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    failure = of_error(error, place_of(frame.filename, frame.lineno))
    if failure.status == "oom":
        traceback.clear_frames(error.__traceback__)  # what filled the memory may still be held by them
    elif failure.said is None:  # a mistake in some code: all of it is for who mends it
        traceback.print_exception(error)
    return failure


def _left_over(before: set[threading.Thread]) -> bool:
    """Whether threads go on that were not there before; those of C, which only look like threads here, do not count."""
    dummy = threading._DummyThread
    return any(not isinstance(thread, dummy) for thread in set(threading.enumerate()) - before)


def _print_into(pipe: Connection) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    for descriptor in (1, 2):
        os.dup2(pipe.fileno(), descriptor)
    pipe.close()
    sys.stdout, sys.stderr = (  # what was printed last before a crash is what one wants to know: nothing is held back
        io.TextIOWrapper(io.FileIO(number, "wb", closefd=False), "utf-8", "backslashreplace", write_through=True)
        for number in (1, 2)
    )
    faulthandler.enable()  # says where a crash was


def _report_to(board: Board) -> None:
    from vae_core.numerics import progress

    progress.listen(board.made)


def _watch(parent: int, board: Board) -> None:
    """Ends this process when its parent has ended, however it ended; and tells where it stands when it stands still."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    main = threading.main_thread().ident
    from vae_core.numerics import progress

    def watch() -> None:
        done, stood = board.done, 0
        while os.getppid() == parent:
            time.sleep(WATCH_SECONDS)
            board.waits(progress.is_waiting())
            done, stood = (done, stood + 1) if board.done == done else (board.done, 0)
            board.stands_at(_place(sys._current_frames().get(main or 0)) if stood >= _LINGERS else "")
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _place(frame: FrameType | None) -> str:
    """The innermost line that is not a library's; the innermost of all where there is none before this file's own."""
    inner = frame
    while frame and (frame.f_code.co_filename.startswith((*_LIBRARIES, "<"))):
        frame = frame.f_back
    frame = inner if frame is None or frame.f_code.co_filename == __file__ else frame
    return place_of(frame.f_code.co_filename, frame.f_lineno) if frame else ""
