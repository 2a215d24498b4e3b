"""Exports a tiny Llama to each tool and reads the export with that tool."""

import csv
import io
import json
import os
import pathlib
import pty
import re
import shlex
import subprocess
import tempfile
import unittest
import warnings

import numpy
import torch
import yaml
from transformers import LlamaConfig, LlamaForCausalLM, LlamaModel

ROLES = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
         "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]
LAYERS = 11  # with 11 layers, sorting by text would place layer 10 before layer 9

folder = None


def setUpModule():
    global folder
    temporary = tempfile.TemporaryDirectory()
    unittest.addModuleCleanup(temporary.cleanup)
    folder = pathlib.Path(temporary.name)
    torch.manual_seed(0)
    config = LlamaConfig(hidden_size=32, intermediate_size=48, num_hidden_layers=LAYERS, num_attention_heads=4,
                         num_key_value_heads=2, vocab_size=50, max_position_embeddings=64)
    LlamaForCausalLM(config).save_pretrained(folder / "tiny")
    htsr("score", folder / "tiny", "-o", folder / "scores.json")


def htsr(*arguments, code=0):
    command = [os.environ["HTSR"], *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    assert ended.returncode == code, ended.stderr.decode()
    return ended.stdout


def export(target, *options, file=None):
    """Returns the export as bytes, or writes it to `file` and returns the path."""
    if file is None:
        return htsr("export", folder / "scores.json", "--to", target, *options)
    htsr("export", folder / "scores.json", "--to", target, *options, "-o", folder / file)
    return folder / file


def allocation(*options):
    """Returns the rows of `htsr allocate` by module name, and the whole allocation."""
    report = json.loads(htsr("allocate", folder / "scores.json", *options, "--format", "json"))
    rows = {}
    for matrix in report["matrices"]:
        belongs = lambda row: all(row[key] in (None, matrix[key]) for key in ("layer", "role", "tensor"))
        [rows[matrix["tensor"].removesuffix(".weight")]] = filter(belongs, report["allocation"]["rows"])
    assert len(rows) == LAYERS * len(ROLES)
    return rows, report["allocation"]


def tiny(kind=LlamaForCausalLM):
    return kind.from_pretrained(folder / "tiny")


def python_of(heading):
    """Returns the code under a heading of docs/exports.md, so that the tests run the code that users copy."""
    text = (pathlib.Path(__file__).parents[2] / "docs/exports.md").read_text()
    section = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.search(r"```python\n(.*?)```", section, re.S).group(1)


class Peft(unittest.TestCase):
    def attached(self, *options):
        from peft import LoraConfig, get_peft_model

        arguments = json.loads(export("peft", *options))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model = get_peft_model(tiny(), LoraConfig(**arguments))
        modules = {name.removeprefix("base_model.model."): module
                   for name, module in model.named_modules() if hasattr(module, "lora_A")}
        return model, modules

    def test_every_module_has_its_rank_and_scaling(self):
        for options in [["--rank", "6"], ["--rank", "6", "--group", "matrix", "--lora-scaling", "2"],
                        ["--rank", "4", "--group", "role", "--lora-alpha", "3"], ["--lora-scaling", "0.5"]]:
            options = ["--allocate", "rank", *options]
            rows, allocated = allocation(*options)
            model, modules = self.attached(*options)
            self.assertEqual(set(modules), set(rows))
            for name, module in modules.items():
                rank = rows[name]["value"]
                self.assertEqual(module.lora_A["default"].weight.shape[0], rank, name)
                self.assertEqual(module.lora_B["default"].weight.shape[1], rank, name)
                self.assertAlmostEqual(module.scaling["default"], rows[name]["lora_alpha"] / rank)
            self.assertGreater(len({row["value"] for row in rows.values()}), 1)
            trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
            self.assertEqual(trainable, allocated["budget"]["met"])

    def test_modules_without_a_score_get_no_adapter(self):
        htsr("score", folder / "tiny", "--layers", "0-3", "-o", folder / "some.json")
        arguments = json.loads(htsr("export", folder / "some.json", "--to", "peft", "--allocate", "rank"))
        from peft import LoraConfig, get_peft_model

        model = get_peft_model(tiny(), LoraConfig(**arguments))
        adapted = {name for name, module in model.named_modules() if hasattr(module, "lora_A")}
        expected = {f"base_model.model.model.layers.{layer}.{role}" for layer in range(4) for role in ROLES}
        self.assertEqual(adapted, expected)

    def test_the_check_in_the_documentation_finds_patterns_that_miss(self):
        check = python_of("peft").replace('"lora.json"', "file")
        file = export("peft", "--allocate", "rank", file="lora.json")
        exec(check, {"base": tiny(), "file": file})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with self.assertRaisesRegex(AssertionError, r"patterns that miss: \['\^model"):
                exec(check, {"base": tiny(LlamaModel), "file": file})
        file = export("peft", "--allocate", "rank", "--rename", "model.=", file="lora.json")
        exec(check, {"base": tiny(LlamaModel), "file": file})


class Axolotl(unittest.TestCase):
    def test_its_schema_reads_the_patterns(self):
        from axolotl.utils.schemas.peft import LoraConfig

        options = ["--allocate", "rank", "--group", "matrix", "--lora-scaling", "2"]
        lines = yaml.safe_load(export("axolotl", *options))
        config = LoraConfig(**lines)
        peft = json.loads(export("peft", *options))
        self.assertEqual(config.adapter, "lora")
        self.assertEqual((config.lora_r, config.lora_alpha), (peft["r"], peft["lora_alpha"]))
        self.assertEqual(config.lora_target_modules, peft["target_modules"])
        self.assertEqual(config.lora_rank_pattern, peft["rank_pattern"])
        self.assertEqual(config.lora_alpha_pattern, peft["alpha_pattern"])
        # The schema ignores unknown keys, so check that it knows every key.
        self.assertLessEqual(set(lines), set(LoraConfig.model_fields))


class Mola(unittest.TestCase):
    def test_its_command_line_reads_the_lists(self):
        import fire

        def train(lora_r="8,8", number_experts="2,2", top_k="2,2"):
            return [[int(number) for number in numbers] for numbers in (lora_r, number_experts, top_k)]

        ranks, _ = allocation("--allocate", "rank")
        experts, allocated = allocation("--experts", "60")
        line = export("mola", "--allocate", "rank") + export("mola", "--allocate", "alphalora", "--experts", "60")
        numbers = fire.Fire(train, shlex.split(line.decode()))
        first = [f"model.layers.{layer}.mlp.up_proj" for layer in range(LAYERS)]
        self.assertEqual(numbers[0], [ranks[name]["value"] for name in first])
        self.assertEqual(numbers[1], [experts[name]["value"] for name in first])
        self.assertEqual(numbers[2], [experts[name]["top_k"] for name in first])
        self.assertEqual(sum(numbers[1]), 60)


class AlphaPruning(unittest.TestCase):
    def test_numpy_loads_the_alphas_in_the_order_of_the_modules(self):
        alphas = numpy.load(export("alphapruning", file="alpha_peak.npy"), allow_pickle=False)
        self.assertEqual((alphas.dtype, alphas.shape), (numpy.dtype("float64"), (LAYERS * len(ROLES),)))
        scores = json.loads((folder / "scores.json").read_text())
        by_name = {matrix["tensor"]: matrix["alpha"] for matrix in scores["matrices"]}
        # AlphaPruning expects the order of torch's modules.
        names = [name for name, module in tiny().model.layers.named_modules() if isinstance(module, torch.nn.Linear)]
        self.assertEqual(list(alphas), [by_name[f"model.layers.{name}.weight"] for name in names])
        self.assertEqual(numpy.load(io.BytesIO(export("alphapruning"))).tolist(), alphas.tolist())

    def test_its_formula_on_the_file_gives_our_sparsities(self):
        """Applies equation 4 of arXiv 2410.10912 to each block of the exported alphas."""
        alphas = numpy.load(export("alphapruning", file="alpha_peak.npy")).reshape(LAYERS, len(ROLES)).mean(axis=1)
        ratios = (alphas - alphas.min()) / (alphas.max() - alphas.min()) * 0.6 + 0.7
        sparsities = ratios * 0.5 / ratios.mean()  # all blocks have the same size
        rows, _ = allocation("--allocate", "alphapruning", "--sparsity", "0.5")
        ours = [rows[f"model.layers.{layer}.mlp.up_proj"]["value"] for layer in range(LAYERS)]
        numpy.testing.assert_allclose(ours, sparsities, rtol=1e-12)


class LlmCompressor(unittest.TestCase):
    def pruned(self, recipe):
        """Prunes by `recipe` and returns the share of zeros in every linear module."""
        from datasets import Dataset
        from llmcompressor import oneshot
        from tokenizers import Tokenizer, models
        from transformers import PreTrainedTokenizerFast

        tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0}, unk_token="a")))
        tokens = torch.randint(50, (2, 48), generator=torch.Generator().manual_seed(1)).tolist()
        data = Dataset.from_dict({"input_ids": tokens, "attention_mask": [[1] * 48] * 2})
        model = tiny()
        oneshot(model=model, processor=tokenizer, dataset=data, recipe=str(recipe), max_seq_length=48,
                num_calibration_samples=2)
        linear = {name: module.weight for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
        return {name: (weight == 0).double().mean().item() for name, weight in linear.items()}

    def test_the_recipe_is_parsed(self):
        from llmcompressor.recipe import Recipe

        file = export("llm-compressor", "--allocate", "alphapruning", "--sparsity", "0.6", file="recipe.yaml")
        [modifier] = Recipe.create_instance(str(file)).modifiers
        rows, _ = allocation("--allocate", "alphapruning", "--sparsity", "0.6")
        self.assertEqual(type(modifier).__name__, "SparseGPTModifier")
        self.assertEqual(modifier.targets, [f"model.layers.{layer}" for layer in range(LAYERS)])
        self.assertEqual(modifier.sparsity, [rows[f"{name}.mlp.up_proj"]["value"] for name in modifier.targets])

    def test_every_layer_is_pruned_to_its_sparsity(self):
        htsr("score", folder / "tiny", "--exclude", "layers.4.mlp.up_proj", "-o", folder / "some.json")
        options = ["--allocate", "alphapruning", "--sparsity", "0.5"]
        htsr("export", folder / "some.json", "--to", "llm-compressor", *options, "-o", folder / "recipe.yaml")
        report = json.loads(htsr("allocate", folder / "some.json", *options, "--format", "json"))
        sparsities = {row["layer"]: row["value"] for row in report["allocation"]["rows"]}
        zeros = self.pruned(folder / "recipe.yaml")
        self.assertEqual(zeros.pop("lm_head"), 0.0)
        self.assertEqual(zeros.pop("model.layers.4.mlp.up_proj"), 0.0)
        for name, share in zeros.items():
            self.assertAlmostEqual(share, sparsities[int(name.split(".")[2])], delta=2e-3, msg=name)
        self.assertGreater(max(zeros.values()) - min(zeros.values()), 0.2)

    def test_every_matrix_is_pruned_to_its_sparsity(self):
        options = ["--allocate", "alphapruning", "--sparsity", "0.5", "--group", "matrix"]
        zeros = self.pruned(export("llm-compressor", *options, file="recipe.yaml"))
        rows, _ = allocation(*options)
        for name, row in rows.items():
            self.assertAlmostEqual(zeros[name], row["value"], delta=2e-3, msg=name)


class Optimizer(unittest.TestCase):
    def test_torch_gets_a_group_for_each_number(self):
        code = {}
        exec(python_of("optimizer"), code)
        for rule, what, group in [("tempbalance", "lr", "matrix"), ("alphadecay", "weight_decay", "layer"),
                                  ("tempbalance", "lr", "role")]:
            options = ["--rule", rule, "--group", group]
            file = export("optimizer", *options, file="groups.json")
            rows, _ = allocation(*options)
            model, usual = tiny(), {"lr": 1e-3, "weight_decay": 0.1}
            optimizer = torch.optim.AdamW(code["parameter_groups"](model, file, **usual))
            found = {id(parameter): group for group in optimizer.param_groups for parameter in group["params"]}
            for name, parameter in model.named_parameters():
                row = rows.get(name.removesuffix(".weight"))
                factor = row["value"] if row else 1.0
                expected = {**usual, what: usual[what] * factor}
                self.assertEqual({key: found[id(parameter)][key] for key in usual}, expected, name)


class Tables(unittest.TestCase):
    def test_pyarrow_reads_the_values_of_the_csv(self):
        from pyarrow import parquet

        for options in [[], ["--by", "matrix"], ["--allocate", "rank", "--group", "role"]]:
            table = parquet.read_table(export("parquet", *options, file="table.parquet"))
            lines = list(csv.DictReader(io.StringIO(export("csv", *options).decode())))
            self.assertEqual(table.column_names, list(lines[0]))
            self.assertEqual(table.num_rows, len(lines))
            for ours, theirs in zip(lines, table.to_pylist()):
                for name, value in theirs.items():
                    text = ours[name]
                    self.assertEqual(value, None if text == "" else type(value)(text), name)
            provenance = json.loads(table.schema.metadata[b"htsr"])
            self.assertEqual(provenance["input"]["path"], str(folder / "tiny"))
        types = {field.name: str(field.type) for field in parquet.read_schema(folder / "table.parquet")}
        self.assertEqual([types[name] for name in ("role", "alpha", "rank", "held")], ["string", "double", "int64", "null"])

    def test_the_json_equals_that_of_allocate(self):
        ours = export("json", "--allocate", "rank")
        self.assertEqual(ours, htsr("allocate", folder / "scores.json", "--allocate", "rank", "--format", "json"))


class Terminal(unittest.TestCase):
    def test_binary_output_is_not_written_to_a_terminal(self):
        for target, code in [("parquet", 2), ("alphapruning", 2), ("mola", 0)]:
            ours, theirs = pty.openpty()
            command = [os.environ["HTSR"], "export", folder / "scores.json", "--to", target]
            ended = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, check=False)
            os.close(theirs)
            os.close(ours)
            self.assertEqual(ended.returncode, code, ended.stderr)
            if code == 2:
                self.assertIn(b"which is binary, to a terminal", ended.stderr)
                self.assertIn(b"hint: use --output FILE", ended.stderr)


if __name__ == "__main__":
    unittest.main()
