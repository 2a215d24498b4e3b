"""Builds tiny models of transformers with random weights, from their configuration classes."""

import warnings

import torch
import transformers
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING, CONFIG_MAPPING_NAMES

import families
import shrink

# A model may not have more elements than this: 4 bytes each.
MOST_ELEMENTS = 6_000_000

# The class of a type is the first of these that transformers has for it: those with the most parts come first.
TASKS = [
    "IMAGE_TEXT_TO_TEXT", "MULTIMODAL_LM", "SEQ_TO_SEQ_CAUSAL_LM", "SPEECH_SEQ_2_SEQ", "CAUSAL_LM", "MASKED_LM", "OBJECT_DETECTION",
    "ZERO_SHOT_OBJECT_DETECTION", "UNIVERSAL_SEGMENTATION", "INSTANCE_SEGMENTATION", "SEMANTIC_SEGMENTATION", "IMAGE_SEGMENTATION",
    "DEPTH_ESTIMATION", "MASK_GENERATION", "CTC", "RNNT", "TDT", "TEXT_TO_SPECTROGRAM", "TEXT_TO_WAVEFORM", "PRETRAINING",
    "MASKED_IMAGE_MODELING", "IMAGE_CLASSIFICATION", "VIDEO_CLASSIFICATION", "AUDIO_CLASSIFICATION", "KEYPOINT_MATCHING",
    "TIME_SERIES_PREDICTION", "SEQUENCE_CLASSIFICATION", "TOKEN_CLASSIFICATION", "QUESTION_ANSWERING",
]
VARIANTS = ["CAUSAL_LM", "MASKED_LM", "BASE"]


def tasks():
    """The tables of classes, by name of the task."""
    tables = {name: getattr(modeling_auto, f"MODEL_FOR_{name}_MAPPING_NAMES", {}) for name in TASKS}
    rest = [name for name in vars(modeling_auto) if name.endswith("_MAPPING_NAMES") and name.startswith("MODEL_FOR_")]
    for name in sorted(rest):
        tables.setdefault(name[len("MODEL_FOR_"):-len("_MAPPING_NAMES")], getattr(modeling_auto, name))
    tables["BASE"] = modeling_auto.MODEL_MAPPING_NAMES
    return tables


def candidates():
    """(model type, names of its classes) of everything that can be tried. The first class that fits the configuration is built."""
    tables, result, seen = tasks(), [], set()
    for model_type in sorted(set(CONFIG_MAPPING_NAMES) - set(families.SKIPPED)):
        names = [table[model_type] for table in tables.values() if model_type in table]
        names = [name if isinstance(name, str) else name[0] for name in names]
        key = (CONFIG_MAPPING_NAMES[model_type], *names)
        if names and key not in seen:
            seen.add(key)
            result.append((model_type, list(dict.fromkeys(names))))
    return result


def variants(model_type, names, first):
    """Other classes of the type than `first` whose tensors have other names: language models, and the model without a head."""
    tables = tasks()
    wanted = [tables[task].get(model_type) for task in VARIANTS]
    wanted = [name if isinstance(name, (str, type(None))) else name[0] for name in wanted]
    allowed = [name for name in dict.fromkeys(wanted) if name and f"{model_type}:{name}" not in families.SKIPPED]
    classes = [getattr(transformers, name) for name in allowed if hasattr(transformers, name)]
    return [kind for kind in classes if kind is not first and kind.config_class is first.config_class]


def model_class(model_type, names):
    """The first of the classes that is made for this configuration, not for one within it."""
    config_class = CONFIG_MAPPING[model_type]
    classes = [getattr(transformers, name) for name in names if hasattr(transformers, name)]
    return next((one for one in classes if one.config_class is config_class), next(iter(classes), None))


def configuration(model_type):
    config_class = CONFIG_MAPPING[model_type]
    overrides = families.OVERRIDES.get(model_type, {})
    arguments = shrink.tiny(config_class, overrides)
    arguments.pop("model_type")
    return config_class(**arguments)


def model(model_type, kind, seed=0):
    """The tiny model of this class in f32. Normal deviates fill all parameters and buffers, so that no two tensors are equal."""
    config = configuration(model_type)
    refuse_large(kind, config)
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = kind(config).float().eval()
    with torch.no_grad():
        for values in (*result.parameters(), *result.buffers()):
            if values.is_floating_point():
                values.normal_(0, 0.05)
    return result


def refuse_large(kind, config):
    """Raises an error with the largest parameters, for a line in `families.py`, before the memory is needed."""
    try:
        with torch.device("meta"):
            shell = kind(config)
    except Exception:  # Some models compute with values while they are built. Their size is not checked.
        return
    count = sum(parameter.numel() for parameter in shell.parameters())
    if count > MOST_ELEMENTS:
        largest = sorted(shell.named_parameters(), key=lambda item: -item[1].numel())[:4]
        shapes = ", ".join(f"{name} {list(parameter.shape)}" for name, parameter in largest)
        raise ValueError(f"too large: {count} elements ({shapes})")


def save(built, folder):
    folder.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        built.save_pretrained(folder)
