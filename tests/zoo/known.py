"""Faults that are known and accepted for now, and models that htsr refuses: each with its reason. The run fails for all others."""

import re

# (regular expression of the model type, kind of fault or "refused", regular expression of the sentence, why).
KNOWN = []


def is_known(name, kind, sentence):
    model_type = name.partition(":")[0]
    return any(
        re.fullmatch(types, model_type) and kind == kinds and re.search(pattern, sentence)
        for types, kinds, pattern, _ in KNOWN
    )
