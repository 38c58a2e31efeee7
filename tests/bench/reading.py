"""Reading a model file of 528 MB (the network VGG16): dltool beside plain h5py, time and memory.

    python -m tests.bench.reading [--rounds 5] [--keep FOLDER]

Rows: the file as Keras writes it, and as dltool does, whose checksum is verified. Every sample is a fresh process with
its imports done; the file has just been written, so it lies in the page cache. Memory is the largest resident size of
the process and of its parsing child, everything included. The aim: h5py's own time plus 0.7 s per GB, and 1.3 times
the file's size.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

SECONDS_PER_GB = 0.7
TIMES_SIZE = 1.3

H5PY = """
import sys, time
import h5py, numpy as np
start = time.perf_counter()
with h5py.File(sys.argv[1]) as file:
    kept = []
    keep = lambda name, item: kept.append(item[()]) if isinstance(item, h5py.Dataset) else None
    file["model_weights"].visititems(keep)
"""
DLTOOL = """
import sys, time
import h5py, numpy as np
from dltool.engine.executor import Executor
from dltool.modelfile.reading import read
start = time.perf_counter()
kept = read(sys.argv[1])
"""
AFTER = """
import resource
seconds = time.perf_counter() - start
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(seconds, (int(peak) + resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) * 1.024e-3)
"""
PROGRAMS = {"h5py": H5PY, "dltool": DLTOOL}


def make_files(folder: Path) -> dict[str, Path]:
    """VGG16 as dltool writes it, and the same without dltool's own part, as Keras does."""
    import h5py

    from dltool.engine.graph import GraphBuilder
    from dltool.engine.layers import Conv2D, Dense, Flatten, MaxPooling2D
    from dltool.engine.model import Model
    from dltool.modelfile.saved import SavedModel
    from dltool.modelfile.writing import write

    builder = GraphBuilder("vgg16")
    node = builder.input((224, 224, 3))
    for filters, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            node = builder.add(Conv2D(filters, 3, padding="same", activation="relu"), node)
        node = builder.add(MaxPooling2D(), node)
    node = builder.add(Flatten(), node)
    for units in (4096, 4096):
        node = builder.add(Dense(units, activation="relu"), node)
    model = Model.build(builder.graph(builder.add(Dense(1000, activation="softmax"), node)), seed=0)
    files = {"by Keras": folder / "keras.h5", "by dltool": folder / "dltool.h5"}
    for file in files.values():
        write(SavedModel(model), file)
    with h5py.File(files["by Keras"], "r+") as file:
        del file["dltool"]
        for name in [name for name in file.attrs if name.startswith("dltool")]:
            del file.attrs[name]
    return files


def sample(program: str, file: Path) -> tuple[float, float]:
    """Seconds, and the largest resident size in MB, of one fresh process."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # as the command line has it: then the child is a fork
    command = [sys.executable, "-c", program + AFTER, str(file)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    seconds, megabytes = done.stdout.split()
    return float(seconds), float(megabytes)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.reading", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="samples of each (5)")
    parser.add_argument("--keep", metavar="FOLDER", help="write the files there and leave them")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(args.keep or temporary)
        folder.mkdir(exist_ok=True)
        for label, file in make_files(folder).items():
            size = file.stat().st_size / 1e6
            found = {name: [] for name in PROGRAMS}
            for _ in range(args.rounds):
                for name, program in PROGRAMS.items():
                    found[name].append(sample(program, file))
            times = {name: median(seconds for seconds, _ in samples) for name, samples in found.items()}
            peak = max(megabytes for _, megabytes in found["dltool"])
            allowed = times["h5py"] + SECONDS_PER_GB * size / 1e3
            print(f"{label}: {size:.0f} MB")
            print(f"  time    {times['dltool']:.2f} s, h5py {times['h5py']:.2f} s, allowed {allowed:.2f} s")
            print(f"  memory  {peak:.0f} MB, {peak / size:.2f} of the file, allowed {TIMES_SIZE}")


if __name__ == "__main__":
    main()
