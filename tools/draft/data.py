"""The lines of generate.mjs as rows, and rows as batches."""

import gzip
import json

import torch


def read(path):
    """Complete lines of a file, which may be gzipped and may still be written to."""
    with gzip.open(path, "rt") if path.endswith(".gz") else open(path) as f:
        for line in f:
            if line.endswith("\n"):
                yield json.loads(line)


def row_of(line):
    """What training needs of a line, cut at the first loop; None where next to nothing is left. `held` tells of validation."""
    tokens = line["tokens"] if line["loop"] is None else line["tokens"][: line["loop"]]
    if len(tokens) < 3:
        return None
    return dict(kind=line["kind"], prompt=line["prompt"], tokens=tokens, held=line.get("heldOut", False))


def size(row):
    return len(row["prompt"]) + len(row["tokens"])


def batches(rows, tokens, shuffle=None):
    """Rows of like length together, about so many tokens a batch with padding. `shuffle` is the module random or None."""
    rows, result = list(rows), []
    if shuffle:
        shuffle.shuffle(rows)
    for i in range(0, len(rows), 600):
        part = []
        for row in sorted(rows[i : i + 600], key=size):
            if part and size(row) * (len(part) + 1) > tokens:
                result.append(part)
                part = []
            part.append(row)
        result.append(part)
    if shuffle:
        shuffle.shuffle(result)
    return result


def padded(rows):
    """Token ids [rows, longest], padded on the right; the next ones; and where these belong to a completion."""
    longest = max(size(r) for r in rows)
    ids, labels = torch.zeros(len(rows), longest, dtype=torch.long), torch.zeros(len(rows), longest, dtype=torch.long)
    counts = torch.zeros(len(rows), longest, dtype=torch.bool)
    for i, row in enumerate(rows):
        tokens, at = torch.tensor(row["prompt"] + row["tokens"]), len(row["prompt"])
        ids[i, : len(tokens)] = tokens
        labels[i, : len(tokens) - 1] = tokens[1:]
        counts[i, at - 1 : len(tokens) - 1] = True
    return ids, labels, counts
