"""Makes configurations tiny: every field that is a size gets a small value, also in the configurations within.

The rules go by the name of a field, so that they hold for models that nobody has looked at. What they get wrong for one model is
corrected in `families.py`.
"""

import dataclasses
import re

from transformers.configuration_utils import PreTrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING, AutoConfig

LAYERS, HEADS, EXPERTS, WIDTH, INNER, WORDS, POSITIONS = 3, 4, 4, 64, 96, 128, 64

# The first pattern that matches the whole name of a field decides. A value is never made larger.
SIZES = [
    (r".*vocab\w*|.*(num|n)_(labels|classes|character_labels|bpe_labels|wordpiece_labels)", WORDS),
    (r"(.*_)?(num|n)_(codebooks|quantizers|code_groups)", 2),
    (r".*(codebook_size|num_embeddings|num_embeds|hash_buckets|spkrs|langs|num_clusters)", POSITIONS),
    (r"(.*_)?(num_)?global_layers", 2),
    (r"(.*_)?(num_)?(hidden_|spatial_|attn_|add_)?layers|(.*_)?n_layers?|(.*_)?(depth|num_blocks|num_mel_attn_blocks)", LAYERS),
    (r".*num_self_attends_per_block", LAYERS),
    (r"(.*_)?(num_)?(key_value|kv|key_value_attention|kv_attention)_heads|(.*_)?n_kv_heads?", 2),
    (r"(.*_)?(heads?|num_heads|n_heads?|nhead|num_attn_heads)|.*attention_heads|layers_heads", HEADS),
    (r"(.*_)?(experts_per_tok(en)?|moe_k|moe_topk|num_selected_experts|top_k_experts|experts_topk|expert_top_k|router_top_k)", 2),
    (r"(.*_)?(num_(local_|shared_|null_)?experts|n_(routed|shared)_experts|experts_num|num_moe_experts|zero_expert_num)", EXPERTS),
    (r"(.*_)?(n_group|topk_group|num_expert_group|n_groups)", 2),
    (r".*(intermediate|inner|ffn|ff|feedforward|feed_forward|mlp|linear_unit)\w*|(.*_)?(d_ff|dff|d_inner|ffn_dim|dim_ff)", INNER),
    (r".*head_dim|head_dim|(.*_)?(d_kv|d_head|kv_channels|dim_head|head_size|attention_head_size|v_head_dim)", WIDTH // HEADS),
    (r"(.*_)?(rank|lowrank)|rotary_dim", WIDTH // HEADS),
    (r"(.*_)?(d_state|state_size|ssm_state_size)", 16),
    (r".*(hidden_size|hidden_dim|d_model|embed_dim|emb_dim|embd|embedding_size|embeds_hidden_size|emb_size|embedding_dim|"
     r"projection_dim|proj_dim|output_dim|out_dim|input_dim|in_dim|proj_size|feat_size|feat_dim|dim|width|units|hidden_units|"
     r"hidden_size_global|channels?|hidden_size_per_layer_input|output_size|out_hidden_size|feature_size|filters|features|"
     r"feature_pool_size|upsample_groups|d_latents|visual_dim|out_features_size|retrieval_vector_size|hidden)", WIDTH),
    (r".*(positions?|position_embeddings|_len|_length|max_seq_len|n_ctx|n_positions|seq_length|max_pos_emb|num_patches|"
     r"max_xpath\w*|max_rel\w*pos|max_text_tokens|context_size|num_queries|num_query_tokens|n_latents|num_latents|"
     r"query_num|tokens_per_image|temporal_embeddings|max_img_size|denoising|num_proposals|relative_residx_bins)", POSITIONS),
    (r"(.*_)?(image_size|img_size|resolution|pretrain_image_size|spec_size)", 32),
    (r"(.*_)?patch_size|(.*_)?patch_stride", 8),
    (r"(.*_)?(num_conv_pos_embeddings|num_conv_pos_embedding_groups)", 16),
    (r".*mel_bins|.*mel_channels", 16),
]
# Lists of sizes: one entry for each stage, or for each layer of a stack of convolutions.
STAGE_DEPTHS = r"(.*_)?(depths|block_sizes|stage_num\w*|n_attn_blocks|num_blocks|depth|layers|num_hidden_layers|blocks_per_stage)"
STAGE_HEADS = r"(.*_)?(num_heads|num_attention_heads|heads)(_per_stage)?"
STAGE_WIDTHS = r".*(hidden_sizes|embed_dims?|dims|channels|hidden_size|feature_dims|hidden_dims|conv_dim|tdnn_dim|units|embed_dim|dim_per_stage)"
LAYER_NUMBERS = r".*(indexes|indices|extract_layers|hook_ids|layer_ids|visual_indexes|full_attention_layers|feature_layers)"
TOKEN = r".*token_?(id|index|ids)?|.*_(id|ids)|mask_index|.*_token_index"


def tiny(config_class, overrides=None):
    """The keyword arguments that make a tiny configuration of this class.

    `overrides`: values by name of field; those of a configuration within as a dictionary, whose `model_type` may change its class.
    """
    overrides = dict(overrides or {})
    kind = overrides.pop("model_type", None)
    config_class = CONFIG_MAPPING[kind] if kind else config_class
    return {"model_type": config_class.model_type, **arguments(config_class, overrides)}


def arguments(config_class, overrides):
    default = vars(instance(config_class, overrides))
    fields = field_names(config_class)
    result = {name: small for name in fields if (small := smaller(name, field_default(config_class, name))) is not None}
    result.update(layer_kinds(fields, default))
    result.update(rotary(fields, default))
    if {"depths", "embed_dim"} <= result.keys() and isinstance(result["embed_dim"], int):
        result["embed_dim"] = WIDTH // 4  # It doubles with every stage.
    for name, value in default.items():
        kind = config_class.sub_configs.get(name)
        if value is None and kind is not None and kind is not AutoConfig:
            result[name] = tiny(kind, overrides.get(name))
        if isinstance(value, PreTrainedConfig) and overrides.get(name, {}) is not None:
            inner = overrides.get(name) or {}
            result[name] = {**flags(value), **tiny(type(value), inner)}
    return {**result, **plain(overrides)}


def plain(overrides):
    """The overrides that are no configurations."""
    result = {}
    for name, value in overrides.items():
        if not isinstance(value, dict):
            result[name] = value
        elif "verbatim" in value:  # A plain dictionary.
            result[name] = {key: item for key, item in value.items() if key != "verbatim"}
    return result


def layer_kinds(fields, default):
    """Lists with the kind of each layer, so short that each kind is there once, and the number of layers."""
    lists = {
        name: value
        for name, value in default.items()
        if isinstance(value, (list, tuple)) and value and all(isinstance(item, str) for item in value)
        and name in fields and re.search(r"layer|block", name) and len(value) == default.get("num_hidden_layers")
    }
    if not lists or "num_hidden_layers" not in fields:
        return {}
    count = max([LAYERS] + [len(set(value)) for value in lists.values()])
    return {"num_hidden_layers": count, **{name: each_kind(list(value), count) for name, value in lists.items()}}


def each_kind(kinds, count):
    """The first `count` entries, where the last ones are replaced by kinds that are not among them."""
    result = kinds[:count]
    for kind in dict.fromkeys(kinds):
        repeated = [place for place in range(len(result)) if result[place] in result[:place]]
        if kind not in result and repeated:
            result[repeated[-1]] = kind
    return result


def rotary(fields, default):
    """The sections of rotary embeddings of several dimensions must add up to half of the size of a head."""
    for name in ("rope_parameters", "rope_scaling"):
        value = default.get(name)
        if name in fields and isinstance(value, dict) and "mrope_section" in value:
            return {name: {**value, "mrope_section": [2, 2, 4]}}
    return {}


def instance(config_class, overrides):
    """A configuration with the default values, to see which configurations it contains."""
    kinds = {name: plain(value) for name, value in overrides.items() if isinstance(value, dict) and "model_type" in value}
    return config_class(**kinds)


# Fields that say nothing about sizes.
BOOKKEEPING = {"transformers_version", "architectures", "id2label", "label2id", "dtype", "return_dict", "problem_type"}


def field_names(config_class):
    return [field.name for field in dataclasses.fields(config_class) if field.name not in BOOKKEEPING]


def field_default(config_class, name):
    for field in dataclasses.fields(config_class):
        if field.name == name:
            if field.default is not dataclasses.MISSING:
                return field.default
            if field.default_factory is not dataclasses.MISSING:
                return field.default_factory()
    return None


def flags(config):
    """Switches of a configuration within that differ from the default of its class, and the stages that it gives to the model."""
    result = {}
    for name in field_names(type(config)):
        value = vars(config).get(name)
        if isinstance(value, (bool, str)) and value != field_default(type(config), name):
            result[name] = value
    if getattr(config, "depths", None) and getattr(config, "out_features", None):
        result["out_features"] = list(config.out_features)
    return result


def smaller(name, value):
    """A small value for the field, or `None` if its default stays."""
    if name == "head_dim" and value is None:
        return WIDTH // HEADS
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return smaller_size(name, value)
    if isinstance(value, (list, tuple)) and value and all(type(item) is int for item in value):
        return smaller_list(name, list(value))
    return None


def smaller_size(name, value):
    if re.fullmatch(TOKEN, name) and value >= WORDS - 32:
        return WORDS - 1 - sum(map(ord, name)) % 30
    for pattern, size in SIZES:
        if re.fullmatch(pattern, name):
            return size if value > size else None
    return None


def smaller_list(name, values):
    if re.fullmatch(TOKEN, name):
        return [number % WORDS for number in values]
    if re.fullmatch(LAYER_NUMBERS, name):
        return list(range(min(len(values), LAYERS - 1)))
    if re.fullmatch(STAGE_DEPTHS, name):
        return [min(depth, 2) for depth in values]
    if re.fullmatch(STAGE_HEADS, name):
        return [2 ** min(stage, 3) for stage in range(len(values))]
    if re.fullmatch(STAGE_WIDTHS, name) and min(values) >= 16:
        if len(set(values)) == 1:
            return [min(values[0], WIDTH)] * len(values)
        return [16 * 2 ** min(stage, 3) for stage in range(len(values))]
    if re.fullmatch(r".*(image_size|img_size)", name):
        return [min(size, 32) for size in values]
    if re.fullmatch(r".*patch_size", name):
        return [min(size, 8) for size in values]
    return None
