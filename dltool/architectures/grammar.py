"""Layer words: ``conv2d:32,3,same,relu`` -> a checked Word. Imports the standard library (and the list of names) only.

    word     [name=]kind[:value,...,key=value,...][@input[+input...]]
    repeat   4*word   or   4*(word word ...)

A kind is a Keras class in lower case (``conv2d``, ``maxpooling2d``), in snake case, or a short alias (``vocabulary``).
Bare numbers and sizes fill the constructor's numeric arguments in Keras's order, bare words are recognised by meaning
(an activation, a padding, a regulariser, an initializer), ``key=value`` takes every Keras keyword. Everything that
can be refused without knowing shapes is refused here.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dltool import names
from dltool.architectures.literals import EXPECTED, Bare, fits, literal, split_outside
from dltool.architectures.vocabulary import EXAMPLES, PADDINGS, activations, choices, class_of, kinds
from dltool.errors import UsageError
from dltool.registry import nearest

OLD_KEYWORDS = {
    "border_mode": "padding",
    "subsample": "strides",
    "nb_filter": "filters",
    "output_dim": "units",
    "init": "kernel_initializer",
    "W_regularizer": "kernel_regularizer",
    "p": "rate",
    "bias": "use_bias",
}
"""Keras 1 keyword -> today's."""

ACTIVATIONS_FIRST = ("elu", "softmax")
"""Words that are the plain activation, though a layer with options has the same name."""

REQUIRED = {**names.LAYER_REQUIRED, "InputLayer": ("shape",)}
MOST_REPEATS = 1000
MOST_LAYERS = 10_000

_WORD = re.compile(r"(?:(?P<name>[^=:@,()]*)=)?(?P<kind>[^=:@,()]*)(?::(?P<values>[^@]*))?(?:@(?P<inputs>.*))?", re.S)
_REPEAT = re.compile(r"(?P<times>\d+)\*(?P<body>.*)", re.S)
_NAME = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.\-]*")


@dataclass(frozen=True)
class Word:
    """One layer, checked as far as possible without numbers.

    Attributes:
        text: the word as typed, for messages.
        class_name: the Keras class; ``options`` its constructor arguments.
        name: the layer's name; empty for an automatic one.
        inputs: names of the layers it takes; empty for the one before it.
    """

    text: str
    class_name: str
    options: dict[str, Any]
    name: str = ""
    inputs: tuple[str, ...] = ()


def parse(words: Sequence[str]) -> list[Word]:
    """Check and expand layer words. Raises UsageError that names the word, says what is wrong and what to write."""
    parsed: list[Word] = []
    for text in words:
        for word in _expand(text.strip(), repeated=False):
            parsed.append(word)
            if len(parsed) > MOST_LAYERS:
                raise UsageError(f"{text}: more than {MOST_LAYERS:,} layers; repeat fewer times")
    return parsed


def _expand(text: str, repeated: bool) -> Iterator[Word]:
    repeat = _REPEAT.fullmatch(text)
    if repeat is None:
        word = _word(text)
        if repeated and (word.name or word.inputs):
            raise UsageError(f"{text}: a repeated layer cannot have a name or '@' inputs; write it out instead")
        yield word
        return
    body = repeat["body"].strip()
    times = int(repeat["times"]) if len(repeat["times"]) < 9 else MOST_REPEATS + 1
    if not 1 <= times <= MOST_REPEATS:
        raise UsageError(f"{text}: repeats {repeat['times']} times; give a number from 1 to {MOST_REPEATS}")
    if body.startswith("(") and body.endswith(")"):
        body = body[1:-1]
    inner = split_outside(body, " ", text)
    if not inner:
        raise UsageError(f"{text}: nothing to repeat; write {times}*(conv2d:64,3,same,relu)")
    for _ in range(times):
        for part in inner:
            yield from _expand(part, repeated=True)


