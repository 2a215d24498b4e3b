"""What single models need beside the rules of `shrink.py`: data only."""

RESNET = {"model_type": "resnet", "embedding_size": 16, "out_features": ["stage2", "stage3", "stage4"]}
VIT_OF_TIMM = {
    "model_type": "timm_wrapper",
    "architecture": "vit_tiny_patch16_224",
    "model_args": {"depth": 2, "embed_dim": 64, "num_heads": 4, "verbatim": None},
}
DETECTOR = {"backbone_config": RESNET}
STAGES_OF_HGNET = {"stage_in_channels": [48, 16, 32, 64], "out_features": ["stage2", "stage3", "stage4"]}
D_FINE = {"backbone_config": STAGES_OF_HGNET, "encoder_in_channels": [32, 64, 128]}
SAM2_BACKBONE = {
    "window_positional_embedding_background_size": [2, 2],
    "global_attention_blocks": [2],
    "blocks_per_stage": [1, 2, 2, 2],
    "embed_dim_per_stage": [16, 32, 64, 128],
    "num_attention_heads_per_stage": [1, 2, 4, 8],
    "hidden_size": 16,
}
SAM2_VISION = {"backbone_channel_list": [128, 64, 32, 16], "backbone_config": SAM2_BACKBONE}
CODEC = {"num_filters": 4, "upsampling_ratios": [4, 2]}
DAC = {"encoder_hidden_size": 8, "decoder_hidden_size": 64, "downsampling_ratios": [2, 4], "upsampling_ratios": [4, 2], "hidden_size": 32}
VIBEVOICE = {"num_filters": 4, "downsampling_ratios": [2, 4], "depths": [2, 2, 2]}
EFFICIENTNET = {"width_coefficient": 0.25, "depth_coefficient": 1.0}
TEXT, VISION = {"model_type": "bert"}, {"model_type": "vit"}
DECODER = {"model_type": "bert", "is_decoder": True, "add_cross_attention": True}
SPEECH = {"model_type": "wav2vec2"}
MUSICGEN = {
    "decoder": {"model_type": "musicgen_decoder"},
    "text_encoder": {"model_type": "t5"},
    "audio_encoder": {"model_type": "encodec", **CODEC},
}
FORECAST = {"prediction_length": 4}
GEMMA3N = {"num_kv_shared_layers": 1, "layer_types": ["full_attention", "sliding_attention", "sliding_attention"]}
GEMMA4_EXPERTS = {"num_experts": 4, "top_k_experts": 2, "moe_intermediate_size": 96}
ROTARY = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 2, 4]}
ROTARY_BY_KIND = {"rope_parameters": {"full_attention": ROTARY, "verbatim": None}}
QWEN4_INDEXER = {
    "indexer_budget": 8,
    "indexer_compress_ratio": 2,
    "indexer_n_heads": 2,
    "indexer_kv_heads": 1,
    "indexer_head_dim": 16,
}
JANUS_IMAGES = {"base_channels": 32, "channel_multiplier": [1, 1], "latent_channels": 32}
ASSISTANT = {"text_config": {"model_type": "gemma4_text"}}

