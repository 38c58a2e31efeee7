"""Help: topics that match the code, and commands that show examples first and fit the screen."""

import re

import click
import pytest

from dltool import names
from dltool.cli.help import FOLDER, PAGES, TABLES, TOPICS, WIDTH, text_of
from dltool.cli.main import COMMANDS, LazyGroup, main
from dltool.errors import EXIT_CODES


def shown(capsys, *words):
    assert main(list(words)) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_every_text_is_a_topic_and_every_topic_has_a_text():
    assert {path.stem for path in FOLDER.glob("*.md")} == {*TOPICS, *PAGES}


@pytest.mark.parametrize("topic", [*TOPICS, *PAGES])
def test_a_topic_fits_78_columns_and_has_no_open_placeholder(topic, capsys):
    lines = shown(capsys, "help", topic).splitlines()
    assert lines == text_of(topic)
    assert [line for line in lines if len(line) > WIDTH] == []
    assert not any(f"{{{name}}}" in line for name in TABLES for line in lines)
    assert not lines[0].startswith("#")


def test_help_alone_lists_commands_and_topics(capsys):
    out = shown(capsys, "help")
    for name, about in {**COMMANDS, **TOPICS}.items():
        assert re.search(rf"^  {name} +{re.escape(about[:30])}", out, re.MULTILINE), name


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - set(PAGES)))
def test_help_of_a_small_command_as_a_topic(command, capsys):
    assert shown(capsys, "help", command) == shown(capsys, command, "--help")


@pytest.mark.parametrize("columns", ["60", "80", "100"])
@pytest.mark.parametrize("command", COMMANDS)
def test_help_breaks_no_name_at_its_hyphen(command, columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns)
    lines = shown(capsys, command, "--help").splitlines()
    assert [line for line in lines if re.search(r"[a-z]-$", line)] == []
    assert all(line.isascii() for line in lines)


def options_of(command):
    """The long options that the real command has."""
    found = LazyGroup().get_command(None, command)
    params = [param for param in found.params if isinstance(param, click.Option)]
    return {name for param in params for name in (*param.opts, *param.secondary_opts) if name.startswith("--")}


@pytest.mark.parametrize("command", PAGES)
def test_the_page_of_a_command_names_its_options_all_and_no_others(command):
    text = (FOLDER / f"{command}.md").read_text(encoding="utf-8")
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", text))
    others = {name for line in text.splitlines() for name in re.findall(r"--[a-z0-9-]+", line) if is_about_others(line)}
    assert options_of(command) - named == set()
    assert named - options_of(command) - others == set()
    assert others <= {name for other in PAGES for name in options_of(other)}


def is_about_others(line):
    """Lines of a page that show another command."""
    return re.search(r"dltool fit .*(--extra|lr-find)|^activation_bytes|build --from|find \.", line) is not None


@pytest.mark.parametrize("command", PAGES)
def test_a_page_begins_with_examples_that_the_command_takes(command, capsys):
    lines = shown(capsys, "help", command).splitlines()
    assert lines[0].startswith(f"dltool {command}: ")
    assert lines[1] == "" and f"dltool {command} " in lines[2]


def test_exit_codes_are_the_table_of_the_errors(capsys):
    out = shown(capsys, "help", "exit-codes")
    listed = [int(code) for code in re.findall(r"^ {2,4}(\d+)  ", out, re.MULTILINE)]
    assert listed == list(EXIT_CODES)


def test_layer_words_list_every_layer_activation_and_architecture(capsys):
    out = shown(capsys, "help", "layer-words")
    words = set(re.findall(r"[a-z0-9_-]+", out))
    assert {name.lower() for name in names.LAYERS} <= words
    assert {name for name in names.ACTIVATIONS if not name.endswith("_keras2")} <= words
    assert set(names.ARCHITECTURES) <= words


def test_losses_list_every_loss_metric_and_optimizer_with_its_options(capsys):
    words = set(re.findall(r"[a-z0-9_-]+", shown(capsys, "help", "losses")))
    for known in (names.LOSSES, names.METRICS, names.OPTIMIZERS):
        assert set(known) <= words
        assert {key for options in known.values() for key in options} - {"reduction"} <= words


def test_examples_of_layer_words_are_right():
    """Every word in the first column of the examples can be parsed."""
    from dltool.architectures.grammar import parse

    text = (FOLDER / "layer-words.md").read_text(encoding="utf-8")
    found = re.findall(r"^    (\S*[:*@]\S*) {2,}", text, re.MULTILINE)
    assert len(found) == 11
    assert all(parse([word]) for word in found)


def test_schedules_explain_every_registered_one_with_all_its_options():
    text = (FOLDER / "schedules.md").read_text(encoding="utf-8")
    shown = dict(re.findall(r"^    ([a-z0-9-]+)(?::(\S+))?(?: |$)", text, re.MULTILINE))
    explained = {name: set(re.findall(r"(\w+)=", options)) for name, options in shown.items() if name != "dltool"}
    assert explained == {name: set(options) for name, options in names.SCHEDULES.items()}


def test_data_names_the_options_that_exist(capsys):
    """What a topic says of an option is said of one that a command has."""
    have = set(re.findall(r"--[a-z-]+", "".join(shown(capsys, command, "--help") for command in COMMANDS)))
    text = (FOLDER / "data.md").read_text(encoding="utf-8")
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) - have == set()


@pytest.mark.parametrize("command", [*COMMANDS, ""])
def test_help_begins_with_usage_a_sentence_and_examples(command, capsys):
    out = shown(capsys, *filter(None, [command, "--help"]))
    lines = out.splitlines()
    assert lines[0].startswith(f"Usage: dltool {command}".rstrip())
    assert lines[1] == ""
    examples = [line.split()[:2] for line in lines if line.startswith("  dltool") or "<(dltool" in line]
    assert examples
    assert lines[4] == "Examples:"
    assert out.index("Examples:") < out.index("General:")
    if command:
        assert lines[2] == f"  {COMMANDS[command]}"


@pytest.mark.parametrize("columns", ["80", "60", "120"])
def test_help_fits_the_screen(columns, run_dltool):
    for words in (["--help"], ["help"], *([command, "--help"] for command in ("build", "fit", "predict"))):
        done = run_dltool(*words, COLUMNS=columns)
        assert (done.returncode, done.stderr) == (0, "")
        limit = max(int(columns), 80) if words == ["help"] or columns == "60" else int(columns)
        assert [line for line in done.stdout.splitlines() if len(line) > limit] == []


def test_what_is_used_most_comes_first(capsys):
    out = shown(capsys, "fit", "--help")
    order = ["Examples:", "Common options:", "  --data", "  --epochs", "Data:", "Training:", "Speed:", "General:"]
    places = [out.rindex(text) for text in order]
    assert places == sorted(places)


@pytest.mark.parametrize("command", list(COMMANDS))
def test_examples_in_help_are_accepted(command, capsys):
    """Every option of an example exists: an example with a typo would stop with 'no such option'."""
    out = shown(capsys, command, "--help")
    block = out.split("Examples:\n")[1].split("\n\n")[0].replace("\\\n", " ")
    have = set(re.findall(r"--[a-z-]+", "".join(shown(capsys, name, "--help") for name in COMMANDS)))
    assert set(re.findall(r"(?<![\w-])--[a-z-]+", block)) <= have
