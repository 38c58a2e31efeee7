"""How a command's help is laid out: examples, what is used most, then the rest by subject.

An option means the same in every command, so it stands under the same heading in every help.
"""

from collections.abc import Iterable, Iterator

import click

SECTIONS = {
    "Common options": (
        "--data --labels --unlabelled --val --val-split --files0-from --input --classes --arch --from --like "
        "--labels-from --at --pop --head --try --trials --epochs --epochs-unfrozen --batch-size --lr --early-stop "
        "--threshold --min-precision --max-per-class --ask --rounds --train-to --into --pick "
        "--top --probs --format --layer --sort-into --min-prob --fail-under --weights --config --diff "
        "--journal --output --force --dry-run --json"
    ),
    "Data": (
        "--val-labels --extra --class-names --multi-label --image-size --color --resize --limit --group --shard "
        "--allow-empty --skip-bad --no-shuffle --no-normalize --no-rescale --preprocess --augment "
        "--augment-preview --balance --tta"
    ),
    "Training": (
        "--optimizer --schedule --warmup --min --max --steps --loss --loss-weight --metric --class-weight "
        "--decision-threshold "
        "--label-smoothing --weight-decay --clip-norm --clip-value --ema --freeze --init-from --unfreeze --gradual "
        "--bn --precompute --no-precompute --features --monitor --min-delta --time --seed --resume "
        "--reset-optimizer --no-state --checkpoint"
    ),
    "Reports": "--beta --top-losses --log --log-every --plot --report --timing --advice",
    "More options": "--plugin",
    "Speed": "--jobs --backend --exact --cache",
    "General": "--quiet --verbose --debug --version --help",
}
"""Heading -> its options, in the order of help. Options that stand nowhere come under "More options"."""

REST = "More options"


def in_sections(params: Iterable[click.Parameter]) -> Iterator[tuple[str, list[click.Parameter]]]:
    """Heading and options, in order; headings without options are left out."""
    places = {name: (heading, number) for heading, text in SECTIONS.items() for number, name in enumerate(text.split())}
    found: dict[str, list[tuple[int, click.Parameter]]] = {heading: [] for heading in SECTIONS}
    for position, param in enumerate(params):
        if isinstance(param, click.Option):
            heading, number = next((places[name] for name in param.opts if name in places), (REST, position))
            found[heading].append((number, param))
    for heading, entries in found.items():
        if entries:
            yield heading, [param for _, param in sorted(entries, key=lambda entry: entry[0])]


def split_examples(text: str) -> tuple[list[str], list[str], list[str]]:
    r"""The paragraphs of a command's docstring: the first sentence, the examples' lines, the rest.

    Examples are the paragraphs that begin with ``\b``, which keeps click from filling them.
    """
    first, *others = text.strip().split("\n\n")
    examples = [line for part in others if part.startswith("\b") for line in part.splitlines()[1:]]
    return [first], examples, [part for part in others if not part.startswith("\b")]
