"""Measures dltool beside its peers: ``python -m tests.bench --help``.

workloads     the networks, and dltool's graphs of them
contenders    who takes part: name -> how its process is started
child         one contender's process: builds its network, then runs steps when told
ours peers    what a child runs: dltool's Executor, the prototype / torch and Keras
machine       CPU load, memory of a process tree, BLAS
duel          the interleaved rounds and their figures
cold_start    how long --help takes
learning_rates   the rate of lr-find beside a grid (a program of its own)
"""
