"""Steps that become part of another: normalisations, sums and relus that a kernel applies to its own output, and
convolutions around a depthwise one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dltool.engine.kernels.base import Kernel
from dltool.engine.kernels.convolution import ConvolutionKernel
from dltool.engine.kernels.depthwise import DepthwiseKernel
from dltool.engine.kernels.depthwise_block import DepthwiseBlock, can_follow, can_lead
from dltool.engine.kernels.elementwise import CEILINGS, ReluKernel
from dltool.engine.kernels.merging import AddKernel
from dltool.engine.kernels.normalization import FrozenNormalizationKernel

if TYPE_CHECKING:
    from dltool.engine.planning import Plan


def fuse(plan: Plan) -> None:
    """Join what can be joined; in training only relus without a limit."""
    if plan.settings.training:
        fuse_relus(plan)
        return
    fold_normalizations(plan)
    fuse_sums(plan)
    fuse_relus(plan)
    fuse_blocks(plan)


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


def fuse_blocks(plan: Plan) -> None:
    """A depthwise convolution and the convolutions around it, where only they read what lies between, become one step.

    Those with a stride across choose first, as they gain most from the convolution before.
    """
    found = [i for i, planned in enumerate(plan.steps) if isinstance(planned.kernel, DepthwiseKernel)]
    for index in sorted(found, key=lambda i: plan.steps[i].kernel.geometry.strides[1] == 1):
        middle, source = plan.steps[index].kernel, plan.steps[index].inputs[0]
        before, last = sole_producer(plan, index, source), sole_reader(plan, index)
        before = before if can_lead(before, middle) else None
        after = plan.steps[last].kernel if last is not None else None
        if not can_follow(after) or plan.steps[last].inputs[0] != index:
            last, after = index, None
        if before is None and after is None:
            continue
        first = source if before is not None else index
        plan.steps[last].inputs = (*plan.steps[first].inputs, *plan.steps[last].inputs[1:])
        plan.steps[first].kernel = plan.steps[index].kernel = None
        plan.steps[last].kernel = DepthwiseBlock(before, middle, after)


def sole_reader(plan: Plan, index: int) -> int | None:
    """The only step that reads a step's output; None where there are more."""
    readers = plan.readers(index)
    return readers[0] if len(readers) == 1 and index not in plan.outputs_at else None


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
