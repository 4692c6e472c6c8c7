"""Cross entropy over a vocabulary, in pieces of rows, with its gradients: a logit is read while it is still in the cache.

Written out by PyTorch's own operators, a step on the CPU spends as long on logits in memory as on all products."""

import torch
import torch.nn.functional as F

ROWS = 256


class CrossEntropy(torch.autograd.Function):
    """hidden [n, width], matrix [vocabulary, width], labels as ids [n, k] and their shares [n, k], which sum to 1 in each row.

    Answers the mean loss, and for how many rows the likeliest id is the first of `ids`. Products are in bfloat16, sums in
    float32."""

    @staticmethod
    def forward(ctx, hidden, matrix, ids, shares):
        h, w = hidden.bfloat16(), matrix.bfloat16()
        of_hidden, of_matrix = torch.empty_like(hidden), torch.zeros(w.shape)
        loss = right = 0
        for i in range(0, len(h), ROWS):
            part = slice(i, i + ROWS)
            logits = F.linear(h[part], w).float()
            most = logits.amax(1, keepdim=True)
            labelled = logits.gather(1, ids[part])
            right += int((labelled[:, :1] == most).sum())
            odds = logits.sub_(most).exp_()
            total = odds.sum(1, keepdim=True)
            loss += float((most + total.log()).sum() - (labelled * shares[part]).sum())
            difference = odds.div_(total * len(h)).scatter_add_(1, ids[part], shares[part] / -len(h)).bfloat16()
            of_hidden[part] = difference @ w
            of_matrix += difference.T @ h[part]
        ctx.save_for_backward(of_hidden, of_matrix)
        return torch.tensor(loss / len(h)), right

    @staticmethod
    def backward(ctx, scale, _):
        of_hidden, of_matrix = ctx.saved_tensors
        return of_hidden * scale, of_matrix * scale, None, None
