"""What an HDF5 file of Keras holds, looked at with h5py; used in the limited child process only.

Every link, size and type is checked before anything is read. What is refused: links other than hard ones, external
storage, virtual datasets, filters other than gzip, shuffle and checksum, types other than numbers, arrays that declare
more than 100 times the file's size, more than 10,000 layers.

Imports the standard library only; h5py comes from outside, and numpy where it is used.
"""

import math
import sys

FORMAT_LIMITS = {"layers": 10_000, "names": 100_000, "text": 16 * 2**20, "expansion": 100, "rank": 8, "depth": 64}
ALLOWED_FILTERS = {1, 2, 3}
"""deflate, shuffle and fletcher32 of the HDF5 registered filters."""


VARIABLE_ROOTS = ("layers", "_layer_checkpoint_dependencies", "vars")
"""Where Keras 3 and tf.keras (from 2.12) start to lay out a model's variables."""


class Refused(Exception):
    """The file is damaged, unsafe or not a Keras file; the message goes to the user."""


class Contents:
    """What a Keras file holds: its texts, and a list of arrays by number.

    Args:
        size: of the HDF5 file in bytes.
        offset: where it starts in what the parent has open; None when the parent cannot read from there.
    """

    def __init__(self, h5py: object, file: object, size: int, offset: int | None):
        self.h5py, self.root, self.size, self.offset = h5py, file.id, size, offset
        self.has_user_block = file.userblock_size > 0
        self.declared = 0
        self.datasets: list = []
        self.entries: list[dict] = []

    def header(self) -> dict:
        return {
            "root": self.texts(self.root, "keras_version", "backend", "model_config", "training_config"),
            "weights_only": self.has_names(self.root, "layer_names"),
            "marked": self.has_attribute(self.root, "dltool"),
            "layers": self.layers(),
            "variables": self.variables(),
            "optimizer": self.optimizer(),
            "dltool": self.dltool(),
            "arrays": self.entries,
        }

    def layers(self) -> list[dict] | None:
        """The layer groups in file order, in /model_weights or in the root: name and the numbers of their arrays."""
        group = self.child(self.root, "model_weights", wanted="group")
        if group is None and self.has_names(self.root, "layer_names"):
            group = self.root
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

    def variables(self) -> list[dict] | None:
        """Keras 3's own layout: the path of every object with variables ("layers/dense") and its arrays' numbers.

        None when the file is not laid out so. tf.keras 2.12 wrote "_layer_checkpoint_dependencies" for "layers", and on
        Windows joined names by backslashes.
        """
        start = [name for name in self.link_names(self.root) if steps_of(name)[0] in VARIABLE_ROOTS]
        if not start or self.has_names(self.root, "layer_names") or self.root.links.exists(b"model_weights"):
            return None
        found: list[dict] = []
        waiting = [(self.root, name, []) for name in reversed(start)]
        visited = 0
        while waiting:
            parent, name, path = waiting.pop()
            path, visited = path + steps_of(name), visited + 1
            group = self.child(parent, name, "group")
            if len(path) > FORMAT_LIMITS["depth"] or visited > FORMAT_LIMITS["names"]:
                raise Refused("its groups lie too deep in each other, or are too many; the file is damaged")
            if path[-1] == "vars":
                if arrays := self.numbered(group, "/".join(path)):
                    found.append(
                        {
                            "path": "/".join(["layers" if p in VARIABLE_ROOTS[:2] else p for p in path[:-1]]),
                            "arrays": arrays,
                        }
                    )
            else:
                waiting += [(group, inner, path) for inner in reversed(self.link_names(group))]
        return found

    def numbered(self, group: object, path: str) -> list[int]:
        """The arrays "0", "1", ... of a group in this order."""
        names = self.link_names(group)
        if not all(name.isdigit() for name in names):
            odd = next(name for name in names if not name.isdigit())
            raise Refused(f"{path!r} holds {odd[:60]!r} beside numbered variables; such a layer is not read")
        return [self.number(self.child(group, name, "dataset"), f"{path}/{name}") for name in sorted(names, key=int)]

    def optimizer(self) -> list[dict] | None:
        group = self.child(self.root, "optimizer_weights", wanted="group")
        if group is None:
            return self.numbered_optimizer()
        names = self.names(group, "weight_names")
        if not all(self.holds(group, name) for name in names):
            return None  # Keras 3 lists variables of Adafactor that it does not write
        return [{"name": name, "array": self.number(self.descend(group, name, "dataset"), name)} for name in names]

    def numbered_optimizer(self) -> list[dict] | None:
        """The optimizer's variables in Keras 3's own layout."""
        group = self.child(self.root, "optimizer", wanted="group")
        group = self.child(group, "vars", wanted="group") if group is not None else None
        if group is None:
            return None
        return [{"name": str(at), "array": number} for at, number in enumerate(self.numbered(group, "optimizer/vars"))]

    def dltool(self) -> dict | None:
        """Texts and arrays of our own group: ``{"texts": {...}, "state": {"texts", "arrays"}}``."""
        group = self.child(self.root, "dltool", wanted="group")
        if group is None:
            return None
        state = self.child(group, "state", wanted="group")
        found = None
        if state is not None:
            names = self.link_names(state, 100)
            arrays = {name: self.number(self.descend(state, name, "dataset"), name) for name in names}
            found = {"texts": self.texts(state, *self.attribute_names(state)), "arrays": arrays}
        return {"texts": self.texts(group, *self.attribute_names(group)), "state": found}

    # -- attributes

    def has_attribute(self, obj: object, name: str) -> bool:
        return self.h5py.h5a.exists(obj, name.encode())

    def has_names(self, obj: object, name: str) -> bool:
        return self.has_attribute(obj, name) or self.has_attribute(obj, f"{name}0")

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

    def link_names(self, group: object, most: int = FORMAT_LIMITS["names"]) -> list[str]:
        if group.get_num_objs() > most:
            raise Refused("has too many objects in one group; the file is damaged")
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

    def holds(self, group: object, path: str) -> bool:
        """Whether there is something behind a name with slashes."""
        *parents, last = path.split("/")
        for part in parents:
            group = self.child(group, part, "group") if part not in ("", ".", "..") else None
            if group is None:
                return False
        return group.links.exists(last.encode())

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
        is_number = kind in "fiu" and itemsize <= 8 and not dataset.dtype.names
        if not is_number and not (is_bfloat16(dataset.dtype) and dataset.shape):
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
        return None if offset is None or self.offset is None or not plain else self.offset + offset

    def array(self, number: int) -> object:
        """Array ``number`` as contiguous little-endian float32."""
        import numpy as np

        found = self.h5py.Dataset(self.datasets[number])[()]
        if is_bfloat16(found.dtype):  # the upper half of a float32
            found = (found.view("<u2").astype("<u4") << 16).view("<f4")
        return np.ascontiguousarray(found, "<f4")


def is_bfloat16(dtype: object) -> bool:
    """Whether an array holds pairs of bytes that mean nothing to HDF5, as which Keras 3 stores bfloat16."""
    return dtype.kind == "V" and dtype.itemsize == 2 and not dtype.names and dtype.subdtype is None


def steps_of(name: str) -> list[str]:
    """The steps of a group's name; tf.keras 2.12 on Windows made "layers\\dense" a single one."""
    return name.replace("\\", "/").split("/")
