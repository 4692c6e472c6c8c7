"""Trains a draft on from the weights of an earlier one.

The data are lines of generate.mjs; families that it held out are for validation alone. The loss is on completion tokens
before the first loop. A label is half the target's token and half its distribution over the draft's vocabulary, which
is computed the first time a text is met and kept. From --quantised-from on, every product is computed from weights as
Q4_0 will round them.
"""

import argparse
import collections
import glob
import math
import os
import random
import sys
import time

# Memory that is kept rather than given back, and threads that sleep while they wait: twice as fast on a shared machine.
ENVIRONMENT = dict(
    MALLOC_MMAP_THRESHOLD_="4294967296", MALLOC_TRIM_THRESHOLD_="8589934592", MALLOC_TOP_PAD_="268435456",
    GOMP_SPINCOUNT="0", OMP_WAIT_POLICY="passive",
)
if any(os.environ.get(k) != v for k, v in ENVIRONMENT.items()):
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ENVIRONMENT})

import torch
import torch.nn.functional as F
from data import batches, padded, read, row_of
from loss import CrossEntropy
from model import EPSILON, HEAD, HEADS, KV_HEADS, TARGET_VOCABULARY, WIDTH, Draft, angles, rotated, tensors_of

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--target", required=True, help="the target's GGUF")
parser.add_argument("--start", required=True, help="the earlier draft's GGUF with id maps (Q8_0 or F16 is best)")
parser.add_argument("--data", nargs="+", required=True, help="files of lines, .gz or not; globs are read anew each pass")
parser.add_argument("--old", default="", help="file of which the first --old-count rows were trained on already")
parser.add_argument("--old-count", type=int, default=0)
parser.add_argument("--vocabulary", type=int, default=12288)
parser.add_argument("--minutes", type=float, default=45)
parser.add_argument("--rate", type=float, default=8e-4)
parser.add_argument("--soft", type=float, default=0.5, help="share of the target's distribution in the labels")
parser.add_argument("--soft-rows", type=float, default=1.0, help="share of the texts that get it; one takes as long as training on it")
parser.add_argument("--top", type=int, default=12, help="how many of its likeliest tokens are kept")
parser.add_argument("--batch-tokens", type=int, default=4000)
parser.add_argument("--quantised-from", type=float, default=0.5, help="share of the time")
parser.add_argument("--pause-file", default="", help="sleep while it exists")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--out", required=True)
args = parser.parse_args()
torch.manual_seed(0)
random.seed(0)
torch.set_num_threads(args.threads)


# The target gives its labels for so many steps at once: a call costs half a second, however little it is asked for.
AHEAD = 24
known_rows = {}


def load():
    """Rows of every file: training and validation. A row that was read before stays the same object."""
    train, held = [], []
    for pattern in args.data:
        for path in sorted(glob.glob(pattern)):
            for i, line in enumerate(read(path)):
                if (path, i) not in known_rows:
                    row = known_rows[path, i] = row_of(line)
                    if row:
                        row["seen"] = path == args.old and i < args.old_count
                        row["wants_soft"] = random.random() < args.soft_rows
                row = known_rows[path, i]
                if row:
                    (held if row["held"] else train).append(row)
    return train, held


def vocabulary(rows, size, kept):
    """The most frequent tokens of the completions; prompts count a tenth. Ids are ascending."""
    count = collections.Counter({t: 1e9 for t in range(20)})
    for row in rows:
        for t in row["tokens"]:
            count[t] += 1
        for t in row["prompt"]:
            count[t] += 0.1
    for t in kept:
        count[t] += 0.5
    # Low ids are the merges that came first, which is to say frequent text.
    ranked = sorted(range(TARGET_VOCABULARY), key=lambda t: (-count[t], t))
    return sorted(ranked[:size])


