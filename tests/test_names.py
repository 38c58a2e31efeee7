"""The list of names that help and completion use is the one in the registries."""

from tests import regenerate_names


def test_names_are_up_to_date():
    written = regenerate_names.TARGET.read_text(encoding="utf-8")
    assert regenerate_names.text() == written, "run: python tests/regenerate_names.py"


def test_every_option_has_a_kind_that_layer_words_understand():
    from dltool import names

    used = {kind for options in names.LAYERS.values() for kind in options.values()}
    assert used <= {"int", "number", "numbers", "flag", "size", "text", "layer"}
