#!/usr/bin/env python3
"""Makes the adapter in this folder with PEFT, and computes the expected results of `htsr` from the dense updates with numpy.

    pip install numpy torch transformers peft && python3 tests/data/adapter/expected.py

The weights come from a fixed seed; nothing is trained. The updates are PEFT's own `scaling` times B A, computed in f64. Their
spectra come from LAPACK's SVD. The rules are implemented independently from their definitions. Only the r largest
eigenvalues are used: the others are zero because the rank is r.
"""
import json
import pathlib
import shutil
import tempfile

import numpy
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

HERE = pathlib.Path(__file__).parent
PREFIX = "base_model.model."


def model():
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=16, tie_word_embeddings=False,
    )
    return LlamaForCausalLM(config)


def make(folder):
    config = LoraConfig(
        r=12,
        lora_alpha=24,
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
        modules_to_save=["lm_head"],
        rank_pattern={"v_proj": 9, r"layers\.0\.mlp\.down_proj": 4, "^model.layers.1.self_attn.q_proj": 16},
        alpha_pattern={"layers.1.self_attn.q_proj": 5, "up_proj|gate_proj": 40},
    )
    adapted = get_peft_model(model(), config)
    generator = numpy.random.default_rng(5)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                rank = min(parameter.shape)
                values = generator.standard_normal(parameter.shape) * 0.05
                # Directions of unequal weight, as in a trained adapter.
                weights = numpy.arange(1, rank + 1) ** -0.6
                values *= weights[:, None] if "lora_A" in name else weights[None, :]
                parameter.copy_(torch.tensor(values))
    adapted.save_pretrained(folder)


def alpha(x, start):
    tail = numpy.log(x[start:] / x[start])
    return 1 + len(tail) / tail.sum()


def distance(x, start):
    n = len(x) - start
    fitted = 1 - (x[start:] / x[start]) ** (1 - alpha(x, start))
    return numpy.abs(fitted - numpy.arange(n) / n).max()


def fits(x):
    """Returns alpha, KS distance and xmin under each rule. `x` is ascending."""
    candidates = range(len(x) - 1)
    logs = numpy.log10(x)
    counts, edges = numpy.histogram(logs, bins=100, range=(logs.min(), logs.max()))
    peak = 10 ** edges[counts.argmax()]
    near = [i for i in candidates if numpy.log10(0.95 * peak) <= x[i] <= 1.5 * peak]
    starts = {
        "peak": min(near, key=lambda i: distance(x, i)),
        "median": len(x) // 2,
        "ks": min(candidates, key=lambda i: distance(x, i)),
    }
    return {rule: {"alpha": alpha(x, i), "ks_distance": distance(x, i), "xmin": x[i]} for rule, i in starts.items()}


def expected(folder):
    matrices = {}
    for name, module in PeftModel.from_pretrained(model(), folder).named_modules():
        if not hasattr(module, "lora_A"):
            continue
        down = module.lora_A["default"].weight.detach().double().numpy()
        up = module.lora_B["default"].weight.detach().double().numpy()
        update = module.scaling["default"] * (up @ down)
        rank = len(down)
        x = numpy.sort(numpy.linalg.svd(update, compute_uv=False)[:rank] ** 2)
        row = {"rows": update.shape[0], "cols": update.shape[1], "rank": rank, "scale": module.scaling["default"],
               "lambda_min": x[0], "lambda_max": x[-1], "trace": x.sum()}
        matrices[name.removeprefix(PREFIX) + ".weight"] = row | (fits(x) if len(x) >= 8 else {})
    return matrices


def main():
    make(HERE)
    (HERE / "README.md").unlink(missing_ok=True)
    results = {"made_by": "tests/data/adapter/expected.py", "lora": expected(HERE)}
    with tempfile.TemporaryDirectory() as other:
        shutil.copy(HERE / "adapter_model.safetensors", other)
        config = json.loads((HERE / "adapter_config.json").read_text()) | {"use_rslora": True}
        (pathlib.Path(other) / "adapter_config.json").write_text(json.dumps(config))
        results["rslora"] = expected(other)
    (HERE / "expected.json").write_text(json.dumps(results, indent=1) + "\n")


main()
