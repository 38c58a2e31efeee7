"""Completion scripts for bash, zsh and fish from one description of the commands.

The words of a description are plain (see ``described.plain``), its help texts are quoted for their shell. Names of
files never pass through a script: the shells complete and quote them by their own means.
"""

import re
from collections.abc import Callable

from dltool.cli.described import Described, Option, Value

HEADER = "# Completion of dltool for {shell}. Written by 'dltool completion {shell}'; changes here are lost."


# -- bash

BASH = """\
{header}

_dltool() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD - 1]}} command= positional=0 index word
    COMPREPLY=()
    # bash makes words of "=" and ":"; "--arch=cnn" is completed as "--arch cnn" is.
    if [[ $current == = ]]; then
        current=
    elif [[ $previous == = && COMP_CWORD -gt 1 ]]; then
        previous=${{COMP_WORDS[COMP_CWORD - 2]}}
    elif [[ $current == : || $previous == : ]]; then
        compopt +o default
        return
    fi
    for ((index = 1; index < COMP_CWORD; index++)); do
        word=${{COMP_WORDS[index]}}
        if [[ $word == -* ]]; then
            [[ $word != -- ]] && _dltool_takes_value "$command" "$word" && ((index++))
        elif [[ $word == = ]]; then
            ((index++))
        elif [[ -z $command ]]; then
            command=$word
        elif [[ $word != : && ${{COMP_WORDS[index - 1]}} != : ]]; then
            ((positional++))
        fi
    done
    if _dltool_takes_value "$command" "$previous"; then
        _dltool_values "$command" "$previous"
    elif [[ $current == -* ]]; then
        _dltool_options "$command"
    else
        _dltool_arguments "$command" "$positional"
    fi
}}

# Keep those of the words given that begin with what is typed. Without words there is nothing to guess.
_dltool_reply() {{
    local word
    compopt +o default
    for word in "$@"; do
        [[ $word == "$current"* ]] && COMPREPLY+=("$word")
    done
}}

_dltool_takes_value() {{
    case $1 in
{takes}
    esac
    return 1
}}

# Files: no reply, and readline completes them itself.
_dltool_values() {{
    case $1$2 in
{values}
    esac
}}

_dltool_options() {{
    case $1 in
{options}
    esac
}}

_dltool_arguments() {{
    case $1:$2 in
{arguments}
    esac
}}

complete -o default -F _dltool dltool
"""


def bash(commands: list[Described]) -> str:
    takes, values, listed, arguments = [], [], [], []
    for command in commands:
        name = command.name or "''"
        with_value = [option for option in command.options if option.value is not None]
        names = [spelled for option in with_value for spelled in option.names]
        if names:
            takes.append(f"        {name}) case $2 in {' | '.join(names)}) return 0 ;; esac ;;")
        for option in with_value:
            pattern = " | ".join(f"{command.name}{spelled}" for spelled in option.names)
            values.append(f"        {pattern}) {_bash_reply(option.value)} ;;")
        every = [spelled for option in command.options for spelled in option.names]
        listed.append(f"        {name}) _dltool_reply {' '.join(every)} ;;")
        for number, value in enumerate(command.arguments):
            last = number == len(command.arguments) - 1
            pattern = f"{command.name}:*" if last and command.repeats else f"{command.name}:{number}"
            arguments.append(f"        {pattern}) {_bash_reply(value)} ;;")
    arguments.append("        *) _dltool_reply ;;")
    parts = {"takes": takes, "values": values, "options": listed, "arguments": arguments}
    return BASH.format(header=HEADER.format(shell="bash"), **{name: "\n".join(lines) for name, lines in parts.items()})


def _bash_reply(value: Value) -> str:
    return "return" if value.files and not value.words else " ".join(["_dltool_reply", *value.words])


# -- zsh

ZSH = """\
#compdef dltool
{header}

_dltool() {{
    local curcontext=$curcontext state line
    typeset -A opt_args
    _arguments -C \\
{top}        '1:command:->command' \\
        '*::argument:->argument'
    case $state in
        command)
            local -a commands
            commands=(
{commands}
            )
            _describe -t commands 'dltool command' commands
            ;;
        argument)
            curcontext=${{curcontext%:*:*}}:dltool-$line[1]:
            case $line[1] in
{cases}
            esac
            ;;
    esac
}}

if [[ $funcstack[1] == _dltool ]]; then
    _dltool "$@"
else
    compdef _dltool dltool
fi
"""