def _word(text: str) -> Word:
    match = _WORD.fullmatch(text)
    if match is None or not match["kind"]:
        raise UsageError(
            f"{text or repr(text)}: not a layer word; write [name=]kind[:values][@inputs], as conv2d:32,3,relu"
        )
    for name in (match["name"], *(match["inputs"] or "").split("+")):
        if name and not _NAME.fullmatch(name):
            raise UsageError(f"{text}: {name!r} cannot be a layer's name; use letters, digits, '_', '.' and '-'")
    if match["name"] == "" or (match["inputs"] is not None and not all(match["inputs"].split("+"))):
        raise UsageError(f"{text}: a name is missing before '=' or after '@'; write name=kind@input+input")
    kind = match["kind"]
    if kind in activations() and (kind not in kinds() or (kind in ACTIVATIONS_FIRST and match["values"] is None)):
        class_name, fixed = "Activation", {"activation": kind}
    else:
        class_name, fixed = class_of(kind, text), {}
    inputs = tuple((match["inputs"] or "").split("+")) if match["inputs"] else ()
    options = _Options(text, kind, class_name, fixed).read(match["values"])
    return Word(text, class_name, options, match["name"] or "", inputs)


class _Options:
    """Collects the constructor arguments of one word."""

    def __init__(self, text: str, kind: str, class_name: str, fixed: dict[str, Any]):
        self.text, self.kind, self.class_name = text, kind, class_name
        self.fields = names.LAYERS[class_name]
        self.found: dict[str, Any] = dict(fixed)

    def read(self, values: str | None) -> dict[str, Any]:
        for part in split_outside(values or "", ",", self.text, keep_empty=values is not None):
            key, equals, value = part.partition("=")
            if self.fields.get("layer") == "layer" and (key.strip() == "layer" or not {":", "("}.isdisjoint(key)):
                self._inner(value if key.strip() == "layer" else part)
            elif equals:
                self._keyword(key.strip(), value.strip())
            else:
                self._bare(part)
        self._check_required()
        return self.found

    def _inner(self, part: str) -> None:
        """The layer inside a wrapper: ``lstm:64``, or in brackets ``(lstm:64,return_sequences=true)``."""
        part = part.strip()
        inner = _word(part[1:-1] if part.startswith("(") else part)
        if inner.name or inner.inputs:
            raise UsageError(
                f"{self.text}: the layer inside cannot have a name or '@' inputs; give them to {self.kind}"
            )
        self._set("layer", {"class_name": inner.class_name, "config": inner.options})

    def _set(self, key: str, value: Any) -> None:
        if key in self.found:
            raise UsageError(f"{self.text}: {key} is given twice; give it once")
        self.found[key] = value

    def _keyword(self, key: str, value: str) -> None:
        if key in ("l1", "l2") and self._main("regularizer"):
            self._regularize(key, literal(value))
            return
        if key not in self.fields:
            close = OLD_KEYWORDS.get(key) or nearest(key, list(self.fields))
            if close not in self.fields:
                close = None
            advice = f"did you mean {close!r}?" if close else f"it has {', '.join(self.fields) or 'no options'}"
            raise UsageError(f"{self.text}: {self.kind} has no option {key!r}; {advice}")
        self._set(key, self._typed(key, literal(value)))

    def _main(self, what: str) -> str:
        """The option for the layer's main weight: kernel_initializer, depthwise_regularizer; empty without one."""
        return next((key for key in (f"kernel_{what}", f"depthwise_{what}") if key in self.fields), "")

    def _typed(self, key: str, value: Any) -> Any:
        """The value if it is of the option's kind."""
        wanted = self.fields[key]
        if not fits(wanted, value) and value is not None:
            raise UsageError(f"{self.text}: {key} must be {EXPECTED[wanted]}, not {value}")
        return self._known_name(key, str(value)) if isinstance(value, Bare) else value

    def _known_name(self, key: str, value: str) -> str:
        known = choices(key)
        if known and value not in known:
            close = nearest(value, known)
            advice = f"did you mean {close!r}?" if close else f"known: {', '.join(known)}"
            raise UsageError(f"{self.text}: {value!r} is not known as {key}; {advice}")
        return value

    def _bare(self, part: str) -> None:
        value = literal(part)
        if part == "":
            raise UsageError(f"{self.text}: a value is missing before or after a comma; write conv2d:32,3,relu")
        if isinstance(value, Bare):
            self._bare_word(str(value))
        else:
            self._bare_number(value)

    def _bare_word(self, value: str) -> None:
        if self.fields.get("layer") == "layer" and "layer" not in self.found and value in kinds():
            self._inner(value)
        elif value in PADDINGS and self.fields.get("padding") == "text":
            self._set("padding", value)
        elif value in activations() and "activation" in self.fields:
            self._set("activation", value)
        elif value in ("l1", "l2") and self._main("regularizer"):
            self._regularize(value, 0.01)
        elif value in choices("kernel_initializer") and self._main("initializer"):
            self._set(self._main("initializer"), value)
        else:
            self._refuse_bare_word(value)

    def _refuse_bare_word(self, value: str) -> None:
        if value in activations():
            raise UsageError(f"{self.text}: {self.kind} has no activation; write {value} as a word of its own after it")
        if value in PADDINGS:
            raise UsageError(f"{self.text}: {self.kind} has no padding; leave {value!r} out")
        known = [*PADDINGS, *activations(), "l1", "l2", *choices("kernel_initializer")]
        close = nearest(value, known)
        advice = f"did you mean {close!r}?" if close else "write it as key=value"
        raise UsageError(
            f"{self.text}: {value!r} is no number, activation, padding, regulariser or initializer; {advice}"
        )

    def _bare_number(self, value: Any) -> None:
        for key, wanted in self.fields.items():
            if key in self.found or wanted in ("text", "flag", "layer"):
                continue
            if isinstance(value, bool) or value is None:
                break
            self._refuse_third_number(key, value)
            self._set(key, self._typed(key, value))
            return
        sizes = [str(v) for v in self.found.values() if isinstance(v, int)]
        advice = f"write sizes as {'x'.join([*sizes, str(value)])}" if sizes else "write it as key=value"
        raise UsageError(f"{self.text}: {self.kind} has no place for a further {value}; {advice}")

    def _refuse_third_number(self, key: str, value: Any) -> None:
        kernel = self.found.get("kernel_size")
        if key == "strides" and isinstance(kernel, int) and isinstance(value, int):
            lead = f"{self.found['filters']}," if "filters" in self.found else ""
            raise UsageError(
                f"{self.text}: {kernel},{value} meant rows and columns in old Keras and means a stride of {value} now; "
                f"write {self.kind}:{lead}{kernel}x{value} for a {kernel}x{value} kernel, "
                f"or {self.kind}:{lead}{kernel},strides={value}"
            )

    def _regularize(self, key: str, value: Any) -> None:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise UsageError(f"{self.text}: {key} must be a number, as {key}=1e-4, not {value}")
        field = self._main("regularizer")
        known = self.found.get(field)
        if known is None:
            self.found[field] = {"class_name": key.upper(), "config": {key: float(value)}}
        elif isinstance(known, dict) and key not in known["config"]:
            config = {"l1": 0.0, "l2": 0.0, **known["config"], key: float(value)}
            self.found[field] = {"class_name": "L1L2", "config": config}
        else:
            raise UsageError(f"{self.text}: {key} is given twice; give it once")

    def _check_required(self) -> None:
        for key in REQUIRED.get(self.class_name) or names.LAYER_REQUIRED.get(self.class_name, ()):
            if key not in self.found:
                example = EXAMPLES.get(self.class_name, f"{self.kind}:{key}=VALUE")
                raise UsageError(f"{self.text}: {self.kind} needs {key}; write {example}")
