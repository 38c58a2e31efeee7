"""The zip around a ``.keras`` model, looked at inside the limited child process; nothing is ever unpacked to disk.

Both generations (Keras 3, and tf.keras from 2.12) store ``config.json``, ``metadata.json`` and ``model.weights.h5``.
Those three are read in memory; assets and anything else stay where they are, but one member that only a hostile
program would write is enough to refuse the file.
Source: keras/src/saving/saving_lib.py of Keras 3.15 and tf_keras 2.21. Imports the standard library only.
"""

import io
import stat
import struct
import zipfile
import zlib
from dataclasses import dataclass

from dltool.modelfile.hdf5_contents import FORMAT_LIMITS, Refused

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
MAX_MEMBERS = 10_000
LOCAL_HEADER = struct.Struct("<4s22xHH")
"""Signature, lengths of name and extra field; the member's data follow them."""
CHUNK = 2**20


@dataclass(frozen=True)
class Archive:
    """What a ``.keras`` file holds.

    Attributes:
        texts: "config" and "metadata", the content of these JSON files, "" when there is none.
        weights: the HDF5 part as a file of its own.
        size: its bytes.
        offset: where it starts in the archive, None when it is compressed.
    """

    texts: dict[str, str]
    weights: io.IOBase
    size: int
    offset: int | None


class Part(io.RawIOBase):
    """A stretch of a file as a file."""

    def __init__(self, raw: io.FileIO, start: int, size: int):
        self.raw, self.start, self.size, self.position = raw, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.size}[whence]
        return self.position

    def readinto(self, buffer: memoryview) -> int:
        view = memoryview(buffer).cast("B")
        view = view[: max(0, min(len(view), self.size - self.position))]
        self.raw.seek(self.start + self.position)
        count = self.raw.readinto(view)
        self.position += count
        return count


def open_archive(raw: io.FileIO, size: int) -> Archive:
    """The parts of the ``.keras`` file ``raw`` of ``size`` bytes.

    Raises:
        Refused: not a ``.keras`` file; members that are unsafe, encrypted or larger than they may be; damage (every
            member that is read has a right checksum).
    """
    try:
        return read_members(raw, size)
    except (zipfile.BadZipFile, zlib.error, EOFError, struct.error) as error:
        raise Refused(f"is damaged or cut off ({str(error)[:200]}); copy it again") from None


def read_members(raw: io.FileIO, size: int) -> Archive:
    with zipfile.ZipFile(raw) as found:
        members = {info.filename: info for info in found.infolist()}
        if CONFIG not in members:
            raise Refused("is a zip archive but no .keras model; it has no config.json")
        check_members(found.infolist(), size)
        if WEIGHTS not in members:
            raise Refused(f"is a .keras archive without {WEIGHTS}; save the model again as one file")
        metadata = text_of(found, members[METADATA]) if METADATA in members else ""
        texts = {"config": text_of(found, members[CONFIG]), "metadata": metadata}
        info = members[WEIGHTS]
        if info.compress_type == zipfile.ZIP_STORED:
            offset = data_offset(raw, info)
            check_whole(found, info)
            return Archive(texts, Part(raw, offset, info.file_size), info.file_size, offset)
        return Archive(texts, io.BytesIO(found.read(info)), info.file_size, None)


def check_members(members: list[zipfile.ZipInfo], size: int) -> None:
    """Raises Refused for what Keras never writes."""
    if len(members) > MAX_MEMBERS:
        raise Refused(f"has {len(members)} members; at most {MAX_MEMBERS} are read")
    seen = set()
    for info in members:
        name = info.orig_filename
        if is_unsafe(name):
            raise Refused(f"its member {name[:60]!r} would be unpacked outside of its folder; do not trust the file")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise Refused(f"its member {name[:60]!r} is a symbolic link; do not trust the file")
        if name in seen:
            raise Refused(f"has two members {name[:60]!r}; the file is damaged or made to deceive")
        seen.add(name)
        if info.flag_bits & 1:
            raise Refused(f"its member {name[:60]!r} is encrypted; save the model again in Keras")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Refused(f"its member {name[:60]!r} is compressed in a way that Keras does not use; save it again")
    packed, unpacked = sum(i.compress_size for i in members), sum(i.file_size for i in members)
    if packed > size or unpacked > size * FORMAT_LIMITS["expansion"]:
        raise Refused(f"its members declare {unpacked} bytes in a file of {size}; the file is damaged or a trap")


def is_unsafe(name: str) -> bool:
    """Whether unpacking a member of this name could write elsewhere: absolute, with "..", or with a drive."""
    steps = name.replace("\\", "/").split("/")
    return "\0" in name or steps[0] == "" or ".." in steps or ":" in steps[0]


def text_of(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> str:
    """The text of a small member. Raises Refused when it is long or no text."""
    if info.file_size > FORMAT_LIMITS["text"]:
        raise Refused(f"its {info.filename} is longer than 16 MiB")
    try:
        return archive.read(info).decode()
    except UnicodeDecodeError:
        raise Refused(f"its {info.filename} is not text; the file is damaged") from None


def check_whole(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
    """Compare the checksum of a member without keeping its bytes. Raises BadZipFile."""
    with archive.open(info) as member:
        while member.read(CHUNK):
            pass


def data_offset(raw: io.FileIO, info: zipfile.ZipInfo) -> int:
    """Where the bytes of a stored member start. Raises Refused when there is no member."""
    raw.seek(info.header_offset)
    header = raw.read(LOCAL_HEADER.size)
    if len(header) < LOCAL_HEADER.size or not header.startswith(b"PK\x03\x04"):
        raise Refused(f"its member {info.filename} is not where it should be; the file is damaged")
    _, name, extra = LOCAL_HEADER.unpack(header)
    return info.header_offset + LOCAL_HEADER.size + name + extra
