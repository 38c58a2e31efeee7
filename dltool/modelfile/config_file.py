"""Read a network without weights: the JSON that ``model.to_json()`` of Keras 2 or 3 gives.

The text comes from anywhere, so it passes the same gates as the config inside a model file: a closed table of layers,
bounded size and depth, nothing imported or executed.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from dltool.engine.graph import Graph
from dltool.errors import DltoolError, ModelFileError
from dltool.modelfile.dialects import keras3
from dltool.modelfile.json_text import parse_json
from dltool.modelfile.network import Network, upgrade
from dltool.modelfile.saved import TrainingConfig
from dltool.modelfile.training_config import read_compile_config

MAX_BYTES = 64 << 20
"""A config of ten thousand layers has about 10 MB."""
HDF5_START, ZIP_START = b"\x89HDF\r\n\x1a\n", b"PK\x03\x04"


def read_config_file(path: str | os.PathLike[str]) -> tuple[Graph, TrainingConfig | None]:
    """The graph of a Keras JSON file (``-``: standard input), and its compile step if it was compiled in Keras 3.

    Raises:
        ModelFileError: missing, no Keras config, or with layers that are not supported; the message starts with the
            path.
    """
    network, compiled = read_config_network(path)
    return network.graph(), compiled


def read_config_network(path: str | os.PathLike[str]) -> tuple[Network, TrainingConfig | None]:
    """The same before the graph is made of the network, which has been checked to be possible."""
    path = os.fspath(path)
    where = "standard input" if path == "-" else path
    data = read_bytes(path, where)
    try:
        return read_config(text_of(data))
    except ModelFileError as error:
        raise ModelFileError(f"{where}: {error}") from None
    except DltoolError as error:
        raise ModelFileError(f"{where}: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        # The places that are used are checked, but JSON can hold anything anywhere.
        raise ModelFileError(f"{where}: is not a Keras config ({error}); write it with model.to_json()") from error
    except RecursionError:
        raise ModelFileError(f"{where}: is nested too deeply; it is not a Keras config") from None


def read_bytes(path: str, where: str) -> bytes:
    try:
        if path == "-" and sys.stdin is None:  # closed by the shell: <&-
            raise ModelFileError(f"{where}: is closed; give the JSON on it, or name a file")
        if path == "-":
            data = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with open(path, "rb") as file:
                data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise ModelFileError(f"{where}: cannot be read: {reason}") from None
    if len(data) > MAX_BYTES:
        raise ModelFileError(f"{where}: is larger than {MAX_BYTES >> 20} MB; it is not a Keras config")
    return data


def text_of(data: bytes) -> str:
    """The bytes as text. Raises ModelFileError that says what else they are."""
    if data.startswith(HDF5_START):
        raise ModelFileError("is a model file, not JSON; use --like to take its network")
    if data.startswith(ZIP_START):
        raise ModelFileError("is an archive, not JSON; save the model in Keras with model.save('m.h5') and use --like")
    if not data.strip():
        raise ModelFileError("is empty; write it with model.to_json()")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ModelFileError("is not text; write it with model.to_json()") from None


def read_config(text: str) -> tuple[Network, TrainingConfig | None]:
    """The network and compile step of the text of ``model.to_json()``. Raises ModelFileError without a file's name."""
    config = parse_json(text, "config")
    if isinstance(config, str):  # json.dump(model.to_json()) quotes the text once more
        config = parse_json(config, "config")
    if not isinstance(config, dict):
        raise ModelFileError("holds no Keras config; write it with model.to_json()")
    version = version_of(config)
    network = upgrade({key: config[key] for key in config if key != "compile_config"}, version)
    graph = network.graph()
    compiled = keras3.simplify(config.get("compile_config"))
    if not isinstance(compiled, dict):
        return network, None
    return network, read_compile_config(compiled, graph.output_names, version)


def version_of(config: dict[str, Any]) -> str:
    """Keras 2 says its version; Keras 3 does not, but names every object's module; Keras 1 is known by its words."""
    version = config.get("keras_version")
    if isinstance(version, str):
        return version
    return "3" if "module" in config else ""
