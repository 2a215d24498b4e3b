"""Checks the layers found in a module tree against the numbers of layers in the configuration."""

import collections

from transformers import PreTrainedConfig

import families

NUMBERS = ("num_hidden_layers", "encoder_layers", "decoder_layers")


def check(config, stacks):
    """Raises an error if the configuration of a whole model has a number of layers that no stack of the module tree has."""
    found = [length for entry in stacks.values() if entry["kind"] == "block" for length in lengths(entry["layers"])]
    for part in parts(config):
        if part.model_type in families.OTHER_DEPTHS:
            continue
        for count in collections.Counter(depths(part)) - collections.Counter(found):
            raise ValueError(f"no stack of the module tree has the {count} layers of {part.model_type}, but {found}")


def parts(config):
    """The configuration and all within."""
    yield config
    for value in vars(config).values():
        if isinstance(value, PreTrainedConfig):
            yield from parts(value)


def depths(config):
    """How many layers the stacks have, according to one configuration: one number for each stage, or single numbers."""
    stages = getattr(config, "depths", None)
    if stages:
        return list(stages)
    numbers = (vars(config).get(config.attribute_map.get(name, name)) for name in NUMBERS)
    return list({number for number in numbers if isinstance(number, int) and number > 0})


def lengths(layers):
    """How many layers a stack has: those with parameters, and all up to the last of them."""
    return {len(layers), layers[-1] + 1}
