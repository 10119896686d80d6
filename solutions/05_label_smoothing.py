# ---
# jupyter:
#   autograder: {title: Label smoothing, technique: Targets that are never quite certain, paper: "Szegedy et al. 2016; Müller et al. 2019", minutes: 60}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Label smoothing
#
# **After this notebook you will be able to**
#
# - compute smoothed targets by hand, and say which of two conventions a text or a library means;
# - derive what smoothing asks of a network, a *finite* gap between its logits, and find that gap by optimisation;
# - build the loss from scratch, so that it survives logits of 10 000;
# - show what smoothing does to logits, to confidence and to the layer before the last, over several seeds, and report
#   honestly whether the network gets better.
#
# **Time:** about 60 minutes. **Before it:** unit 00, softmax and cross-entropy.
# **The papers:** C. Szegedy, V. Vanhoucke, S. Ioffe, J. Shlens and Z. Wojna, *Rethinking the Inception Architecture for
# Computer Vision*, CVPR 2016, [arXiv:1512.00567](https://arxiv.org/abs/1512.00567), section 7, where the technique is
# introduced; and R. Müller, S. Kornblith and G. Hinton, *When Does Label Smoothing Help?*, NeurIPS 2019,
# [arXiv:1906.02629](https://arxiv.org/abs/1906.02629), which looks at what it does to a network.
#
# **Conventions.** $\alpha$ is the smoothing (Szegedy et al. write $\epsilon$), $K$ the number of classes, $z$ are logits,
# $p = \operatorname{softmax}(z)$, and $\log$ is the natural logarithm, so losses are in nats.

# %% setup=true
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autograder import check, progress, ready

# %%
from collections.abc import Callable
from math import log

from reglab.data import Split, load
from reglab.models import SmallCNN, evaluating, recording
from reglab.plots import clusters, curves, final_values, overlaid_histograms, show
from reglab.predict import predict
from reglab.training import History, differs, logits_of, mean_and_spread, train
from reglab.widgets import smoothing_explorer

# %% [markdown]
# ## 1 · By hand
#
# A label says "class 2", and nothing else: as a target for the softmax of five classes it is $y = (0, 0, 1, 0, 0)$.
# Label smoothing takes a part $\alpha$ of that certainty and spreads it evenly over **all** $K$ classes:
#
# $$q_k = (1-\alpha)\,y_k + \frac{\alpha}{K} .$$
#
# Take $K = 5$, class 2 and $\alpha = 0.1$. Work it out on paper before you go on; there are only two different numbers.

# %%
q1 = predict(
    "K = 5, alpha = 0.1: what is the target of the true class?",
    ["0.9", "0.92", "0.98", "1"],
    mine=None,
)

# %%
K, true_class, alpha = 5, 2, 0.1
y = [1.0 if k == true_class else 0.0 for k in range(K)]
by_formula = [(1 - alpha) * y_k + alpha / K for y_k in y]
print("targets:", [round(q_k, 4) for q_k in by_formula], "sum", round(sum(by_formula), 6))
q1.compare(
    {0.9: "a", 0.92: "b", 0.98: "c", 1.0: "d"}[round(by_formula[true_class], 6)],
    "Of the 0.1 that was taken, the true class gets its fifth back: 0.9 + 0.1 / 5.",
)

# %% [markdown]
# ### Two sentences that do not say the same
#
# Many texts put it like this: "the smoothing mass $\alpha$ is distributed over the *incorrect* classes". And then they
# write the formula above. **The two disagree.** The formula gives every class $\alpha/K$, the true one too. The sentence
# gives the true class nothing back and each of the $K - 1$ others $\alpha/(K-1)$. Both are distributions, and both are
# in use:

# %%
by_words = [1 - alpha if k == true_class else alpha / (K - 1) for k in range(K)]
print(f"{'':28}true class   each other   sum")
for name, q in (
    ("the formula: alpha / K", by_formula),
    ("the words: alpha / (K - 1)", by_words),
):
    print(f"{name:28}{q[true_class]:10.4f}{q[0]:13.4f}{sum(q):6.1f}")
print(
    f"{'difference':28}{by_formula[2] - by_words[2]:10.4f}{by_formula[0] - by_words[0]:13.4f}"
)
less = alpha * (K - 1) / K
print(f"the words with alpha = {less:.2f}: {1 - less:.4f} and {less / (K - 1):.4f}")

