"""The only code that parses HDF5. It runs in a limited child process, started by ``modelfile.hdf5``.

libhdf5 loops for ever or crashes on some damaged files (measured: 15 of 3000 mutants of a 12 kB Keras file), so nothing
of it may happen in the process that holds the user's work. The child answers with one JSON header, which says where
every array lies in the file; plain float32 arrays are then read by the parent, straight from the file into the
model's vector, and only the others (compressed, chunked, other types) travel through the pipe.

What is refused: links other than hard ones, external storage, virtual datasets, filters other than gzip, shuffle and
checksum, types other than numbers, arrays that declare more than 100 times the file's size, more than 10,000 layers.

Imports the standard library, numpy and h5py only, because it may be started as a script of its own.
"""

import json
import math
import os
import struct
import sys
import time

FORMAT_LIMITS = {"layers": 10_000, "names": 100_000, "text": 16 * 2**20, "expansion": 100, "rank": 8, "depth": 64}
ALLOWED_FILTERS = {1, 2, 3}
"""deflate, shuffle and fletcher32 of the HDF5 registered filters."""


class Refused(Exception):
    """The file is damaged, unsafe or not a Keras file; the message goes to the user."""


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

        limit_resources(megabytes, cpu_seconds)
        own = not isinstance(source, int)
        with open(source, "rb", buffering=0, closefd=own) as raw, h5py.File(raw, "r") as file:
            contents = Contents(h5py, file, os.fstat(raw.fileno()).st_size)
            send(write_fd, json.dumps(contents.header()).encode())
            serve(contents, read_fd, write_fd)
    except Refused as error:
        send(write_fd, json.dumps({"error": str(error)}).encode())
    except MemoryError:
        send(write_fd, json.dumps({"error": "needs far more memory than its size; the file is damaged"}).encode())
    except (OSError, KeyError, ValueError, RuntimeError, TypeError, UnicodeError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        text = f"is damaged or cut off ({reason}); copy it again"
        send(write_fd, json.dumps({"error": text}).encode())


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


def serve(contents: "Contents", read_fd: int, write_fd: int) -> None:
    """Answer each array number (4 bytes) with the array as little-endian float32."""
    while len(request := os.read(read_fd, 4)) == 4:
        array = contents.array(struct.unpack("<I", request)[0])
        send(write_fd, memoryview(array).cast("B") if array.size else b"")


class Contents:
    """What a Keras file holds: its texts, and a list of arrays by number."""

    def __init__(self, h5py: object, file: object, size: int):
        self.h5py, self.root, self.size = h5py, file.id, size
        self.has_user_block = file.userblock_size > 0
        self.declared = 0
        self.datasets: list = []
        self.entries: list[dict] = []

    def header(self) -> dict:
        return {
            "root": self.texts(self.root, "keras_version", "backend", "model_config", "training_config"),
            "weights_only": self.has_attribute(self.root, "layer_names")
            or self.has_attribute(self.root, "layer_names0"),
            "marked": self.has_attribute(self.root, "dltool"),
            "layers": self.layers(),
            "optimizer": self.optimizer(),
            "dltool": self.dltool(),
            "arrays": self.entries,
        }

    def layers(self) -> list[dict] | None:
        """The layer groups in file order: name and the numbers of their arrays; None without /model_weights."""
        group = self.child(self.root, "model_weights", wanted="group")
        if group is None:
            return None
        names = self.names(group, "layer_names")
        if len(names) > FORMAT_LIMITS["layers"]:
            raise Refused(f"has {len(names)} layers; at most {FORMAT_LIMITS['layers']} are read")
        found = []
        for name in names:
            layer = self.descend(group, name, "group")
            arrays = [(w, self.number(self.descend(layer, w, "dataset"), w)) for w in self.names(layer, "weight_names")]
            found.append({"name": name, "weights": [w for w, _ in arrays], "arrays": [n for _, n in arrays]})
        return found

    def optimizer(self) -> list[dict] | None:
        group = self.child(self.root, "optimizer_weights", wanted="group")
        if group is None:
            return None
        names = self.names(group, "weight_names")
        return [{"name": name, "array": self.number(self.descend(group, name, "dataset"), name)} for name in names]

    def dltool(self) -> dict | None:
        """Texts and arrays of our own group: ``{"texts": {...}, "state": {"texts", "arrays"}}``."""
        group = self.child(self.root, "dltool", wanted="group")
        if group is None:
            return None
        state = self.child(group, "state", wanted="group")
        found = None
        if state is not None:
            names = self.link_names(state)
            arrays = {name: self.number(self.descend(state, name, "dataset"), name) for name in names}
            found = {"texts": self.texts(state, *self.attribute_names(state)), "arrays": arrays}
        return {"texts": self.texts(group, *self.attribute_names(group)), "state": found}

    # -- attributes

    def has_attribute(self, obj: object, name: str) -> bool:
        return self.h5py.h5a.exists(obj, name.encode())

    def attribute_names(self, obj: object) -> list[str]:
        count = self.h5py.h5a.get_num_attrs(obj)
        if count > 100:
            raise Refused(f"has {count} attributes in one group; the file is damaged")
        names = [self.h5py.h5a.open(obj, index=i).name.decode("utf-8", "replace") for i in range(count)]
        return sorted(names)

    def texts(self, obj: object, *names: str) -> dict[str, str]:
        return {name: self.text(obj, name) for name in names if self.has_attribute(obj, name)}

    def text(self, obj: object, name: str) -> str:
        """A scalar string attribute (vlen or fixed, any charset); integers come as digits."""
        value = self.attribute(obj, name)
        if getattr(value, "shape", ()) not in ((), (1,)):
            raise Refused(f"its {name} is not one text; the file is damaged or not a Keras model")
        value = value.reshape(-1)[0] if getattr(value, "shape", ()) == (1,) else value
        if isinstance(value, bytes):
            value = value.decode("utf-8", "surrogateescape")
        if not isinstance(value, str):
            if name == "version" and hasattr(value, "dtype") and value.dtype.kind in "iu":
                return str(int(value))
            raise Refused(f"its {name} is not text; the file is damaged or not a Keras model")
        if len(value) > FORMAT_LIMITS["text"]:
            raise Refused(f"its {name} is longer than 16 MiB")
        if any("\ud800" <= c <= "\udfff" for c in value):  # h5py's sign for bytes that were not UTF-8
            raise Refused(f"its {name} is not text; the file is damaged")
        return value

    def names(self, obj: object, name: str) -> list[str]:
        """A list of names, whole or split into ``name0``, ``name1``...; an empty list is stored as floats."""
        if self.has_attribute(obj, name):
            return self.name_array(obj, name)
        found: list[str] = []
        part = 0
        while self.has_attribute(obj, f"{name}{part}"):
            found += self.name_array(obj, f"{name}{part}")
            part += 1
            if len(found) > FORMAT_LIMITS["names"] or part > 1000:
                raise Refused(f"its {name} has too many parts; the file is damaged")
        if not part:
            raise Refused(f"has no {name}; the file is damaged or not a Keras model")
        return found

    def name_array(self, obj: object, name: str) -> list[str]:
        value = self.attribute(obj, name)
        if getattr(value, "size", None) == 0:
            return []
        if getattr(value, "ndim", None) != 1 or value.size > FORMAT_LIMITS["names"]:
            raise Refused(f"its {name} is not a list of names; the file is damaged")
        found = [v.decode("utf-8") if isinstance(v, bytes) else v for v in value.tolist()]
        if not all(isinstance(v, str) for v in found):
            raise Refused(f"its {name} is not a list of names; the file is damaged")
        return found

    def attribute(self, obj: object, name: str) -> object:
        """The attribute's value through h5py, after its declared size was checked."""
        attribute = self.h5py.h5a.open(obj, name.encode())
        if math.prod(attribute.shape) * attribute.get_type().get_size() > FORMAT_LIMITS["text"]:
            raise Refused(f"its {name} is longer than 16 MiB")
        return self.h5py.AttributeManager(self.h5py.Group(obj))[name]

    # -- links and datasets

    def link_names(self, group: object) -> list[str]:
        if group.get_num_objs() > 100:
            raise Refused("has too many objects in its /dltool group; the file is damaged")
        return sorted(group.get_objname_by_idx(i).decode("utf-8") for i in range(group.get_num_objs()))

    def child(self, group: object, name: str, wanted: str) -> object | None:
        """The object behind a hard link, or None when there is no such name."""
        encoded = name.encode()
        if not group.links.exists(encoded):
            return None
        if group.links.get_info(encoded).type != self.h5py.h5l.TYPE_HARD:
            raise Refused(f"{name!r} is a soft or external link; dltool follows no links, save the model again")
        found = self.h5py.h5o.open(group, encoded)
        kind = self.h5py.h5g.GroupID if wanted == "group" else self.h5py.h5d.DatasetID
        if not isinstance(found, kind):
            raise Refused(f"{name!r} is not a {wanted}; the file is damaged or not a Keras model")
        return found

    def descend(self, group: object, path: str, wanted: str) -> object:
        """Follow a name with slashes, step by step, over hard links only."""
        parts = path.split("/")
        if any(part in ("", ".", "..") for part in parts) or len(parts) > FORMAT_LIMITS["depth"]:
            raise Refused(f"the name {path!r} is not allowed in a model file")
        for position, part in enumerate(parts):
            group = self.child(group, part, wanted if position == len(parts) - 1 else "group")
            if group is None:
                raise Refused(f"{path!r} is listed but missing; the file is damaged")
        return group

    def number(self, dataset: object, name: str) -> int:
        """Check a dataset's header, describe it, and give it a number."""
        kind, itemsize = dataset.dtype.kind, dataset.dtype.itemsize
        if kind not in "fiu" or itemsize > 8 or dataset.dtype.names:
            raise Refused(f"{name!r} holds {dataset.dtype}, not real numbers; the file is damaged or not a Keras model")
        if dataset.get_space().get_simple_extent_type() == self.h5py.h5s.NULL or len(dataset.shape) > 8:
            raise Refused(f"{name!r} has no usable shape; the file is damaged")
        self.check_storage(dataset, name)
        num_bytes = math.prod(dataset.shape) * itemsize
        self.declared += num_bytes
        if self.declared > self.size * FORMAT_LIMITS["expansion"]:
            raise Refused(f"{name!r} declares {num_bytes} bytes in a file of {self.size}; the file is damaged")
        entry = {"shape": list(dataset.shape), "offset": self.plain_offset(dataset, name, num_bytes)}
        if dataset.shape == ():
            entry["value"] = self.h5py.Dataset(dataset)[()].item()
        self.datasets.append(dataset)
        self.entries.append(entry)
        return len(self.entries) - 1

    def check_storage(self, dataset: object, name: str) -> None:
        properties = dataset.get_create_plist()
        if properties.get_layout() == self.h5py.h5d.VIRTUAL or properties.get_external_count():
            raise Refused(f"{name!r} is stored in another file; save the model again as one file")
        filters = {properties.get_filter(i)[0] for i in range(properties.get_nfilters())}
        if filters - ALLOWED_FILTERS:
            raise Refused(f"{name!r} is compressed with filter {min(filters - ALLOWED_FILTERS)}; use gzip or none")

    def plain_offset(self, dataset: object, name: str, num_bytes: int) -> int | None:
        """Where the array lies in the file as plain little-endian float32, or None when it must be converted."""
        contiguous = dataset.get_create_plist().get_layout() == self.h5py.h5d.CONTIGUOUS
        offset = dataset.get_offset() if contiguous else None
        if offset is not None and offset + num_bytes > self.size:
            raise Refused(f"{name!r} ends after the end of the file; the file is cut off, copy it again")
        plain = dataset.dtype.str == "<f4" and sys.byteorder == "little" and not self.has_user_block
        return offset if plain else None

    def array(self, number: int) -> object:
        """Array ``number`` as contiguous little-endian float32."""
        import numpy as np

        return np.ascontiguousarray(self.h5py.Dataset(self.datasets[number])[()], "<f4")


if __name__ == "__main__":
    # python -I -S hdf5_child.py SYS_PATH_JSON DESCRIPTOR_OR_PATH MEGABYTES CPU_SECONDS
    # with requests on stdin and answers on stdout
    sys.path[:] = json.loads(sys.argv[1])
    if sys.platform == "win32":
        import msvcrt

        for descriptor in (0, 1):
            msvcrt.setmode(descriptor, os.O_BINARY)
    main(int(sys.argv[2]) if sys.argv[2].isdigit() else sys.argv[2], 0, 1, int(sys.argv[3]), int(sys.argv[4]))
