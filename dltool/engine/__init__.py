"""The mathematics, on numpy alone: it never prints, reads a file or knows a Keras version.

What a network is
    graph weights model          nodes in order; one float32 vector with named views; the two together
    layers/                      each layer: its Keras config, shapes, weights and plain arithmetic
    activations initializers regularizers losses metrics optimizers schedules

How it runs, plainly
    reference                    node by node in any float type: the oracle of the tests

How it runs, fast: from the top down
    executor                     a model's programs, planned once, run on lanes
    lowering -> planning         graph -> steps -> kernels on buffers, with what can be fused
    kernels/                     the planned arithmetic of each kind of step; ``kernels.base`` says what a kernel is
    placement buffers memory     which memory each activation and gradient gets
    program                      phases -> stages -> a flat list of calls per lane
    update stepping              shards' sums -> gradient -> the optimizer's step
    starting                     how many lanes, threads or processes
    lanes process_lanes blas     threads or forked processes that run the calls; one BLAS thread each
    windows winograd streams     padding arithmetic, F(4x4, 3x3), counter-based random numbers

Three decisions carry it. Work is cut by shapes, never by the number of lanes, so that any number gives the same bits.
Everything a step needs is allocated and bound beforehand. Every fast kernel is compared with its layer's reference.
"""