# %% [markdown]
# The true class gets $\alpha/K$ more by the formula, each other class $\alpha/(K-1) - \alpha/K = \alpha/(K(K-1))$ less.
# The last line shows that the difference is one of the *name* of a setting and not of kind: in the formula
# $1 - q_{\text{true}} = \alpha - \alpha/K = \alpha\,\frac{K-1}{K}$, so **the formula with $\alpha$ is the sentence with
# $\alpha\,\frac{K-1}{K}$.** For 1000 classes nobody will notice; for 2 classes the same "0.1" smooths twice as much
# by the sentence as by the formula. So when you compare your numbers with somebody else's, look into their code: PyTorch,
# Keras and both papers use the formula, while translation models that follow Google's Transformer code (Flax's example,
# for one) divide by $K - 1$.
#
# In this course, as in PyTorch, **$\alpha/K$ for every class**.
#
# ## 2 · The mathematics
#
# **What the plain cross-entropy asks for.** For one example of class $y$, with $p = \operatorname{softmax}(z)$ and
# targets $q$, the loss and its gradient are
#
# $$L = -\sum_k q_k \log p_k = \log\sum_j e^{z_j} - \sum_k q_k z_k, \qquad
#   \frac{\partial L}{\partial z_k} = \frac{e^{z_k}}{\sum_j e^{z_j}} - q_k = p_k - q_k .$$
#
# (The second form of $L$ uses $\sum_k q_k = 1$.) The gradient is zero only where $p = q$. With one-hot targets that
# would need $p_y = 1$, and a softmax of finite logits never is. Let the true logit lead all others by the *gap* $g$, that
# is $z_y = g$ and $z_j = 0$ for the others. Then $L = \log(1 + (K-1)e^{-g})$: it falls for ever as $g$ grows, and never
# arrives. A network that has every training image right can still lower its loss, by doing nothing but scaling its
# logits up. That is how it becomes sure of everything, errors included.
#
# **What the smoothed one asks for.** Now $p = q$ *is* possible: it says $p_y = 1-\alpha+\frac{\alpha}{K}$ and
# $p_j = \frac{\alpha}{K}$ for each other class. Logits are log-probabilities up to a common constant, $z_k = \log p_k +
# c$, so
#
# $$\boxed{\;z_y - z_j \;=\; \log\frac{p_y}{p_j} \;=\;
#   \log\frac{1-\alpha+\alpha/K}{\alpha/K} \;=\; \log\Big(1 + \frac{K(1-\alpha)}{\alpha}\Big)
#   \quad\text{for every } j \ne y\;}$$
#
# Two things are in the box. The optimal gap is *finite*: $\log 46 = 3.83$ for $K = 5$, $\log 91 = 4.51$ for $K = 10$,
# both with $\alpha = 0.1$. And it is *the same for every wrong class*: a shirt's logit for "pullover" should be as low
# as its logit for "ankle boot". We come back to this in section 8.
#
# **The loss against the gap.** Put $z_y = g$, $z_j = 0$ into the second form of $L$:
#
# $$L(g) = \log\big(e^g + K - 1\big) - \Big(1-\alpha+\frac{\alpha}{K}\Big)\,g
#        = \log\big(1 + (K-1)e^{-g}\big) + \alpha\,\frac{K-1}{K}\,g .$$
#
# The first term is the plain cross-entropy; the second is a straight line that charges for every unit of gap.
#
# **The floor.** At $p = q$ the loss is the entropy of the targets, $H(q) = -\sum_k q_k\log q_k$, and no network gets
# below it: because of $\log t \le t - 1$, with equality only at $t = 1$,
#
# $$L - H(q) = \mathrm{KL}(q\,\|\,p) = -\sum_k q_k\log\frac{p_k}{q_k} \ge -\sum_k q_k\Big(\frac{p_k}{q_k} - 1\Big) = 0 ,$$
#
# and it is 0 only at $p = q$. So the box is the one minimum, up to the constant $c$. For $K = 10$ and $\alpha = 0.1$ that
# is 0.50 nats. A smoothed training loss of 0.55 is thus nearly perfect;
# compared with somebody's plain 0.02 it looks like a disaster. **Compare networks by the plain cross-entropy**, whatever
# they were trained with.
#
# **Why it is called a regularizer.** Split the targets: $q = (1-\alpha)\,y + \alpha\,u$ with $u_k = 1/K$. The loss is
# linear in them,
#
# $$L = (1-\alpha)\,\big(-\log p_y\big) + \alpha\,\Big(-\frac1K\sum_k \log p_k\Big)
#     = (1-\alpha)\,H(y, p) + \alpha\,\big(\mathrm{KL}(u\,\|\,p) + \log K\big),$$
#
# the plain loss and a penalty for straying from the uniform distribution, weighed $1-\alpha$ to $\alpha$. This is how
# section 7 of Szegedy et al. reads it.
#
# ## 3 · Smoothed targets
#
# **Exercise `smooth_labels`** · difficulty ●○○ · about 5 minutes


