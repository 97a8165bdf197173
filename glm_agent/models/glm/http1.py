"""HTTP/1.1 without sockets: the head of a request as bytes, and bytes -> responses.

``httptools`` reads (llhttp, the parser of Node.js): a tenth of the CPU of a parser in Python. What it leaves to its
caller is here: when a body ends with the connection, and how much of what is no body a server may send.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import httptools
import httpx2

NOISE_LIMIT = 102_400
"""Bytes of a head, or between two pieces of a body; more is no honest server."""

_ILLEGAL = re.compile(rb"[\x00\r\n]")

Headers = list[tuple[bytes, bytes]]


def request_head(method: str, url: httpx2.URL, headers: Iterable[tuple[bytes, bytes]], *, size: int) -> bytes:
    """What comes before a body of ``size`` bytes; ``LocalProtocolError`` where a header would break the head."""
    lines = [b"%b %b HTTP/1.1\r\nHost: %b\r\n" % (method.encode(), url.raw_path, url.netloc)]
    for name, value in headers:
        if _ILLEGAL.search(value):
            raise httpx2.LocalProtocolError(f"the header {name.decode('latin-1')!r} holds a line break")
        lines.append(b"%b: %b\r\n" % (name, value))
    lines.append(b"Content-Length: %d\r\n\r\n" % size)
    return b"".join(lines)


class ResponseReader:
    """The responses that come over one connection: ``start``, ``feed`` until ``is_complete``, ``start`` again.

    ``feed`` raises ``RemoteProtocolError`` where the bytes are no HTTP, or end too early.
    """

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        # Old servers end lines as they like and pad the sizes of chunks; neither makes anything ambiguous here.
        self._parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True)
        self.start()

    def start(self) -> None:
        """Wait for the next response."""
        self.status_code = 0
        """0 until its head is there."""
        self.headers: Headers = []
        self.is_complete = False
        self.is_last = False
        """Whether nothing can follow it on this connection."""
        self._has_end = False
        self._pieces: list[bytes] = []
        self._noise = 0

    def feed(self, data: bytes) -> None:
        """Bytes as they came; none: the connection has ended."""
        if not data:
            self._end()
            return
        self._noise += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.is_last = True
            if not self.is_complete:  # else it is noise after the end
                raise httpx2.RemoteProtocolError(f"no HTTP response: {error}") from error
        if self._noise > NOISE_LIMIT:
            raise httpx2.RemoteProtocolError(f"over {NOISE_LIMIT:,} bytes came that are no body")

    def take(self) -> bytes:
        """What came of the body since it was taken last."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)

    def _end(self) -> None:
        self.is_last = True
        if not self.status_code:
            raise httpx2.RemoteProtocolError("Server disconnected without sending a response.")
        if self._has_end and not self.is_complete:
            raise httpx2.RemoteProtocolError("the connection ended before the response was complete")
        self.is_complete = True

    # -- what the parser calls

    def on_message_begin(self) -> None:
        if self.is_complete:
            raise httpx2.RemoteProtocolError("nobody asked for another response")  # seen by ``feed`` alone

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.status_code:
            return  # behind the body
        name, value = name.lower(), value.strip(b" \t")  # llhttp keeps what is behind the value
        self.headers.append((name, value))
        if name == b"content-length" or (name == b"transfer-encoding" and value.lower().endswith(b"chunked")):
            self._has_end = True

    def on_headers_complete(self) -> None:
        self.status_code = self._parser.get_status_code()
        self.is_last = not self._parser.should_keep_alive()

    def on_body(self, data: bytes) -> None:
        self._pieces.append(data)
        self._noise = 0

    def on_message_complete(self) -> None:
        if self.status_code < 200:
            self.status_code, self.headers, self._has_end = 0, [], False  # a hint; the answer is to come
        else:
            self.is_complete = True
