"""The pieces of ``dltool pseudo-label``: scores, rounds, questions for people, lists of paths."""