# %% exercise="smooth_labels"
def smooth_labels(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    """Smoothed targets: y (1 - alpha) + alpha / K for one-hot targets y and K classes.

    The formula of Szegedy et al. 2016, section 7.

    Args:
        target: the true class of each example, int64 from 0 to K - 1.
        num_classes: the number K of classes, also where some of them do not occur in `target`.
        alpha: how much of each target is spread evenly over all K classes, the true one among
            them; in [0, 1].

    Shape:
        - target: (N,)
        - Output: (N, K)

    Returns:
        One row of targets an example, float32 or float64. What happens with an alpha outside
        [0, 1] is up to you.
    """
    ### BEGIN SOLUTION
    one_hot = F.one_hot(target, num_classes).float()
    return one_hot * (1 - alpha) + alpha / num_classes
    ### END SOLUTION


# %% [markdown]
# <!-- hints: smooth_labels -->

# %% check="smooth_labels"
check(smooth_labels)

# %% [markdown]
# Yours, on the example worked by hand, and on a batch in which classes 3 and 4 do not occur. The table has five columns
# all the same: how many classes there are is not for a batch to say.

# %%
if ready(smooth_labels):
    print([round(q_k, 4) for q_k in smooth_labels(torch.tensor([2]), 5, 0.1)[0].tolist()])
    for label, row in zip(
        [1, 0, 2], smooth_labels(torch.tensor([1, 0, 2]), 5, 0.5), strict=True
    ):
        print("class", label, "with alpha = 0.5:", [round(q_k, 4) for q_k in row.tolist()])

# %% [markdown]
# ## 4 · The loss
#
# One thing can go wrong that no formula shows. For $\log p_k$ it seems natural to compute the softmax and take its
# logarithm. Try it on logits as a badly scaled network might give them:

# %%
logits = torch.tensor([1e4, 0.0, -1e4])
print("log(softmax): ", logits.softmax(dim=0).log().tolist())
print("log_softmax:  ", logits.log_softmax(dim=0).tolist())
one_hot = F.one_hot(torch.tensor(0), 3)
print(
    "one-hot loss, true class 0, by log(softmax):",
    -(one_hot * logits.softmax(dim=0).log()).sum().item(),
)

# %% [markdown]
# In float32 the smallest positive number is about $10^{-45}$, so $e^{-10000}$ is exactly 0, and its logarithm $-\infty$. With
# one-hot targets you get away with it only if you *pick out* the true class by its index, and only if that one is not lost;
# multiplied by the targets, $0\cdot(-\infty)$ is NaN (last line). **Smoothing asks for the logarithm of *every* class**,
# and $\frac{\alpha}{K}\cdot\infty = \infty$. The remedy is to never leave the logarithms. With
# $m = \max_j z_j$,
#
# $$\log p_k = z_k - \log\sum_j e^{z_j} = (z_k - m) - \log\sum_j e^{z_j - m} :$$
#
# $m$ cancels, no exponent is positive any more, one of them is exactly 0, and so the last logarithm lies between 0 and
# $\log K$. Nothing can overflow, and nothing that matters can vanish. That is all there is to `log_softmax`.
#
# **Exercise `LabelSmoothingCrossEntropy`** · difficulty ●●○ · about 15 minutes
#
# `F.cross_entropy` on your own targets is fine, if you like: it takes (N, K) targets too. Its argument
# `label_smoothing` is what you are building, so the check will notice that.


# %% exercise="LabelSmoothingCrossEntropy"
class LabelSmoothingCrossEntropy(nn.Module):
    """Cross-entropy between smoothed targets and the softmax of logits (Szegedy et al. 2016).

    The loss of one example is -sum_k q_k log p_k, with the targets q of `smooth_labels` and
    p = softmax(logits). It is the same in training and in evaluation mode, and differentiable.

    Args:
        alpha: the smoothing, in [0, 1]; 0 is the plain cross-entropy.
        reduction: "mean" over the examples, "sum" over the examples, or "none".

    Shape:
        - logits: (N, K), float32, of any size: 10 000 and -10 000 give a finite loss and gradient
        - target: (N,), the true class of each example, int64
        - Output: one number, a tensor of shape (); with reduction "none", (N,)

    Raises:
        ValueError: if alpha is not in [0, 1], or reduction is none of the three. The constructor
            is the place to notice.
    """

    def __init__(self, alpha: float = 0.1, reduction: str = "mean") -> None:
        super().__init__()
        ### BEGIN SOLUTION
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha has to be between 0 and 1, but is {alpha}")
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(f'reduction is "mean", "sum" or "none", not {reduction!r}')
        self.alpha, self.reduction = alpha, reduction
        ### END SOLUTION

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        targets = smooth_labels(target, logits.shape[1], self.alpha)
        # log_softmax, not log(softmax): a probability that underflows to 0 has the logarithm -inf.
        losses = -(targets * logits.log_softmax(dim=1)).sum(dim=1)
        if self.reduction == "none":
            return losses
        return losses.mean() if self.reduction == "mean" else losses.sum()
        ### END SOLUTION

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}, reduction={self.reduction!r}"


# %% [markdown]
# <!-- hints: LabelSmoothingCrossEntropy -->

# %% check="LabelSmoothingCrossEntropy"
check(LabelSmoothingCrossEntropy)

# %% [markdown]
# The floor of section 2, measured: at logits that are the logarithms of the targets the loss must be their entropy, and
# the gradient zero. And one row of logits of 10 000, the true class right, wrong by one step, and wrong by two:

# %%
if ready(smooth_labels, LabelSmoothingCrossEntropy):
    label = torch.tensor([2])
    targets = smooth_labels(label, 10, 0.1)
    best = targets.log().requires_grad_()
    loss = LabelSmoothingCrossEntropy(alpha=0.1)(best, label)
    loss.backward()
    entropy = -(targets * targets.log()).sum().item()
    print(f"loss {loss.item():.3f}, entropy of the targets {entropy:.3f}")
    print("no gradient is above 1e-6:", bool((best.grad.abs() < 1e-6).all()))
    huge = torch.tensor([[1e4, 0.0, -1e4]]).expand(3, 3)
    each = LabelSmoothingCrossEntropy(alpha=0.1, reduction="none")(
        huge, torch.tensor([0, 1, 2])
    )
    print("logits of 10 000:", [round(value) for value in each.tolist()])

# %% [markdown]
# ## 5 · Find the gap
#
# The box says where the loss is lowest. Let us see whether plain gradient descent finds it: no network, no images, just
# the five logits of one example of class 2, all 0 at the start, and steps $z \leftarrow z - \frac{\partial L}{\partial z}$.

# %%
q2 = predict(
    "Gap between the true logit and the others, K = 5, after 1000 steps and after 5000 steps "
    "(the box says 3.83 for alpha = 0.1)",
    [
        "both losses: 3.83, and it stays there",
        "smoothed: 3.83, and it stays; plain: still growing",
        "both losses: still growing",
    ],
    mine=None,
)

# %%
STEPS = (10, 100, 1000, 5000)


def gaps_found(loss: nn.Module) -> list[float]:
    """Descend the loss of one example from logits of 0; the gap after each of STEPS steps."""
    z = torch.zeros(1, K, requires_grad=True)
    gaps = []
    for step in range(1, max(STEPS) + 1):
        (slope,) = torch.autograd.grad(loss(z, torch.tensor([true_class])), z)
        z = (z - slope).detach().requires_grad_()
        if step in STEPS:
            gaps.append((z[0, true_class] - z[0, 0]).item())
    return gaps


if ready(smooth_labels, LabelSmoothingCrossEntropy):
    print("steps             ", "".join(f"{step:8}" for step in STEPS), "   derived")
    found = {a: gaps_found(LabelSmoothingCrossEntropy(alpha=a)) for a in (0.0, 0.05, 0.1, 0.3)}
    for a, gaps in found.items():
        derived = f"{log(1 + K * (1 - a) / a):8.2f}" if a else "    none"
        print(f"gap, alpha = {a:.2f} ", "".join(f"{gap:8.2f}" for gap in gaps), f"  {derived}")
    settled = abs(found[0.1][-1] - found[0.1][-2]) < 0.01
    grows = found[0.0][-1] - found[0.0][-2] > 0.1
    q2.compare(
        "b" if settled and grows else "a" if settled else "c",
        "With one-hot targets every step pushes on, ever more weakly: by 1 - p_y + p_j, about K e^-g. "
        "So e^g is about K t after t steps, and five times the steps add about log 5 to the gap.",
    )

