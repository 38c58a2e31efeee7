"""The fast tier: planned float32 kernels, one family a file. ``planning`` chooses, ``base`` says what a kernel is."""
