"""Writes a checkpoint of train.py as GGUF: the trimmed vocabulary, the id maps, and one type for all matrices.

The temperature that evaluate.mjs suggests is folded into the last norm, which scales every logit.
"""

import argparse

import numpy as np
import torch
from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType
from gguf.quants import quantize
from model import EPSILON, HEAD, HEADS, KV_HEADS, MATRICES, ROPE_BASE, WIDTH

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("checkpoint")
parser.add_argument("--type", choices=["Q4_0", "Q8_0"], default="Q4_0")
parser.add_argument("--temperature", type=float, default=1.0, help="logits are divided by it")
parser.add_argument("--name", default="smollm2-135m-draft")
parser.add_argument("--out", required=True)
args = parser.parse_args()

checkpoint = torch.load(args.checkpoint, weights_only=True)
state, hot, layers = checkpoint["state"], checkpoint["hot"], checkpoint["layers"]
kind = GGMLQuantizationType[args.type]

w = GGUFWriter(args.out, "llama")
w.add_name(args.name)
w.add_block_count(layers)
w.add_context_length(8192)
w.add_embedding_length(WIDTH)
w.add_feed_forward_length(state["blocks.0.g"].shape[0])
w.add_head_count(HEADS)
w.add_head_count_kv(KV_HEADS)
w.add_rope_freq_base(ROPE_BASE)
w.add_layer_norm_rms_eps(EPSILON)
w.add_rope_dimension_count(HEAD)
w.add_vocab_size(len(hot))
w.add_tokenizer_model("none")
w.add_array("adaptive_spec.draft_to_target", [int(t) for t in hot])
w.add_array("adaptive_spec.target_to_draft", checkpoint["to_draft"].tolist())
w.add_quantization_version(2)
w.add_file_type(LlamaFileType[f"MOSTLY_{args.type}"])


def matrix(name, values):
    w.add_tensor(name, quantize(values.float().numpy(), kind), raw_dtype=kind)


def vector(name, values):
    w.add_tensor(name, values.float().numpy().astype(np.float32))


vector("output_norm.weight", state["norm.w"] / args.temperature)
matrix("token_embd.weight", state["emb"])
for i in range(layers):
    vector(f"blk.{i}.attn_norm.weight", state[f"blocks.{i}.n1.w"])
    vector(f"blk.{i}.ffn_norm.weight", state[f"blocks.{i}.n2.w"])
    for key, name in MATRICES.items():
        matrix(f"blk.{i}.{name}.weight", state[f"blocks.{i}.{key}"])
w.write_header_to_file()
w.write_kv_data_to_file()
w.write_tensors_to_file()
w.close()