# %% [markdown]
# Read along the rows. With smoothing the gap arrives at what the box says and stays; the stronger the smoothing, the
# smaller the gap and the sooner. Without, it has no place to arrive at.
#
# ## 6 · A real network
#
# Now the small CNN of unit 00, on 1000 images, trained twice from each of three seeds: once with $\alpha = 0$ and once
# with $\alpha = 0.1$, both with your loss. The two networks of a seed start from the same weights and see the same batches, so
# they can be compared in pairs. What we look at, for each image, is
#
# - the **margin**, the logit of the true class minus the largest of the others: positive if the network is right. If the
#   network could do for every image what the loss asks for, every margin would be $\log 91 = 4.51$;
# - the **confidence**, the largest probability: how sure the network is, rightly or not. For perfect logits it would be
#   $1 - 0.1 + 0.1/10 = 0.91$.

# %%
q3 = predict(
    "Margins on the training images. With alpha = 0.1, where are 95 % of them?",
    [
        "below 4.5, or hardly above it",
        "spread widely, many above 10",
        "below 1",
    ],
    mine=None,
)

# %% tags=["nbval-ignore-output"]
IMAGES, EPOCHS, SEEDS, LAST = 1000, 15, (0, 1, 2), 3
Trained = tuple[SmallCNN, History]
data = load().with_train(IMAGES)


def trained(loss: nn.Module, seed: int) -> Trained:
    """Train one network."""
    torch.manual_seed(seed)
    model = SmallCNN()
    return model, train(model, data, EPOCHS, seed=seed, loss=loss)


def margins(logits: Tensor, labels: Tensor) -> Tensor:
    """The logit of the true class minus the largest of the others, (N,)."""
    true = F.one_hot(labels, logits.shape[1]).bool()
    return logits[true] - logits.masked_fill(true, float("-inf")).amax(dim=1)


if ready(smooth_labels, LabelSmoothingCrossEntropy):
    networks = {
        name: [trained(LabelSmoothingCrossEntropy(alpha=a), seed) for seed in SEEDS]
        for name, a in (("one-hot", 0.0), ("smoothed", 0.1))
    }
    splits = {"training images": data.train, "validation images": data.validation}
    found_margins: dict[str, dict[str, list[Tensor]]] = {title: {} for title in splits}
    confidences: dict[str, dict[str, list[Tensor]]] = {title: {} for title in splits}
    for title, split in splits.items():
        for name, runs in networks.items():
            outputs = [logits_of(model, split.images) for model, _ in runs]
            found_margins[title][name] = [margins(z, split.labels) for z in outputs]
            confidences[title][name] = [z.softmax(dim=1).amax(dim=1) for z in outputs]
    best_gap = log(1 + 10 * (1 - 0.1) / 0.1)
    show(
        overlaid_histograms(
            {
                t: {n: torch.cat(m) for n, m in names.items()}
                for t, names in found_margins.items()
            },
            "margin (logit units)",
            {"right, if above 0": 0.0, f"log 91 = {best_gap:.2f}": best_gap},
            bins=90,
        ),
        "Histograms of the margins on training and validation images, three seeds together: with "
        "smoothed targets they are heaped up between 0 and about 4.5, with one-hot targets they spread far beyond.",
    )

# %% tags=["nbval-ignore-output"]
if ready(smooth_labels, LabelSmoothingCrossEntropy):
    show(
        overlaid_histograms(
            {
                t: {n: torch.cat(c) for n, c in names.items()}
                for t, names in confidences.items()
            },
            "confidence: largest probability (fraction)",
            {"0.91": 0.91},
        ),
        "Histograms of the confidence on training and validation images, three seeds together: with "
        "one-hot targets more than half are in the last bin, close to 1; with smoothed targets most are "
        "spread between 0.6 and 0.97, densest around 0.91.",
    )

# %% [markdown]
# **What to see.** Both figures hold the images of all three seeds. Above, look for the line at 4.51: it is where the box of
# section 2 wants every training image to be, and it was derived without any network. Below, the heap at the right edge is
# the certainty of the plain loss. Now compare left with right. On images the network has not seen, the smoothed margins
# reach below 0 as well: smoothing does not keep a network from being wrong, it keeps it from being wrong *and sure*.


# %% tags=["nbval-ignore-output"]
def compared(measures: dict[str, dict[str, list[float]]]) -> None:
    """Print, by measure, mean ± standard deviation over the seeds, and of the difference."""
    plain, smoothed = networks
    print(f"{'':46}{plain:17}{smoothed:17}difference, seed by seed")
    for what, values in measures.items():
        pairs = zip(values[smoothed], values[plain], strict=True)
        numbers = [values[plain], values[smoothed], [b - a for b, a in pairs]]
        (a, s), (b, t), (d, r) = (mean_and_spread(each) for each in numbers)
        print(f"{what:46}{a:6.3f} ± {s:.3f}   {b:6.3f} ± {t:.3f}   {d:+.3f} ± {r:.3f}")


def rows(
    names: dict[str, list[Tensor]], value: Callable[[Tensor], Tensor]
) -> dict[str, list[float]]:
    """One number a network."""
    return {name: [float(value(each)) for each in runs] for name, runs in names.items()}


