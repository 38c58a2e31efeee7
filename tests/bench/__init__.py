"""Measures dltool beside its peers: ``python -m tests.bench --help``.

workloads     what is measured, by name and kind
contenders    who takes part: kind -> peers, kind -> the room that builds their steps
training inference tabular update loading folder_training      the rooms: dltool's steps and its peers'
networks imagenet                  dltool's graphs
training_peers imagenet_torch      the same networks in torch and Keras
child         one contender's process: builds its steps, then runs them when told
machine       CPU load, memory of a process tree, BLAS
duel          the interleaved rounds and their figures
learning_rates   the rate of lr-find beside a grid (a program of its own, as the next)
tuning        what tune finds beside a grid made by hand
pseudo_labels    what unlabelled images bring
frozen_base      how much faster finetune is on features computed once
commands      how long whole commands take, cold
install_size  how much disk the base install takes
report        the figures as text or Markdown
"""
