"""Where branches meet: sums and concatenations."""

from __future__ import annotations

import numpy as np

from dltool.engine.buffers import Piece
from dltool.engine.kernels.base import Kernel, Phase, Run, Site, planner
from dltool.engine.kernels.normalization import bind_mask
from dltool.engine.kernels.tricks import merged_rows, relu
from dltool.engine.layers.merging import Add, Concatenate


class AddKernel(Kernel):
    """y = x0 + x1 + ...; every input gets dy."""

    fuses_relu = True
    runs_in_bands = True
    writes_band = reads_band = True

    def forward_phases(self) -> list[Phase]:
        return [Phase("shard", self.bind_forward, frozenset({"x", "y"}))]

    def backward_phases(self) -> list[Phase]:
        return [Phase("shard", self.bind_backward, frozenset({"y", "dx", "dy"}))]

    def bind_forward(self, piece: Piece) -> Run:
        first, *others = (merged_rows(x.interior(piece)) for x in self.site.x)
        y, fused, ceiling = merged_rows(self.site.y.interior(piece)), self.site.relu, self.site.ceiling
        second, *rest = others

        def run() -> None:
            np.add(first, second, out=y)
            for x in rest:
                np.add(y, x, out=y)
            if fused:
                relu(y, y, ceiling)

        return run

    def bind_backward(self, piece: Piece) -> Run:
        site = self.site
        dy = site.dy.interior(piece)
        mask = bind_mask(site, piece, merged_rows(dy))
        targets = [site.dx[i] and (site.dx[i].interior(piece), site.dx_accumulates[i]) for i in range(len(site.dx))]

        def run() -> None:
            if mask is not None:
                mask()
            for entry in targets:
                if entry is None:
                    continue
                target, accumulates = entry
                if accumulates:
                    np.add(target, dy, out=target)
                else:
                    np.copyto(target, dy)

        return run


class ConcatenateKernel(Kernel):
    """Inputs side by side along an axis; dy is cut again."""

    def parts(self, whole: np.ndarray) -> list[np.ndarray]:
        axis = self.site.layer.axis
        axis = axis if axis >= 0 else axis + whole.ndim
        start, parts = 0, []
        for shape in self.site.input_shapes:
            stop = start + shape[axis - 1]
            parts.append(whole[(slice(None),) * axis + (slice(start, stop),)])
            start = stop
        return parts

    def forward_phases(self) -> list[Phase]:
        return [Phase("shard", self.bind_forward, frozenset({"x", "y"}))]

    def backward_phases(self) -> list[Phase]:
        return [Phase("shard", self.bind_backward, frozenset({"dx", "dy"}))]

    def bind_forward(self, piece: Piece) -> Run:
        parts = self.parts(self.site.y.interior(piece))
        pairs = list(zip(parts, [x.interior(piece) for x in self.site.x], strict=True))

        def run() -> None:
            for part, x in pairs:
                np.copyto(part, x)

        return run

    def bind_backward(self, piece: Piece) -> Run:
        site = self.site
        parts = self.parts(site.dy.interior(piece))
        entries = [
            (part, buffer.interior(piece), accumulates)
            for part, buffer, accumulates in zip(parts, site.dx, site.dx_accumulates, strict=True)
            if buffer is not None
        ]

        def run() -> None:
            for part, target, accumulates in entries:
                if accumulates:
                    np.add(target, part, out=target)
                else:
                    np.copyto(target, part)

        return run


@planner(Add)
def plan_add(site: Site) -> Kernel | None:
    """Equal shapes; broadcasting sums run the reference."""
    return AddKernel(site) if len(set(site.input_shapes)) == 1 and len(site.input_shapes) > 1 else None


planner(Concatenate)(ConcatenateKernel)