if ready(smooth_labels, LabelSmoothingCrossEntropy):
    print(f"mean ± standard deviation over {len(SEEDS)} seeds")
    table = {}
    for title in splits:
        short = title.split()[0]
        table[f"{short}: median margin"] = rows(found_margins[title], Tensor.median)
        table[f"{short}: margin that 95 % are below"] = rows(
            found_margins[title], lambda m: m.quantile(0.95)
        )
        table[f"{short}: mean confidence"] = rows(confidences[title], Tensor.mean)
        table[f"{short}: accuracy"] = rows(
            found_margins[title], lambda m: (m > 0).float().mean()
        )
    for right in (True, False):
        table[f"validation: mean confidence where {'right' if right else 'wrong'}"] = {
            name: [
                float(c[(m > 0) == right].mean())
                for c, m in zip(
                    confidences["validation images"][name],
                    found_margins["validation images"][name],
                    strict=True,
                )
            ]
            for name in networks
        }
    compared(table)
    top, _ = mean_and_spread(table["training: margin that 95 % are below"]["smoothed"])
    q3.compare(
        "c" if top < 1 else "a" if top < best_gap + 0.5 else "b",
        "At a gap of 4.51 to all the others, a bit more of it costs as much as it earns, 0.09 nats a unit. "
        "Beyond, it earns less than it costs.",
    )

# %% [markdown]
# **What we measured.** On the training images the median margin was 5.6 ± 0.6 with one-hot targets, and 5 % of the margins
# were above 18. With smoothed targets it was 3.0 ± 0.2, and 5 % were above 4.6 ± 0.3. So the derived 4.51 is seen on real
# images, as the place where margins *end*; most stay below it, for the network cannot do for every image what the loss
# asks. (A few go beyond it: the margin looks at the largest wrong logit only, and training stopped after 15 epochs.)
#
# On validation images the mean confidence where the network is *wrong* fell from 0.74 to 0.56. But the confidence where it
# is right fell with it, from 0.93 to 0.79. With one-hot targets the mean confidence was 0.90 and the accuracy 0.82: too
# sure. With smoothed
# ones it was 0.76 and the accuracy 0.83: not sure enough. Which of the two
# you would rather have, and whether there is something better than either, is what unit 06 is about.
#
# ## 7 · Does it help?
#
# Whether the network also gets better at telling clothes apart is another question. We judge all networks by accuracy and by
# the *plain* cross-entropy on validation images, averaged over the last three epochs; remember the floor. Beside them stands the
# **generalization gap**, validation minus training loss: not the gap between logits of sections 2 and 5.

# %%
q4 = predict(
    "Which has the higher mean validation accuracy?",
    ["one-hot (alpha = 0)", "smoothed (alpha = 0.1)", "no clear winner"],
    mine=None,
)

# %%
q5 = predict(
    "And which has the lower mean validation loss (plain cross-entropy for both)?",
    ["one-hot (alpha = 0)", "smoothed (alpha = 0.1)", "no clear winner"],
    mine=None,
)

# %% tags=["nbval-ignore-output"]
METRICS = {
    "validation_accuracy": "accuracy",
    "validation_loss": "loss",
    "gap": "generalization gap",
}

if ready(smooth_labels, LabelSmoothingCrossEntropy):
    histories = {name: [history for _, history in runs] for name, runs in networks.items()}
    show(
        curves(histories, ["train_loss", "validation_loss", "validation_accuracy"]),
        "Training loss, validation loss and validation accuracy by epoch, plain cross-entropy for "
        "both, a line and a band for each alpha; the table below has where they end.",
    )
    print(
        f"mean ± standard deviation over {len(SEEDS)} seeds, last {LAST} epochs, validation images"
    )
    ended = {
        what: {name: [h.last(m, LAST) for h in each] for name, each in histories.items()}
        for m, what in METRICS.items()
    }
    ended["loss at its best epoch"] = {
        name: [min(h.validation_loss) for h in each] for name, each in histories.items()
    }
    ended["accuracy at that epoch"] = {
        name: [
            h.validation_accuracy[h.validation_loss.index(min(h.validation_loss))] for h in each
        ]
        for name, each in histories.items()
    }
    compared(ended)

# %% tags=["nbval-ignore-output"]
if ready(smooth_labels, LabelSmoothingCrossEntropy):
    show(
        final_values(histories, list(METRICS), LAST),
        "Validation accuracy, validation loss and generalization gap at the end: a dot for each seed, "
        "beside them mean and standard deviation; the table above has the numbers.",
    )

# %% [markdown]
# **What to see.** In the curves a line is the mean over the seeds and its band one standard deviation to each side. Look in the
# middle panel for the epoch at which the plain network's loss turns round, and whether the smoothed one's does. In the
# last figure each dot is one network.


# %% tags=["nbval-ignore-output"]
def winner(what: str, sign: int) -> str:
    """The letter of the better one, "c" if a t test does not tell the difference from chance."""
    plain, smoothed = (ended[what][name] for name in networks)
    better = [sign * (b - a) for a, b in zip(plain, smoothed, strict=True)]
    return "c" if not differs(better) else "b" if sum(better) > 0 else "a"


if ready(smooth_labels, LabelSmoothingCrossEntropy):
    q4.compare(winner("accuracy", +1), "Three seeds say little: look at the spread.")
    q5.compare(
        winner("loss", -1),
        "A plain loss punishes being sure and wrong, which smoothing makes rarer, and being unsure "
        "and right, which it makes more common. Which of the two counts for more depends.",
    )