def zsh(commands: list[Described]) -> str:
    top, *others = commands
    cases = []
    for command in others:
        specs = [spec for option in command.options for spec in _zsh_options(option)]
        for number, value in enumerate(command.arguments):
            repeats = command.repeats and number == len(command.arguments) - 1
            specs.append(_quoted(f"{'*' if repeats else number + 1}:argument:{_zsh_action(value)}"))
        lines = " \\\n".join(f"                    {spec}" for spec in specs)
        cases.append(
            f"                {command.name})\n                    _arguments -s -S \\\n{lines}\n                    ;;"
        )
    described = "\n".join(f"                {_quoted(f'{c.name}:{_zsh_text(c.help)}')}" for c in others)
    lines = "".join(f"        {spec} \\\n" for option in top.options for spec in _zsh_options(option))
    header = HEADER.format(shell="zsh")
    return ZSH.format(header=header, top=lines, commands=described, cases="\n".join(cases))


def _zsh_options(option: Option) -> list[str]:
    """One spec per name; the names of an option that does not repeat exclude each other."""
    others = "" if option.repeats else f"({' '.join(option.names)})"
    found = []
    for name in option.names:
        star = "*" if option.repeats else ""
        joined = "" if option.value is None else ("=" if name.startswith("--") else "+")
        value = "" if option.value is None else f":value:{_zsh_action(option.value)}"
        found.append(_quoted(f"{others}{star}{name}{joined}[{_zsh_text(option.help)}]{value}"))
    return found


def _zsh_action(value: Value) -> str:
    if value.words:
        return f"({' '.join(word.replace(':', chr(92) + ':') for word in value.words)})"
    return "_files" if value.files else " "


def _zsh_text(text: str) -> str:
    return re.sub(r"([\[\]:\\])", r"\\\1", text)


# -- fish

FISH = """\
{header}

# __dltool_at '' : no command is typed yet.   __dltool_at fit : the command is fit.
# __dltool_at fit 0 : and the word being typed is its first argument.   __dltool_at fit 0 more : or a later one.
function __dltool_at
    set -l words (commandline -opc)
    set -l count 0
    set -l skip 0
    for word in $words[2..-1]
        if test $skip = 1
            set skip 0
        else if contains -- $word {takes}
            set skip 1
        else if not string match -q -- '-*' $word
            set count (math $count + 1)
            if test $count = 1; and test "$word" != "$argv[1]"
                return 1
            end
        end
    end
    if test "$argv[1]" = ''
        test $count = 0
    else if not set -q argv[2]
        test $count -gt 0
    else if test $skip = 1
        return 1
    else if set -q argv[3]
        test $count -gt $argv[2]
    else
        test $count = (math $argv[2] + 1)
    end
end

complete -c dltool -f
{lines}
"""


def fish(commands: list[Described]) -> str:
    top, *others = commands
    lines = [_fish_option("", option) for option in top.options]
    for command in others:
        lines.append(
            f"complete -c dltool -n \"__dltool_at ''\" -a {command.name} -d {_quoted(command.help, fish=True)}"
        )
    for command in others:
        lines += [_fish_option(command.name, option) for option in command.options]
        for number, value in enumerate(command.arguments):
            more = " more" if command.repeats and number == len(command.arguments) - 1 else ""
            given = " ".join(
                [*(["-F"] if value.files else []), *([f"-a '{' '.join(value.words)}'"] * bool(value.words))]
            )
            lines.append(f"complete -c dltool -n '__dltool_at {command.name} {number}{more}' {given}".rstrip())
    takes = sorted({name for c in commands for o in c.options if o.value is not None for name in o.names})
    return FISH.format(header=HEADER.format(shell="fish"), takes=" ".join(takes), lines="\n".join(lines))


def _fish_option(command: str, option: Option) -> str:
    words = [
        f"complete -c dltool -n '__dltool_at {command}'" if command else "complete -c dltool -n \"__dltool_at ''\""
    ]
    for name in option.names:
        words.append(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}")
    if option.value is not None:
        words.append("-r" + (" -F" if option.value.files else " -f"))
        if option.value.words:
            words.append(f"-a '{' '.join(option.value.words)}'")
    return " ".join([*words, f"-d {_quoted(option.help, fish=True)}"])


def _quoted(text: str, fish: bool = False) -> str:
    r"""The text in single quotes, where nothing is expanded; fish escapes within them, the others cannot."""
    if fish:
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return "'" + text.replace("'", "'\\''") + "'"


SCRIPTS: dict[str, Callable[[list[Described]], str]] = {"bash": bash, "zsh": zsh, "fish": fish}
