"""The bytes inside a gzip file, front to back, with the hash of the file itself taken on the way."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor

from govma_core.text.language import tr

_READ = 1 << 17
_CHUNK = 1 << 20
_GZIP = 16 + zlib.MAX_WBITS


class DamagedError(Exception):
    """The file is not what its format promises; says why, in a few words."""


class InflatedStream:
    """Reads from an open gzip file; decompresses ahead in a thread, and keeps about two chunks in memory.

    `read` and `tell` are what tarfile needs of a file. DamagedError, zlib.error or OSError when the file is not whole.
    """

    def __init__(self, fd: int) -> None:
        self._digest = hashlib.sha256()
        self._chunks = _ahead(self._inflate(fd))
        self._chunk = b""
        self._view = memoryview(b"")
        self._at = 0
        self._before = 0
        self.allowance = 0
        """Bytes that `read` may still give; whoever parses sets it, so that no header can ask for all memory."""

    def close(self) -> None:
        """End the reading, wherever it is."""
        self._chunks.close()

    def finish(self) -> str:
        """Read what is left, which proves the checksum inside, and give the sha256 of the compressed file."""
        while self.some(_CHUNK):
            pass
        return self._digest.hexdigest()

    def tell(self) -> int:
        """Return the position in the decompressed bytes."""
        return self._before + self._at

    def some(self, most: int) -> memoryview:
        """Return between one byte and `most`; none at the end."""
        if self._at == len(self._chunk):
            self._advance()
        piece = self._view[self._at : self._at + most]
        self._at += len(piece)
        return piece

    def read(self, size: int) -> bytes:
        """Return `size` bytes, fewer only at the end."""
        if not 0 <= size <= self.allowance:
            raise DamagedError(tr("a header has an impossible size"))
        self.allowance -= size
        piece = self._chunk[self._at : self._at + size]
        self._at += len(piece)
        while len(piece) < size and self._advance():
            rest = self._chunk[: size - len(piece)]
            self._at = len(rest)
            piece += rest
        return piece

    def skip(self, size: int) -> None:
        """Pass over `size` bytes."""
        while size:
            piece = self.some(size)
            if not piece:
                raise DamagedError(tr("it ends inside a member"))
            size -= len(piece)

    def put_back(self, block: bytes) -> None:
        """Have the bytes again that were read last."""
        self._before = self.tell() - len(block)
        self._set(block + self._chunk[self._at :])

    def _advance(self) -> bool:
        self._before += len(self._chunk)
        self._set(next(self._chunks, b""))
        return bool(self._chunk)

    def _set(self, chunk: bytes) -> None:
        self._chunk, self._view, self._at = chunk, memoryview(chunk), 0

    def _inflate(self, fd: int) -> Generator[bytes, None, None]:
        """Yield the content of one gzip stream, or of several in a row, as gzip does; padding with zeros may follow."""
        engine, data, inside = zlib.decompressobj(_GZIP), b"", True
        while data or (data := self._more(fd)):
            if not inside:
                data = data.lstrip(b"\0")
                if not data:
                    continue
                engine, inside = zlib.decompressobj(_GZIP), True
            found = engine.decompress(data, _CHUNK)
            data = engine.unused_data if engine.eof else engine.unconsumed_tail
            inside = not engine.eof
            if found:
                yield found
        if inside:
            raise DamagedError(tr("it ends too early"))

    def _more(self, fd: int) -> bytes:
        data = os.read(fd, _READ)
        self._digest.update(data)
        return data


def _ahead(chunks: Generator[bytes, None, None]) -> Generator[bytes, None, None]:
    """Yield what `chunks` gives, always working on the next one already (zlib lets other threads run)."""
    with ThreadPoolExecutor(1, "inflate") as pool:
        coming = pool.submit(next, chunks, b"")
        while chunk := coming.result():
            coming = pool.submit(next, chunks, b"")
            yield chunk