# %% [markdown]
# **What we measured.** With these three seeds smoothing raised the accuracy from 0.820 ± 0.007 to 0.834 ± 0.005, lowered the
# loss from 0.616 ± 0.034 to 0.569 ± 0.014, and the generalization gap from 0.450 to 0.327. But three seeds are few: by a t
# test on the three differences (`differs`, at
# 5 %) neither the accuracy's nor the loss's can be told from chance, hence "no clear winner" above. So
# we ran more (`solutions/experiments/05_label_smoothing.py`): ten with 1000 images and five with 4000, differences again
# taken seed by seed (mean ± standard deviation; the standard error of a mean is a third to a half of that):
#
# | smoothed − one-hot | accuracy | loss | generalization gap |
# |---|---|---|---|
# | 1000 images, $\alpha$ = 0.1 | +0.011 ± 0.011 | −0.037 ± 0.025 | −0.118 ± 0.032 |
# | 1000 images, $\alpha$ = 0.3 | +0.012 ± 0.012 | +0.154 ± 0.024 | −0.166 ± 0.036 |
# | 4000 images, $\alpha$ = 0.1 | +0.013 ± 0.006 | −0.068 ± 0.023 | −0.137 ± 0.024 |
#
# **Here smoothing helped:** about one percentage point of accuracy, three standard errors above nothing with 1000 images and
# five with 4000. Three times the smoothing gave no more accuracy, and a loss that is far worse, for such a network is
# unsure of everything. Choosing by accuracy alone you would not have noticed; nor by the generalization gap. **A smaller gap
# is no merit by itself here,** for smoothing forbids a small plain training loss: where $p = q$ it is $-\log 0.91 = 0.09$ for
# $\alpha = 0.1$ and $-\log 0.73 = 0.31$ for $\alpha = 0.3$. At $\alpha = 0.3$ the gap is the smallest and the loss the worst.
#
# Be careful with the loss, though. It was lower *at the end of 15 epochs*, when the plain network had begun to overfit. Each
# network at its own best epoch (last two lines of the notebook's table) is another matter: over the ten seeds the plain
# ones had a loss of
# 0.531 ± 0.016 there, the smoothed ones 0.559 ± 0.013, which is 0.028 ± 0.014 *more*. So what smoothing gained in the loss,
# stopping early would have gained without it, and a little over. Of the accuracy it kept a part: at these epochs the plain
# networks had 0.822 ± 0.007 and the smoothed ones 0.829 ± 0.010, which is 0.007 ± 0.009 more, two and a half standard errors.
# (Each best epoch was chosen by the very images it is reported on, which flatters both.)
#
# ## 8 · The layer before the last
#
# Müller, Kornblith and Hinton asked what smoothing does *inside*. The last layer computes $z_k = w_k^\top h + b_k$ from the
# activations $h$ of the layer before. Think of the row $w_k$ as a **template** of class $k$: from
# $\|h - w_k\|^2 = \|h\|^2 - 2\,w_k^\top h + \|w_k\|^2$ follows
#
# $$z_k = -\tfrac12\,\|h - w_k\|^2 + \tfrac12\,\|h\|^2 + \big(\tfrac12\|w_k\|^2 + b_k\big).$$
#
# The second term is the same for all classes, so it drops out of the softmax; the third does not depend on the image. What an
# image can change is the first: **a logit says how close $h$ is to a template.** The gap between two logits is half the
# difference of two squared distances, plus the difference of two third terms. Now read the box of section 2 again. It
# wants the gap to be the same for every wrong
# class, so (as far as the third term is alike for all) $h$ should be close to its own template and *equally far from all
# the others*. The plain loss wants $h$ far from the others and does not care how far from which.
#
# **Their picture.** Three templates span a plane. Project the activations of images of these three classes onto it:
# take the templates $a, b, c$ of three classes, make an orthonormal basis of the plane's two directions by Gram and Schmidt,
#
# $$e_1 = \frac{b-a}{\|b-a\|}, \qquad r = (c-a) - \big((c-a)^\top e_1\big)\,e_1, \qquad e_2 = \frac{r}{\|r\|},$$
#
# and give each image the coordinates $\big(h^\top e_1,\; h^\top e_2\big)$.
#
# If smoothing does what the box says, each class should be a tight heap, and the three heaps the corners of an even
# triangle, also where two of the classes look alike. We draw it for three unlike classes and for three of which two are
# alike (T-shirt and shirt).

# %%
q6 = predict(
    "Three unlike classes in their plane, training images: spread of the heaps over the distance "
    "between them. With alpha = 0.1 they are ...",
    ["tighter", "about the same", "looser"],
    mine=None,
)


# %% tags=["nbval-ignore-output"]
def plane(templates: Tensor) -> Tensor:
    """Orthonormal basis (features, 2) of the plane through three templates (3, features)."""
    a, b, c = templates
    first = (b - a) / (b - a).norm()
    second = (c - a) - (c - a) @ first * first
    return torch.stack([first, second / second.norm()], dim=1)


@torch.no_grad()
def penultimate(model: SmallCNN, split: Split) -> Tensor:
    """The activations that enter the last layer, (N, features), in evaluation mode."""
    with evaluating(model), recording(model, ["pool"]) as outputs:
        model(split.images.to(next(model.parameters()).device))
    return outputs["pool"].flatten(1).cpu()


THREE = {
    "unlike": ("trousers", "bag", "ankle boot"),
    "two alike": ("T-shirt", "shirt", "trousers"),
}

if ready(smooth_labels, LabelSmoothingCrossEntropy):
    panels = {}
    for name, runs in networks.items():
        model, _ = runs[0]
        weight = model.classifier.weight.detach().cpu()
        for which, names in THREE.items():
            classes = [data.class_names.index(each) for each in names]
            for title, split in splits.items():
                points = penultimate(model, split) @ plane(weight[classes])
                panels[f"{name}, {which},\n{title}"] = {
                    each: points[split.labels == k]
                    for each, k in zip(names, classes, strict=True)
                }
    show(
        clusters(panels, 4, "along the first direction", "along the second"),
        "Eight scatter plots of activations projected onto the plane of three templates. Above, "
        "one-hot: wide clouds of different shapes. Below, smoothed: three rounder heaps at the corners of "
        "a triangle, but for T-shirt and shirt on validation images, which stay mixed; the table below "
        "has how tight they are.",
    )

