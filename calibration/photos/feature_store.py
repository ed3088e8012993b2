"""Features of photos, on disk: appended once per photo, read back by row; with a folder it is a cache between runs.

Two files per build, `<build id>.features` (float16 rows of unit length) and `<build id>.index` (one fixed record per
row: sha256 of the photo's bytes, its shorter side in pixels, its sharpness, CRC-32 of all this and the row). A row
counts only when both files hold all of it and the CRC agrees, so a run that was killed or a damaged disk costs time and
never a wrong feature. Without a folder the rows live in an unnamed temporary file beside the bundle and vanish with the
process.

Why float16: unit rows of thousands of values lose under 1e-6 of cosine and 20,000 products fit on a small disk.
Limits: one process at a time writes a cache (an exclusive lock is taken; a second run is refused). Nothing is evicted:
delete the folder to empty the cache.
"""

from __future__ import annotations

import fcntl
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError, PublishError

__all__ = ["FeatureStore", "Measured"]

_RECORD = np.dtype([("sha256", "V32"), ("side_px", "<i4"), ("sharpness", "<f8"), ("crc", "<u4")])


@dataclass(frozen=True, slots=True)
class Measured:
    """What is kept about a photo beside its features. `digest` is the sha256 of its bytes, 32 bytes."""

    digest: bytes
    side_px: int
    sharpness: float


class FeatureStore:
    """Rows of `dimension` features. Use inside `with`; `read` makes it `Rows` for `calibration.space.head`."""

    def __init__(self, folder: Path | None, scratch: Path, build_id: str, dimension: int) -> None:
        self.dimension = dimension
        self._folder, self._scratch, self._build_id = folder, scratch, build_id
        self._row: dict[bytes, int] = {}
        self._measured: list[Measured] = []

    def __enter__(self) -> FeatureStore:
        self._features, self._index = self._open(".features"), self._open(".index")
        try:
            fcntl.flock(self._index, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.__exit__(None, None, None)
            raise InputError(
                f"{self._folder}: another run writes this cache; wait for it or give another --cache"
            ) from None
        self._load()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._features.close()
        self._index.close()

    def __len__(self) -> int:
        return len(self._measured)

    def find(self, digest: bytes) -> int:
        """Return the row of the photo with this sha256, or -1."""
        return self._row.get(digest, -1)

    def measured(self, row: int) -> Measured:
        """Return what is known about the photo of a row."""
        return self._measured[row]

    def append(self, measured: Sequence[Measured], features: NDArray[np.float32]) -> None:
        """Add rows; raises PublishError when the disk refuses."""
        halves = features.astype(np.float16)
        records = np.zeros(len(measured), _RECORD)
        for record, entry, row in zip(records, measured, halves, strict=True):
            record["sha256"] = np.void(entry.digest)
            record["side_px"], record["sharpness"] = entry.side_px, entry.sharpness
            record["crc"] = _checksum(record, row.tobytes())
        try:
            for file, data in ((self._features, halves.tobytes()), (self._index, records.tobytes())):
                file.seek(0, 2)
                file.write(data)
                file.flush()
        except OSError as error:
            raise PublishError(f"{self._folder or self._scratch}: cannot keep features ({error.strerror})") from error
        for entry in measured:
            self._row[entry.digest] = len(self._measured)
            self._measured.append(entry)

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return (len(rows), dimension) float32."""
        if len(self._measured) == 0:
            return np.zeros((len(rows), self.dimension), np.float32)
        everything = np.memmap(self._features, np.float16, "r", shape=(len(self._measured), self.dimension))
        return np.asarray(everything[rows]).astype(np.float32)

    def _open(self, suffix: str) -> IO[bytes]:
        folder = self._folder or self._scratch
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if self._folder is None:
                return tempfile.TemporaryFile(dir=folder)
            return (folder / f"{self._build_id}{suffix}").open("a+b")
        except OSError as error:
            raise PublishError(f"{folder}: cannot hold the features ({error.strerror or error})") from error

    def _load(self) -> None:
        """Take over the rows that an earlier run left, up to the first that is incomplete or damaged."""
        width = 2 * self.dimension
        self._index.seek(0)
        raw = self._index.read()
        records = np.frombuffer(raw[: len(raw) // _RECORD.itemsize * _RECORD.itemsize], _RECORD)
        self._features.seek(0)
        for record in records:
            row = self._features.read(width)
            if len(row) < width or _checksum(record, row) != record["crc"]:
                break
            entry = Measured(record["sha256"].tobytes(), int(record["side_px"]), float(record["sharpness"]))
            self._row[entry.digest] = len(self._measured)
            self._measured.append(entry)
        self._features.truncate(len(self._measured) * width)
        self._index.truncate(len(self._measured) * _RECORD.itemsize)


def _checksum(record: np.void, row: bytes) -> int:
    return zlib.crc32(row, zlib.crc32(record.tobytes()[: -_RECORD["crc"].itemsize]))