target, _ = tensors_of(args.target)
start, reader = tensors_of(args.start)
earlier = [int(t) for t in reader.fields["adaptive_spec.draft_to_target"].contents()]
layers = int(reader.fields["llama.block_count"].contents())
train, held = load()
hot = vocabulary(train, args.vocabulary, earlier)
hot_ids = torch.tensor(hot)
to_draft = torch.full((TARGET_VOCABULARY,), -1, dtype=torch.long)
to_draft[hot_ids] = torch.arange(len(hot))
is_hot = to_draft >= 0
directions = F.normalize(target["token_embd.weight"], dim=1)
for part in (~is_hot).nonzero()[:, 0].split(4096):
    to_draft[part] = (directions[part] @ directions[hot].T).argmax(1)
embedding = target["token_embd.weight"][hot].clone()
position = {t: i for i, t in enumerate(hot)}
for i, t in enumerate(earlier):
    if t in position:
        embedding[position[t]] = start["token_embd.weight"][i]
model = Draft(start, layers, embedding)
print(
    f"{len(train)} rows, {sum(len(r['tokens']) for r in train)} tokens; held out {len(held)} rows;",
    f"{sum(p.numel() for p in model.parameters()) / 1e6:.1f} M parameters;",
    f"{sum(t in position for t in earlier)} of {len(earlier)} earlier tokens kept",
    flush=True,
)