# %% [markdown]
# **What to see.** The upper row is without smoothing, the lower with; each panel has its own scale, in units of the activations
# (the smoothed ones are smaller all over). Above, clouds are drawn out, each in its own way; below, they are rounder,
# and each looks the same from the other two. Compare the left half with the right: T-shirts and shirts stay mixed on
# validation images with either loss, for smoothing makes nothing visible that the network cannot see.
#
# One seed and five classes are an anecdote. So here are numbers over all seeds. The **spread** of heaps is the mean squared
# distance of an image from the mean of its class, over the mean squared distance of the class means from their own mean:
# in the two planes, and in the space that all *ten* templates span. And for the box's second claim the **unevenness** of the
# wrong logits: how much the nine logits of the wrong classes differ from one another (their standard deviation), over the
# mean gap to the true one. Equally low for all others would be 0. The same number without the third term, that is of
# half the squared distances, says whether $h$ is as equally *far* from the other templates.


# %% tags=["nbval-ignore-output"]
def spread_ratio(points: Tensor, labels: Tensor) -> float:
    """Mean squared distance from the own class mean, over that of class means from theirs."""
    each = [points[labels == k] for k in labels.unique()]
    means = torch.stack([heap.mean(dim=0) for heap in each])
    within = [
        (heap - m).square().sum(dim=1).mean() for heap, m in zip(each, means, strict=True)
    ]
    between = (means - means.mean(dim=0)).square().sum(dim=1).mean()
    return float(torch.stack(within).mean() / between)


def unevenness(logits: Tensor, labels: Tensor) -> float:
    """Standard deviation of the wrong classes' logits, over the mean gap to the true one."""
    true = F.one_hot(labels, 10).bool()
    wrong = logits[~true].view(-1, 9)
    return float(wrong.std(dim=1).mean() / (logits[true] - wrong.mean(dim=1)).mean())


if ready(smooth_labels, LabelSmoothingCrossEntropy):
    inside: dict[str, dict[str, list[float]]] = {}
    for title, split in splits.items():
        for name, runs in networks.items():
            for model, _ in runs:
                points = penultimate(model, split)
                weight = model.classifier.weight.detach().cpu()
                measured = {}
                for which, names in THREE.items():
                    classes = torch.tensor([data.class_names.index(each) for each in names])
                    some = torch.isin(split.labels, classes)
                    measured[f"spread, {which}"] = spread_ratio(
                        points[some] @ plane(weight[classes]), split.labels[some]
                    )
                directions, _ = torch.linalg.qr((weight[1:] - weight[0]).T)
                measured["spread, all ten"] = spread_ratio(points @ directions, split.labels)
                logits = logits_of(model, split.images)
                measured["unevenness of the wrong logits"] = unevenness(logits, split.labels)
                third = weight.square().sum(dim=1) / 2 + model.classifier.bias.detach().cpu()
                measured["unevenness of the distances"] = unevenness(
                    logits - third, split.labels
                )
                for what, value in measured.items():
                    by_name = inside.setdefault(f"{title.split()[0]}: {what}", {})
                    by_name.setdefault(name, []).append(value)
    print(f"mean ± standard deviation over {len(SEEDS)} seeds")
    compared(inside)
    plain, smoothed = inside["training: spread, unlike"].values()
    apart = [b - a for a, b in zip(plain, smoothed, strict=True)]
    q6.compare(
        "b" if not differs(apart) else "a" if sum(apart) < 0 else "c",
        "That is in the plane of the unlike classes. Now read the other rows before you generalise.",
    )

# %% [markdown]
# **What we measured.** The picture is the paper's, and the first row of numbers agrees with it: the three unlike classes are
# tighter in their plane (spread 0.085 ± 0.011 with one-hot targets, 0.050 ± 0.005 with smoothed ones). So, a little, are those
# of which two are alike, but on the training images only: on validation images their spread *rose*, from 0.26 to 0.35. And
# over all ten classes in the space of all templates heaps are **looser**, 0.30 against 0.25 on the training images, and on
# validation images 0.53 against 0.32. (Over ten seeds all of this stays as it is: −0.037 ± 0.007 and
# −0.022 ± 0.017 for the two planes and +0.046 ± 0.023 for all ten classes on training images, +0.203 ± 0.036 for all ten
# on validation images; there the two planes have −0.022 ± 0.012 for the unlike and +0.076 ± 0.026 for the alike.)
# "Smoothing makes tight clusters" is thus more than we can say.
#
# What did hold, clearly and on both sets, is the second claim: the unevenness of the wrong logits fell,
# from 0.42 ± 0.03 to 0.22 ± 0.01 on training images and from 0.46 to 0.28 on validation images.
# So did that of the distances, by nearly the same numbers: the third term hardly matters here. An image became about
# equally unlike *everything* it is not. That is what the box asks
# for, and it has a price: how much a shirt resembles a pullover could be read off the wrong logits before, and can be less
# now. Müller et al. found that such a network makes a poorer *teacher* in distillation, where a small network learns from the
# logits of a large one.
#
# Why looser? A reading, not a result: with one-hot targets easy images are pushed out ever further, so the distance between class
# means, by which we divide, grows with them; and classes that the network does mix up (T-shirt and shirt, pullover and coat) are
# drawn apart less by a loss that is content with a gap of 4.51. The paper's networks were
# trained for long on many more images, and presumably had few such classes left on their training set.
#
# ## 9 · Explore
#
# Left, the targets; right, the loss of section 2 against the gap, with your functions. Where is the lowest point, and how does
# the line beyond it tilt? Set $K = 2$, then 30: does the gap grow or shrink? What happens to the two targets at $\alpha = 1$, and
# to the lowest point? And at which $\alpha$ would the gap for $K = 10$ be below 2?
# (Answers, by the box, with $\alpha = 0.1$ for the first two: beyond the lowest point the line tilts by
# $\alpha\frac{K-1}{K}$ nats a unit;
# the gap grows, from $\log 19 = 2.94$ to $\log 271 = 5.60$; at $\alpha = 1$ both targets are $1/K$ and the gap is 0; and
# $\alpha > 10/(9 + e^2) = 0.61$.)