# By `model_type`, values of fields of its configuration; those of a configuration within as a dictionary, whose `model_type` may change
# the class.
OVERRIDES = {
    "align": {"vision_config": EFFICIENTNET},
    "align_vision_model": EFFICIENTNET,
    "autoformer": FORECAST,
    "bark": {"codec_config": {"model_type": "encodec", **CODEC}},
    "beit": {"num_hidden_layers": 4, "out_indices": [0, 1, 2, 3]},
    "bit": {"num_groups": 8},
    "chameleon": {"vq_config": JANUS_IMAGES, "vocabulary_map": {"<image>": 5, "IMGIMGBS": 6, "verbatim": 7}},
    "chmv2": {"post_process_channels": [16, 32, 64, 64]},
    "clap": {"audio_config": {"patch_embeds_hidden_size": 16}},
    "clap_audio_model": {"patch_embeds_hidden_size": 16},
    "cohere_compass": {"text_config": ROTARY_BY_KIND},
    "cohere_compass_text": ROTARY_BY_KIND,
    "conditional_detr": DETECTOR,
    "csm": {"codec_config": CODEC},
    "cvt": {"depth": [2, 2, 3]},
    "d_fine": D_FINE,
    "dab-detr": DETECTOR,
    "dac": DAC,
    "data2vec-vision": {"num_hidden_layers": 4, "out_indices": [0, 1, 2, 3]},
    "dbrx": {"attn_config": {"rope_theta": 1e4}},
    "deepseek_ocr2": {"text_config": {"mlp_layer_types": ["dense", "sparse", "sparse"]}},
    "deformable_detr": DETECTOR,
    "detr": DETECTOR,
    "diffusion_gemma": {"vision_config": {"model_type": "gemma4_vision"}, "text_config": GEMMA4_EXPERTS},
    "dinov3_convnext": {"hidden_sizes": [16, 32, 64, 128], "depths": [2, 2, 2, 2]},
    "dots1": {"n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1},
    "efficientloftr": {"out_features": [16, 16, 32, 64], "stage_num_blocks": [1, 1, 2, 2]},
    "efficientnet": EFFICIENTNET,
    "emu3": {"vq_config": JANUS_IMAGES, "vocabulary_map": {"<image>": 5, "<|extra_200|>": 6, "verbatim": 7}},
    "encodec": CODEC,
    "encoder-decoder": {"encoder": TEXT, "decoder": DECODER},
    "ernie4_5_vl_moe": {"text_config": {"rope_parameters": {**ROTARY, "verbatim": None}}},
    "esm": {"vocab_size": 33, "pad_token_id": 1, "mask_token_id": 32},
    "fast_vlm": {"vision_config": {**VIT_OF_TIMM, "hidden_size": 64}},
    "fun_asr_nano": {"adaptor_config": {"intermediate_size": 16}},
    "gemma3n": {"text_config": GEMMA3N, "vision_config": VIT_OF_TIMM},
    "gemma3n_text": GEMMA3N,
    "gemma4_assistant": {"text_config": {"model_type": "gemma4_text", "hidden_size_per_layer_input": 0, "vocab_size_per_layer_input": 0}},
    "gemma4_text": {**GEMMA4_EXPERTS, "enable_moe_block": True},
    "gemma4_unified_assistant": ASSISTANT,
    "glm5_next": {"text_config": {"num_key_value_heads": 4}},
    "glm5_next_text": {"num_key_value_heads": 4},
    "gpt_neo": {"num_layers": 4, "attention_types": [[["global", "local"], 2]]},
    "granite4_vision": {"text_config": {"model_type": "granite"}, "deepstack_layer_map": [[0, 0], [1, 1]], "downsample_rate": "1/2"},
    "hiera": {"decoder_hidden_size": 64, "decoder_depth": 2, "decoder_num_heads": 4},
    "informer": FORECAST,
    "janus": {"vq_config": JANUS_IMAGES},
    "janus_vqgan": JANUS_IMAGES,
    "kyutai_speech_to_text": {"codec_config": CODEC},
    "lfm2_moe": {"layer_types": ["linear_attention", "full_attention", "linear_attention"], "num_dense_layers": 1},
    "lw_detr": {"backbone_config": {"image_size": 64}},
    "lw_detr_vit": {"image_size": 64},
    "mamba2": {"head_dim": 32},
    "mimi": CODEC,
    "mobilenet_v1": {"depth_multiplier": 0.25},
    "moonshine_streaming": {"num_key_value_heads": 4},
    "moshi": {"audio_encoder_config": CODEC},
    "musicgen": MUSICGEN,
    "musicgen_melody": MUSICGEN,
    "nemotron": {"num_key_value_heads": 2},
    "neucodec": {"downsampling_ratios": [2, 4], "encoder_hidden_size": 8},
    "omdet-turbo": {"backbone_config": RESNET, "encoder_in_channels": [32, 64, 128]},
    "pe_audio": {"audio_config": {"dac_config": DAC}},
    "pe_audio_encoder": {"dac_config": DAC},
    "pe_audio_video": {"audio_video_config": {"audio_config": {"dac_config": DAC}, "video_config": {"vision_config": VIT_OF_TIMM}}},
    "pe_audio_video_encoder": {"audio_config": {"dac_config": DAC}, "video_config": {"vision_config": VIT_OF_TIMM}},
    "pe_video": {"video_config": {"vision_config": VIT_OF_TIMM}},
    "pe_video_encoder": {"vision_config": VIT_OF_TIMM},
    "perception_lm": {"vision_config": VIT_OF_TIMM},
    "qwen3_omni_moe": {"talker_config": {"spatial_merge_size": 2, "text_config": {"shared_expert_intermediate_size": 96}}},
    "qwen4_exp": {"text_config": QWEN4_INDEXER},
    "qwen4_exp_text": QWEN4_INDEXER,
    "reformer": {"is_decoder": True, "axial_pos_embds": False, "attn_layers": ["local", "lsh", "local"]},
    "sam2": {"vision_config": SAM2_VISION},
    "sam2_hiera_det_model": SAM2_BACKBONE,
    "sam2_vision_model": SAM2_VISION,
    "sapiens2": {"head_config": {"upsample_out_channels": [16, 16], "upsample_kernel_sizes": [4, 4], "conv_out_channels": [16],
                                 "conv_kernel_sizes": [1], "verbatim": None}},
    "sam2_video": {"mask_decoder_config": None, "vision_config": SAM2_VISION},
    "seggpt": {"merge_index": 0, "intermediate_hidden_state_indices": [1, 2]},
    "speech-encoder-decoder": {"encoder": SPEECH, "decoder": DECODER},
    "swiftformer": {"depths": [3, 3, 3, 3]},
    "table-transformer": DETECTOR,
    "time_series_transformer": FORECAST,
    "timm_wrapper": VIT_OF_TIMM,
    "tipsv2_dpt": {"neck_hidden_sizes": [16, 32, 64, 64]},
    "tvp": {"max_img_size": 32, "visual_prompt_size": 4, "num_frames": 2},
    "upernet": {"backbone_config": {"out_features": ["stage1", "stage2", "stage3", "stage4"]}, "auxiliary_in_channels": 64},
    "vibevoice": {"audio_config": VIBEVOICE, "semantic_model_config": VIBEVOICE},
    "vibevoice_acoustic_tokenizer": VIBEVOICE,
    "vibevoice_acoustic_tokenizer_decoder": VIBEVOICE,
    "vibevoice_acoustic_tokenizer_encoder": VIBEVOICE,
    "vibevoice_asr": {"acoustic_tokenizer_encoder_config": VIBEVOICE, "semantic_tokenizer_encoder_config": VIBEVOICE},
    "vision-encoder-decoder": {"encoder": VISION, "decoder": DECODER},
    "vision-text-dual-encoder": {"vision_config": VISION, "text_config": TEXT},
    "wav2vec2-bert": {"vocab_size": 32},
    "wav2vec2-conformer": {"vocab_size": 32},
    "xcodec": {"acoustic_model_config": DAC},
    "xcodec2": {"downsampling_ratios": [2, 4], "encoder_hidden_size": 8},
    "zamba": {"num_hidden_layers": 5, "layers_block_type": ["linear_attention"] * 2 + ["hybrid", "linear_attention", "hybrid"]},
}

NATTEN, CONVOLUTIONS = "needs natten", "convolutions only, and larger than the others"
REPVIT = "its backbone is on the hub only"
# Types that are not built, or single classes of a type, and why.
SKIPPED = {
    "dinat": NATTEN,
    "edgetam": REPVIT,
    "edgetam_video": REPVIT,
    "edgetam_vision_model": REPVIT,
    "gemma3n_vision": "a model of timm with 300 million parameters",
    "higgs_audio_v2_tokenizer": "needs torchaudio",
    "layoutlmv2": "needs detectron2",
    "pp_lcnet_v3": CONVOLUTIONS,
    "pp_ocrv5_mobile_det": CONVOLUTIONS,
    "pp_ocrv5_mobile_rec": CONVOLUTIONS,
    "pp_ocrv5_server_det": CONVOLUTIONS,
    "pp_ocrv6_medium_det": CONVOLUTIONS,
    "pp_ocrv6_small_det": CONVOLUTIONS,
    "reformer:ReformerForMaskedLM": "needs another configuration than the language model",
    "t5gemma2_encoder": "a part of t5gemma2, not built alone",
    "timm_backbone": "has no default architecture",
    "univnet": CONVOLUTIONS,
    "uvdoc": CONVOLUTIONS,
    "uvdoc_backbone": CONVOLUTIONS,
}

# Types whose configuration counts layers in another way than the module tree.
OTHER_DEPTHS = {
    "albert": "its layers share one block",
    "align_vision_model": "counts convolutions",
    "clap": "a sum of two towers",
    "efficientnet": "counts convolutions",
    "funnel": "a sum of three stages",
    "hgnet_v2": "a stage is a list of lists of convolutions",
    "hrm_text": "a product of loops",
    "levit": "a block has two layers",
    "longcat_flash": "a block counts as two layers",
    "pp_lcnet": "its first stage is a convolution",
}
