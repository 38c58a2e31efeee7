"""The command line: options in, text out. The only part of dltool that prints.

    main        the group, errors -> one line and an exit code
    command     the class of all commands; sections: the layout of their help
    options     shared options: one option, one meaning
    types       what option values may look like
    console     the two streams: colour, width, plain text
    progress    training events on the screen
    plot        a curve in characters
    shells      completion scripts from a description of all commands
    build fit evaluate predict summary lr_find pseudo_label finetune convert help completion      one file per command

Modules here import click and the standard library at the top; workflows and numpy only inside command bodies, so that
help, version and usage errors cost no more than click itself.
"""
