"""Finds the temperature at which a draft's probability of its best token is how often the target agrees.

Of held-out rows, with the weights that Q4_0 leaves. Give the answer to export.py.
"""

import argparse
import glob

import torch
import torch.nn.functional as F
from data import batches, padded, read, row_of
from model import load_checkpoint

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("checkpoint")
parser.add_argument("--data", nargs="+", required=True)
args = parser.parse_args()

model, hot, to_draft = load_checkpoint(args.checkpoint)
rows = [row_of(line) for pattern in args.data for path in sorted(glob.glob(pattern)) for line in read(path)]
rows = [r for r in rows if r and r["held"]]
temperatures = torch.arange(0.7, 2.51, 0.05)
probabilities, agreements = [], []
with torch.no_grad():
    w = model.embedding(True)
    for part in batches(rows, 4000):
        ids, labels, counts = padded(part)
        logits = F.linear(model(to_draft[ids], w, True)[counts], w)
        best, guess = logits.max(1)
        agreements.append(hot[guess] == labels[counts])
        probabilities.append(torch.stack([(best / t - (logits / t).logsumexp(1)).exp() for t in temperatures]))
p, y = torch.cat(probabilities, 1).clamp(1e-6, 1 - 1e-6), torch.cat(agreements).float()
losses = -(y * p.log() + (1 - y) * (1 - p).log()).mean(1)
i = int(losses.argmin())
before = int((temperatures - 1).abs().argmin())
print(
    f"{len(rows)} rows, {len(y)} tokens, agreement {y.mean():.3f}; mean probability {p[before].mean():.3f} at 1,",
    f"{p[i].mean():.3f} at the best temperature {temperatures[i]:.2f}; log loss {losses[before]:.4f} and {losses[i]:.4f}",
)
