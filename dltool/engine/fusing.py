"""Steps that become part of the one before: normalisations, sums and relus that a kernel applies to its own output."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dltool.engine.kernels.base import Kernel
from dltool.engine.kernels.convolution import ConvolutionKernel
from dltool.engine.kernels.elementwise import CEILINGS, ReluKernel
from dltool.engine.kernels.merging import AddKernel
from dltool.engine.kernels.normalization import FrozenNormalizationKernel

if TYPE_CHECKING:
    from dltool.engine.planning import Plan


def fuse(plan: Plan) -> None:
    """Join what can be joined; in training only relus without a limit."""
    if not plan.settings.training:
        fold_normalizations(plan)
        fuse_sums(plan)
    fuse_relus(plan)


def fold_normalizations(plan: Plan) -> None:
    """A normalisation whose producer is a convolution becomes part of its weights."""
    for index, planned in enumerate(plan.steps):
        if isinstance(planned.kernel, FrozenNormalizationKernel):
            producer = sole_producer(plan, index, planned.inputs[0])
            if isinstance(producer, ConvolutionKernel) and producer.normalization is None:
                producer.fold(planned.kernel)
                absorb(plan, index, planned.inputs[0])


def fuse_sums(plan: Plan) -> None:
    """A sum of two, of which the later is a convolution that has no other reader, becomes part of that one.

    It was computed after the other, so that it finds the other complete.
    """
    for index, planned in enumerate(plan.steps):
        if not isinstance(planned.kernel, AddKernel) or len(set(planned.inputs)) != 2 or len(planned.inputs) != 2:
            continue
        other, last = sorted(planned.inputs)
        producer = sole_producer(plan, index, last)
        if producer is not None and producer.fuses_sum and not producer.site.relu and not producer.site.adds:
            producer.site.adds = True
            plan.steps[last].inputs += (other,)
            absorb(plan, index, last)


def fuse_relus(plan: Plan) -> None:
    """A relu whose producer can apply it, and has no other reader, becomes part of the producer.

    One with an upper limit only in inference: its gradient does not follow from the output's sign.
    """
    for index, planned in enumerate(plan.steps):
        if not isinstance(planned.kernel, ReluKernel):
            continue
        ceiling = CEILINGS[planned.step.layer.activation]
        producer = sole_producer(plan, index, planned.inputs[0])
        if plan.settings.training and np.isfinite(ceiling):
            continue
        if producer is not None and producer.fuses_relu and not producer.site.relu:
            producer.site.relu, producer.site.ceiling = True, ceiling
            absorb(plan, index, planned.inputs[0])


def sole_producer(plan: Plan, index: int, source: int) -> Kernel | None:
    """The kernel of ``source``, whose output only the step at ``index`` reads; None where others do too."""
    alone = plan.readers(source) == [index] and source not in plan.outputs_at
    return plan.steps[source].kernel if alone else None


def absorb(plan: Plan, index: int, source: int) -> None:
    """The step's producer at ``source`` has taken it over: readers and outputs look there."""
    plan.steps[index].kernel = None
    for later in plan.steps:
        later.inputs = tuple(source if i == index else i for i in later.inputs)
    plan.outputs_at = [source if i == index else i for i in plan.outputs_at]
