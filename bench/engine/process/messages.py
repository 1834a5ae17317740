"""Messages between a worker process and its parent, through a pair of sockets.

The parent never waits for one: a worker that is stopped in the middle of an answer, or does not read, must not stop
the run.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Iterator
from multiprocessing.reduction import ForkingPickler
from typing import Any

_LENGTH = struct.Struct(">Q")
_AT_ONCE = 1 << 20


def send(channel: socket.socket, message: Any) -> None:
    """Sends a message, waiting until it is taken; nothing is sent of one that cannot be pickled."""
    channel.sendall(_packed(message))


def receive(channel: socket.socket) -> Any:
    """Waits for a message. Raises EOFError where there will be none."""
    (length,) = _LENGTH.unpack(_exactly(channel, _LENGTH.size))
    return ForkingPickler.loads(_exactly(channel, length))


def post(channel: socket.socket, message: Any, seconds: float) -> None:
    """Sends a message to who reads at once. Raises OSError where it is not taken in so many seconds."""
    rest, until = memoryview(_packed(message)), time.monotonic() + seconds
    while rest:
        if not select.select([], [channel], [], max(0.0, until - time.monotonic()))[1]:
            raise TimeoutError(f"a message was not taken in {seconds:g} s")
        rest = rest[channel.send(rest[:_AT_ONCE]) :]


class Inbox:
    """What has come through a channel that is not to be waited for."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._bytes = bytearray()
        self.closed = False  #: whether nothing more will come

    def messages(self) -> Iterator[Any]:
        """The whole ones that are there. Raises what unpickling raises."""
        while not self.closed:
            try:
                some = self._channel.recv(_AT_ONCE)
            except BlockingIOError:
                break
            except OSError:
                some = b""
            self.closed = not some
            self._bytes += some
        while len(self._bytes) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._bytes)
            end = _LENGTH.size + length
            if len(self._bytes) < end:
                return
            message = bytes(self._bytes[_LENGTH.size : end])
            del self._bytes[:end]
            yield ForkingPickler.loads(message)


def _packed(message: Any) -> bytes:
    content = bytes(ForkingPickler.dumps(message))
    return _LENGTH.pack(len(content)) + content


def _exactly(channel: socket.socket, count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        some = channel.recv(min(_AT_ONCE, count - len(parts)))
        if not some:
            raise EOFError
        parts += some
    return bytes(parts)