# %% tags=["nbval-ignore-output"]
if ready(smooth_labels, LabelSmoothingCrossEntropy):

    def loss_of(logits: Tensor, a: float) -> Tensor:
        zeros = torch.zeros(len(logits), dtype=torch.long)
        return LabelSmoothingCrossEntropy(alpha=a, reduction="none")(logits, zeros)

    smoothing_explorer(lambda a, k: smooth_labels(torch.tensor([0]), k, a)[0], loss_of)

# %% [markdown]
# ## 10 · A written question
#
# A colleague classifies ten kinds of clothes and has switched on `label_smoothing=0.1`. "Before, the training loss went down to
# 0.02," she says, "now it is stuck at 0.54, and the network never says more than about 0.91. Smoothing makes it underfit.
# I switch it off." In four or five sentences: what is the lowest training loss she could see, and why; where do the 0.91
# come from; which numbers should she compare instead; and name one purpose for which you would advise *against*
# smoothing. Use what you derived and measured.

# %% [markdown] written="stuck_at_the_floor"
# **Your answer**
#
# ### BEGIN SOLUTION
# The smoothed loss is lowest where the network's probabilities equal the targets, and there it is the entropy of the
# targets: for K = 10 and alpha = 0.1 that is −0.91 log 0.91 − 9 · 0.01 log 0.01 = 0.50 nats. So 0.54 is 0.04 above the best
# that is possible, a distance of the same order as her 0.02 above 0, and says nothing of underfitting. 0.91 is the target
# of the true class, 1 − 0.1 + 0.1/10: more certainty would *raise* the loss, since the optimal logit gap is log 91 = 4.51
# and not infinite. She should compare both networks by the same measures on validation images: accuracy and the plain
# cross-entropy, over several seeds; in our measurement the accuracy was about one point higher with smoothing, and the
# plain loss lower at the end of training, though not at each network's best epoch. I would advise against it for a network
# that is to be the teacher in distillation, because
# smoothing makes the logits of the wrong classes alike and so erases what they say about resemblances (Müller et al.).
#
# *Rubric, 2 points.* 1 point for the floor: the lowest value is the entropy of the targets, or the loss cannot reach zero
# because targets are never one-hot (the number 0.50 or a correct formula), and 0.91 = 1 − alpha + alpha/K. 1 point for
# both of: comparing by the same plain measures (accuracy, plain cross-entropy) on validation images; and one sensible purpose
# against it, with a reason (a teacher for distillation; where similarities between classes or differences in confidence
# are used, such as ranking or rejecting by confidence; where true probabilities near 1 matter). Half points are
# possible. Not right: "the loss is higher because the network is worse", or "smoothing always improves calibration".
# ### END SOLUTION

# %% [markdown]
# ## 11 · The library's own
#
# PyTorch has it as an argument of its cross-entropy, so in practice the whole unit is one line:
#
# ```python
# loss = nn.CrossEntropyLoss(label_smoothing=0.1)   # or F.cross_entropy(logits, target, label_smoothing=0.1)
# ```
#
# Does it agree with yours? The loss is deterministic, so this time number by number, for each reduction, for two values of
# $\alpha$, and for logits of 10 000:

# %%
if ready(smooth_labels, LabelSmoothingCrossEntropy):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(64, 10, generator=generator) * 3
    target = torch.randint(10, (64,), generator=generator)
    for reduction in ("mean", "sum", "none"):
        for a in (0.1, 0.7):
            mine = LabelSmoothingCrossEntropy(alpha=a, reduction=reduction)(logits, target)
            theirs = F.cross_entropy(logits, target, reduction=reduction, label_smoothing=a)
            same = torch.allclose(mine, theirs, rtol=1e-5, atol=1e-5)
            print(f"{reduction:4}  alpha = {a}:  shape {tuple(mine.shape)!s:6} same: {same}")
    huge = 1e4 * logits.sign()
    mine = LabelSmoothingCrossEntropy(alpha=0.1)(huge, target)
    theirs = F.cross_entropy(huge, target, label_smoothing=0.1)
    print("logits of 10 000:  same:", torch.allclose(mine, theirs, rtol=1e-5))

# %% [markdown]
# Three things to know about it. The same object is often used for the validation loss, which then is the smoothed one and not
# comparable with anybody's: use a plain `F.cross_entropy` there. It also takes targets (N, K), so your `smooth_labels` and
# a cross-entropy without the argument do the same; that is the way when targets are soft for another reason as well, as
# with mixup in unit 09. And with its `weight` argument each *class term* of an example is weighed by the weight of that class,
# so that smoothing then spreads weighted shares: read its documentation before you combine the two.
#
# ## Further reading
#
# - C. Szegedy et al., 2016, [arXiv:1512.00567](https://arxiv.org/abs/1512.00567). Section 7 is one page. On ImageNet they
#   report an improvement of about 0.2 percentage points, in both the top-1 and the top-5 error.
# - R. Müller, S. Kornblith and G. Hinton, 2019, [arXiv:1906.02629](https://arxiv.org/abs/1906.02629): the picture of section
#   8, on larger networks, and the two sides of it, calibration (unit 06 measures that) and distillation.
# - G. Pereyra, G. Tucker, J. Chorowski, Ł. Kaiser and G. Hinton, *Regularizing Neural Networks by Penalizing Confident Output
#   Distributions*, 2017, [arXiv:1701.06548](https://arxiv.org/abs/1701.06548): the divergence of section 2 turned round,
#   $\mathrm{KL}(p\,\|\,u)$ in place of $\mathrm{KL}(u\,\|\,p)$.
# - M. Lukasik, S. Bhojanapalli, A. K. Menon and S. Kumar, *Does Label Smoothing Mitigate Label Noise?*, 2020,
#   [arXiv:2003.02819](https://arxiv.org/abs/2003.02819): what if some labels are wrong to begin with?

# %%
progress()