class Teacher:
    """The target in bfloat16 throughout, as far as the draft's vocabulary goes."""

    def __init__(self, tensors):
        self.table = tensors["token_embd.weight"].bfloat16()
        self.head = self.table[hot]
        self.layers = []
        while f"blk.{len(self.layers)}.attn_q.weight" in tensors:
            prefix = f"blk.{len(self.layers)}."
            self.layers.append({n[len(prefix) : -len(".weight")]: w.bfloat16() for n, w in tensors.items() if n.startswith(prefix)})
        self.norm = tensors["output_norm.weight"].bfloat16()

    @torch.no_grad()
    def label(self, rows):
        """Gives each row `soft`: the likeliest hot tokens [n, top] and their shares. Answers how often the first is the label."""
        ids = padded(rows)[0]
        length = ids.shape[1]
        x, (cos, sin) = F.embedding(ids, self.table), [t.bfloat16() for t in angles(length)]
        heads = lambda y, n: y.view(len(rows), length, n, HEAD).transpose(1, 2)
        norm = lambda y, w: F.rms_norm(y, (WIDTH,), w, EPSILON)
        for w in self.layers:
            h = norm(x, w["attn_norm"])
            q, k = heads(F.linear(h, w["attn_q"]), HEADS), heads(F.linear(h, w["attn_k"]), KV_HEADS)
            q, k, v = rotated(q, cos, sin), rotated(k, cos, sin), heads(F.linear(h, w["attn_v"]), KV_HEADS)
            k, v = k.repeat_interleave(HEADS // KV_HEADS, 1), v.repeat_interleave(HEADS // KV_HEADS, 1)
            a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + F.linear(a.transpose(1, 2).reshape(x.shape), w["attn_output"])
            h = norm(x, w["ffn_norm"])
            x = x + F.linear(F.silu(F.linear(h, w["ffn_gate"])) * F.linear(h, w["ffn_up"]), w["ffn_down"])
        right = total = 0
        for i, row in enumerate(rows):
            at, n = len(row["prompt"]) - 1, len(row["tokens"])
            values, tops = F.linear(norm(x[i, at : at + n], self.norm), self.head).float().topk(args.top)
            row["soft"] = tops.int(), values.softmax(1).half()
            right += int((hot_ids[tops[:, 0]] == torch.tensor(row["tokens"])).sum())
            total += n
        return right / total


def hidden_of(rows, quantised):
    """Normalised hidden states where a completion's next token is known, the embedding that reads them, those tokens."""
    ids, labels, counts = padded(rows)
    with torch.autocast("cpu", torch.bfloat16):
        w = model.embedding(quantised)
        return model(to_draft[ids], w, quantised)[counts], w, labels[counts]


def labels_of(rows, labels):
    """The draft ids of each label and their shares: the target's token first, then what of its distribution counts."""
    ids = torch.zeros(len(labels), 1 + args.top, dtype=torch.long)
    shares = torch.zeros(len(labels), 1 + args.top)
    ids[:, 0], shares[:, 0] = to_draft[labels], 1
    at = 0
    for row in rows:
        own = slice(at, at := at + len(row["tokens"]))
        if "soft" in row:
            tops, weights = row["soft"]
            ids[own, 1:], shares[own, 1:] = tops.long(), args.soft * weights.float()
            shares[own, 0] = 1 - args.soft
    return ids, shares


@torch.no_grad()
def validate(rows, quantised=True):
    """Agreement by kind, all; mean probability; coverage."""
    right, total = collections.Counter(), collections.Counter()
    probability = covered = 0
    for part in batches(rows, args.batch_tokens):
        hidden, w, labels = hidden_of(part, quantised)
        logits = F.linear(hidden.bfloat16(), w.bfloat16()).float()
        kinds = [r["kind"] for r in part for _ in r["tokens"]]
        best, guess = logits.softmax(1).max(1)
        agrees = hot_ids[guess] == labels
        probability += float(best.sum())
        covered += int(is_hot[labels].sum())
        for kind, a in zip(kinds, agrees.tolist()):
            right[kind] += a
            total[kind] += 1
    n = sum(total.values())
    by = {k: round(right[k] / total[k], 3) for k in sorted(total)}
    return dict(all=round(sum(right.values()) / n, 4), p=round(probability / n, 3), covered=round(covered / n, 3), n=n, **by)


def save():
    state = dict(state=model.state_dict(), hot=hot, to_draft=to_draft, layers=layers)
    torch.save(state, args.out + ".part")
    os.replace(args.out + ".part", args.out)


if args.soft > 0 and args.soft_rows > 0:
    teacher = Teacher(target)
decayed = [p for n, p in model.named_parameters() if p.dim() == 2]
others = [p for n, p in model.named_parameters() if p.dim() != 2]
optimizer = torch.optim.AdamW(
    [dict(params=decayed, weight_decay=0.05), dict(params=others, weight_decay=0.0)],
    lr=args.rate, betas=(0.9, 0.95), fused=True,
)
began = time.time()
step = tokens = passes = 0
recent = collections.deque(maxlen=20)
saved = validated = began
share, labelling = 0.0, ""
print("before:", validate(held[:150], False), flush=True)
began = time.time()
while share < 1:
    train, held = load()
    # What the earlier draft knows by heart is of less use than what is new.
    rows = [r for r in train if not r["seen"] or random.random() < 0.3]
    print(f"pass {passes}: {len(rows)} rows, {sum(len(r['tokens']) for r in rows)} tokens", flush=True)
    passes += 1
    parts = batches(rows, args.batch_tokens, random)
    for at, part in enumerate(parts):
        while args.pause_file and os.path.exists(args.pause_file):
            time.sleep(1)
        share = (time.time() - began) / (60 * args.minutes)
        if share >= 1:
            break
        rate = args.rate * min(1, (step + 1) / 30) * (0.04 + 0.96 * 0.5 * (1 + math.cos(math.pi * share)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        if at % AHEAD == 0 and args.soft > 0:
            began_label = time.time()
            fresh = [r for p in parts[at : at + AHEAD] for r in p if r["wants_soft"] and "soft" not in r]
            alike = [teacher.label(some) for some in batches(fresh, args.batch_tokens) if some]
            if alike:
                labelling = f" labels {time.time() - began_label:.1f}s {sum(alike) / len(alike):.3f}"
        hidden, w, labels = hidden_of(part, share >= args.quantised_from)
        known = is_hot[labels]
        ids, shares = labels_of(part, labels)
        loss, right = CrossEntropy.apply(hidden[known], w, ids[known], shares[known])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        tokens += len(labels)
        recent.append(right / len(labels))
        if step % 10 == 0:
            print(f"{time.time() - began:.0f}s step {step} {tokens / 1e6:.2f}M loss {loss.item():.3f} agree {sum(recent) / len(recent):.3f} rate {rate:.1e}{labelling}", flush=True)
        if time.time() - validated > 240:
            print("held out:", validate(held[:200]), flush=True)
            save()
            validated = time.time()
save()
print("end: held out, rounded", validate(held), "unrounded", validate(held, False), "steps", step, "tokens", tokens, "passes", passes, flush=True)
