"""The pieces of ``dltool fit``, which ``workflows.fit`` puts together.

    task compile_step rows init_weights threshold      what is opened, chosen and checked before the first batch
    start augmenting             executor, schedule and rows of a training
    begin state                  a run, new or resumed
    resuming run_record          which run is in a file, and whether it can go on
    files saving report          what is written beside the model, the model, what is said

Other commands that train use them too.
"""
