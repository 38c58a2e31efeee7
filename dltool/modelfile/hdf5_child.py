"""The only code that parses HDF5. It runs in a limited child process, started by ``modelfile.hdf5``.

libhdf5 loops for ever or crashes on some damaged files (measured: 15 of 3000 mutants of a 12 kB Keras file), so nothing
of it may happen in the process that holds the user's work. The child answers with one JSON header, which says where
every array lies in the file; plain float32 arrays are then read by the parent, straight from the file into the
model's vector, and only the others (compressed, chunked, other types) travel through the pipe.

What is looked at and refused is in ``hdf5_contents`` and, for ``.keras`` files, ``archive``. They and h5py are
imported late, because this file may be started as a script, before it knows where to find them.
"""

import json
import os
import struct
import sys
import time


def main(source: int | str, read_fd: int, write_fd: int, megabytes: int, cpu_seconds: int) -> None:
    """Parse a file, write the header to ``write_fd``, then serve arrays by number until ``read_fd`` closes.

    Args:
        source: an open descriptor (then it is the parent's very file, whatever a writer renames over its path
            meanwhile) or a path.
        megabytes, cpu_seconds: see ``limit_resources``.
    """
    os.environ["HDF5_PLUGIN_PRELOAD"] = "::"  # no filter plugins, they are foreign code; before h5py is imported
    try:
        import h5py

        from dltool.modelfile.hdf5_contents import Refused

        limit_resources(megabytes, cpu_seconds)
        own = not isinstance(source, int)
        with open(source, "rb", buffering=0, closefd=own) as raw:
            answer(h5py, raw, read_fd, write_fd)
    except Refused as error:
        send(write_fd, json.dumps({"error": str(error)}).encode())
    except MemoryError:
        send(write_fd, json.dumps({"error": "needs far more memory than its size; the file is damaged"}).encode())
    except (OSError, KeyError, ValueError, RuntimeError, TypeError, UnicodeError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        text = f"is damaged or cut off ({reason}); copy it again"
        send(write_fd, json.dumps({"error": text}).encode())


def answer(h5py: object, raw: object, read_fd: int, write_fd: int) -> None:
    """Send the header of an HDF5 file or ``.keras`` archive, then its arrays."""
    from dltool.modelfile.hdf5_contents import Contents

    size = os.fstat(raw.fileno()).st_size
    raw.seek(0)  # the parent, which shares the descriptor's position, looked at the first bytes
    if raw.read(4) != b"PK\x03\x04":
        with h5py.File(raw, "r") as file:
            contents = Contents(h5py, file, size, 0)
            send(write_fd, json.dumps(contents.header()).encode())
            serve(contents, read_fd, write_fd)
        return
    from dltool.modelfile.archive import open_archive

    found = open_archive(raw, size)
    with found.weights, h5py.File(found.weights, "r") as file:
        contents = Contents(h5py, file, found.size, found.offset)
        send(write_fd, json.dumps({**contents.header(), "archive": found.texts}).encode())
        serve(contents, read_fd, write_fd)


def limit_resources(megabytes: int, cpu_seconds: int) -> None:
    """At most ``megabytes`` and ``cpu_seconds`` beyond what has been taken so far. Without effect on Windows."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    cpu_seconds += round(time.process_time())
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    try:
        with open("/proc/self/statm") as statm:
            mapped = int(statm.read().split()[0]) * resource.getpagesize()
    except OSError:
        return  # without /proc the present size is unknown, and a limit below it would break the next allocation
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    wanted = mapped + megabytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def send(descriptor: int, data: bytes | memoryview) -> None:
    """Write a length (8 bytes, little-endian) and the data."""
    write_all(descriptor, struct.pack("<Q", len(data)))
    write_all(descriptor, data)


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while len(view):
        view = view[os.write(descriptor, view[: 2**30]) :]


def serve(contents: object, read_fd: int, write_fd: int) -> None:
    """Answer each array number (4 bytes) with the array as little-endian float32."""
    while len(request := os.read(read_fd, 4)) == 4:
        array = contents.array(struct.unpack("<I", request)[0])
        send(write_fd, memoryview(array).cast("B") if array.size else b"")


if __name__ == "__main__":
    # python -I -S hdf5_child.py SYS_PATH_JSON DESCRIPTOR_OR_PATH MEGABYTES CPU_SECONDS
    # with requests on stdin and answers on stdout
    sys.path[:] = json.loads(sys.argv[1])
    if sys.platform == "win32":
        import msvcrt

        for descriptor in (0, 1):
            msvcrt.setmode(descriptor, os.O_BINARY)
    main(int(sys.argv[2]) if sys.argv[2].isdigit() else sys.argv[2], 0, 1, int(sys.argv[3]), int(sys.argv[4]))
