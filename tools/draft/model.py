"""The draft in PyTorch: a few layers of the Llama shape with a small vocabulary of its own, as GGUF holds it."""

import numpy as np
import torch
import torch.nn.functional as F
from gguf import GGUFReader, dequantize
from torch import nn

WIDTH, HEADS, KV_HEADS, HEAD, ROPE_BASE, EPSILON = 576, 9, 3, 64, 1e5, 1e-5
TARGET_VOCABULARY = 49152
MATRICES = dict(q="attn_q", k="attn_k", v="attn_v", o="attn_output", g="ffn_gate", u="ffn_up", d="ffn_down")


def tensors_of(path):
    """name -> float32 tensor, and the reader for the metadata."""
    reader = GGUFReader(path)
    tensors = {
        t.name: torch.from_numpy(np.array(dequantize(t.data, t.tensor_type))).float() for t in reader.tensors
    }
    return tensors, reader


def rounded_to_q4_0(w):
    """What Q4_0 leaves of a matrix [out, in]: blocks of 32 share an F16 scale. Gradients pass unchanged."""
    blocks = w.detach().view(-1, 32)
    largest = blocks.gather(1, blocks.abs().argmax(1, keepdim=True))
    scale = largest / -8
    inverse = torch.where(scale == 0, torch.zeros_like(scale), 1 / scale)
    steps = torch.clamp(torch.floor(blocks * inverse + 8.5), 0, 15) - 8
    rounded = (steps * scale.half().float()).view_as(w)
    return w + (rounded - w).detach()


class Norm(nn.Module):
    def __init__(self, w):
        super().__init__()
        self.w = nn.Parameter(w.clone())

    def forward(self, x):
        return F.rms_norm(x.float(), (WIDTH,), self.w, EPSILON)


class Block(nn.Module):
    def __init__(self, tensors, i):
        super().__init__()
        prefix = f"blk.{i}."
        self.n1, self.n2 = Norm(tensors[prefix + "attn_norm.weight"]), Norm(tensors[prefix + "ffn_norm.weight"])
        for key, name in MATRICES.items():
            setattr(self, key, nn.Parameter(tensors[f"{prefix}{name}.weight"].clone()))

    def forward(self, x, cos, sin, quantised):
        w = {k: rounded_to_q4_0(getattr(self, k)) if quantised else getattr(self, k) for k in MATRICES}
        batch, length, _ = x.shape
        h = self.n1(x)
        heads = lambda y, n: y.view(batch, length, n, HEAD).transpose(1, 2)
        q, k = rotated(heads(F.linear(h, w["q"]), HEADS), cos, sin), rotated(heads(F.linear(h, w["k"]), KV_HEADS), cos, sin)
        v = heads(F.linear(h, w["v"]), KV_HEADS)
        group = HEADS // KV_HEADS
        a = F.scaled_dot_product_attention(
            q.to(v.dtype), k.to(v.dtype).repeat_interleave(group, 1), v.repeat_interleave(group, 1), is_causal=True
        )
        x = x + F.linear(a.transpose(1, 2).reshape(batch, length, WIDTH), w["o"])
        h = self.n2(x)
        return x + F.linear(F.silu(F.linear(h, w["g"])) * F.linear(h, w["u"]), w["d"])


def angles(length):
    angle = torch.arange(length)[:, None] * (ROPE_BASE ** (-torch.arange(0, HEAD, 2) / HEAD))[None]
    return angle.cos(), angle.sin()


def rotated(x, cos, sin):
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)


class Draft(nn.Module):
    """ids [batch, length] of the draft's own vocabulary -> normalised hidden states; logits are these times emb."""

    def __init__(self, tensors, layers, embedding):
        super().__init__()
        self.emb = nn.Parameter(embedding.clone())
        self.blocks = nn.ModuleList(Block(tensors, i) for i in range(layers))
        self.norm = Norm(tensors["output_norm.weight"])

    def embedding(self, quantised):
        return rounded_to_q4_0(self.emb) if quantised else self.emb

    def forward(self, ids, embedding, quantised):
        cos, sin = angles(ids.shape[1])
        x = F.embedding(ids, embedding)
        for block in self.blocks:
            x = block(x, cos, sin, quantised)
        return self.norm(x)


def load_checkpoint(path):
    """The draft of a checkpoint of train.py; its tokens' ids in the target's vocabulary; and the map of all to its own."""
    checkpoint = torch.load(path, weights_only=True)
    state = checkpoint["state"]
    tensors = {"output_norm.weight": state["norm.w"]}
    for i in range(checkpoint["layers"]):
        tensors[f"blk.{i}.attn_norm.weight"] = state[f"blocks.{i}.n1.w"]
        tensors[f"blk.{i}.ffn_norm.weight"] = state[f"blocks.{i}.n2.w"]
        for key, name in MATRICES.items():
            tensors[f"blk.{i}.{name}.weight"] = state[f"blocks.{i}.{key}"]
    return Draft(tensors, checkpoint["layers"], state["emb"]), torch.tensor(checkpoint["hot"]), checkpoint["to_draft"]
