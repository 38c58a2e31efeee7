"""The command line: options in, text out. The only part of dltool that prints.

    main        the group, errors -> one line and an exit code
    options     shared options: one option, one meaning
    types       what option values may look like
    console     the two streams: colour, width, plain text
    progress    training events on the screen
    plot        a curve in characters
    build fit evaluate predict summary lr_find pseudo_label finetune help      one file per command

Modules here import click and the standard library at the top; workflows and numpy only inside command bodies, so that
help, version and usage errors cost no more than click itself.
"""
