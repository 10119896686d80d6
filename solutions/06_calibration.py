# ---
# jupyter:
#   autograder: {title: Calibration, technique: Measuring confidence and correcting it, paper: "Guo et al. 2017", minutes: 75}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Calibration
#
# **After this notebook you will be able to**
#
# - draw a reliability diagram, compute the expected calibration error, and say what it measures and what it cannot;
# - derive temperature scaling, build it, and use it on held-out images as it should be used;
# - answer, with seeds and with an honest yardstick, whether label smoothing calibrates a network.
#
# **Time:** about 75 minutes. **Before it:** unit 00. Unit 05 builds label smoothing; here we take the library's.
# **The papers:** C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger, *On Calibration of Modern Neural Networks*, ICML 2017,
# [arXiv:1706.04599](https://arxiv.org/abs/1706.04599), sections 2 and 4; the error is from M. P. Naeini, G. F. Cooper and
# M. Hauskrecht, *Obtaining Well Calibrated Probabilities Using Bayesian Binning*, AAAI 2015; that smoothing calibrates is
# said in R. Müller, S. Kornblith and G. Hinton, *When Does Label Smoothing Help?*, NeurIPS 2019,
# [arXiv:1906.02629](https://arxiv.org/abs/1906.02629), section 3.

# %% setup=true
import math

import torch
from torch import Tensor

from autograder import check, progress, ready

# %%
from dataclasses import replace
from functools import partial

from scipy.optimize import minimize_scalar
from scipy.stats import binned_statistic
from torch.nn import functional as F

from reglab.data import Data, Split, load
from reglab.models import SmallCNN
from reglab.plots import lines, reliability_diagrams, show
from reglab.predict import predict
from reglab.training import differs, logits_of, mean_and_spread, train
from reglab.widgets import temperature_explorer

# %% [markdown]
# ## 1 · What should "80 %" mean?
#
# A network that says *coat, 80 %* makes a promise: of the images about which it says that, four in five should be what it
# says. Whether it keeps the promise cannot be seen from one image, which is a coat or is not. It takes a group.
#
# Here are eight predictions for four classes. The **confidence** of a prediction is its largest probability, and it is
# right if the class of that probability is the label. Sort them by eye into the five bins [0, 0.2), [0.2, 0.4), and so
# on: which bins are filled, and in each, what is the mean confidence and what the share of right answers?

# %%
eight_probs = torch.tensor(
    [
        [0.30, 0.25, 0.25, 0.20],
        [0.20, 0.35, 0.25, 0.20],
        [0.10, 0.10, 0.70, 0.10],
        [0.05, 0.10, 0.10, 0.75],
        [0.90, 0.05, 0.03, 0.02],
        [0.02, 0.95, 0.02, 0.01],
        [0.02, 0.02, 0.95, 0.01],
        [0.00, 0.00, 0.00, 1.00],
    ]
)
eight_labels = torch.tensor([2, 1, 2, 0, 0, 1, 3, 3])
for probs, label in zip(eight_probs, eight_labels, strict=True):
    confidence, chosen = probs.max(dim=0)
    said = "right" if chosen == label else "wrong"
    print(f"says class {int(chosen)} with {float(confidence):.2f}: {said}")

# %% [markdown]
# Two predictions are between 0.2 and 0.4, mean confidence 0.325, and one of them is right: 0.5. Two are between 0.6 and
# 0.8, mean 0.725, one right: 0.5. Four are between 0.8 and 1, mean 0.95, three right: 0.75. The other two bins are
# empty. (The last prediction has a confidence of exactly 1. It belongs to the last bin, which is the only one to own its
# upper edge.) In the first group the network is too modest, in the other two too sure of itself.
#
# ## 2 · The mathematics
#
# Let $\hat p$ be the confidence of a prediction and $H \in \{0, 1\}$ say whether it is right. The network is **calibrated**
# (in its first choice, which is all we look at here) if
#
# $$P(H = 1 \mid \hat p = c) = c \qquad\text{for every } c .$$
#
# No finite set of images has many with exactly the same $c$, so we sort confidences into $B$ equal intervals of
# $[0, 1]$. Bin $b$ holds $n_b$ of the $N$ examples, with mean confidence $\operatorname{conf}_b$ and accuracy
# $\operatorname{acc}_b$. The **reliability diagram** plots the one against the other; the **expected calibration error**
# is the mean distance between them, over *examples*:
#
# $$\mathrm{ECE} = \sum_{b=1}^{B} \frac{n_b}{N}\,\big|\operatorname{acc}_b - \operatorname{conf}_b\big| .$$
#
# For the eight above: $\frac28 \cdot 0.175 + \frac28 \cdot 0.225 + \frac48 \cdot 0.2 = 0.2$.
#
# **Bins hide errors.** Write $d_i = h_i - \hat p_i$ for what example $i$ is off by. Then $n_b\,(\operatorname{acc}_b -
# \operatorname{conf}_b) = \sum_{i \in b} d_i$, and
#
# $$\mathrm{ECE} = \frac1N \sum_b \Big|\sum_{i\in b} d_i\Big| .$$
#
# By the triangle inequality, merging bins can never make this larger. With one bin it is the difference of mean
# confidence and accuracy over everything, with bins so narrow that each holds one example it is $\frac1N \sum_i |d_i|$,
# which for a calibrated network is the mean of $2\hat p\,(1-\hat p)$, not 0: 0.42 where it says 70 %. So an ECE without its
# bins says nothing.
#
# **Bins also make errors.** Let a network be perfectly calibrated. Then in a bin whose confidences are about $p$ the
# number of right answers is that of $n_b$ coins, $\operatorname{acc}_b - \operatorname{conf}_b$ has mean 0 and standard
# deviation $\sqrt{p(1-p)/n_b}$, and the mean of its absolute value is, for a normal variable, $\sqrt{2/\pi}$ times that.
# Hence
#
# $$\mathbb E[\mathrm{ECE}] \;\approx\; \sqrt{\frac{2}{\pi N}}\;\sum_b \sqrt{\frac{n_b}{N}\;p_b (1-p_b)}
#   \;\le\; \sqrt{\frac{B}{2\pi N}} ,$$
#
# where the bound takes $p_b(1-p_b) \le \frac14$ and Cauchy and Schwarz's inequality (and a bin of very few examples is not
# normal, so there the formula is rough). **The ECE of a perfect network is not
# 0**, and falls only with the square root of $N$. We shall call what a calibrated network would get, with these bins and
# this many images, the **floor**, and look at no ECE without it.

# %% [markdown]
# ## 3 · The bins
#
# **Exercise `reliability_bins`** · difficulty ●●○ · about 15 minutes
#
# Which bin does a confidence of 1 belong to, and what is the mean of a bin that holds nothing? Everything else is a sum
# over bins.


# %% exercise="reliability_bins"
def reliability_bins(
    probs: Tensor, target: Tensor, n_bins: int = 15
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean confidence, accuracy and number of examples in each of n_bins equal bins of [0, 1].

    These are what a reliability diagram draws (Guo et al. 2017, section 2).

    The confidence of an example is the largest probability of its row; the example is right if
    the class of that probability is its target. A confidence of exactly 1 is in the last bin.
    Which of two bins owns the edge between them is up to you, but each example is in one bin.

    Args:
        probs: probabilities; each row is one example and sums to 1.
        target: the right class of each example, integers from 0 to K - 1.
        n_bins: the number of bins; bin b reaches from b / n_bins to (b + 1) / n_bins.

    Shape:
        - probs: (N, K), N at least 1
        - target: (N,)
        - Output: three tensors of shape (n_bins,)

    Returns:
        (confidence, accuracy, count): the mean confidence of the examples in each bin, the
        fraction of them that are right, and how many there are (integer or floating). In an
        empty bin accuracy and count are 0, and the mean confidence is up to you. `probs` and
        `target` are left as they are.
    """
    ### BEGIN SOLUTION
    confidence, chosen = probs.max(dim=1)
    bins = (confidence * n_bins).long().clamp(max=n_bins - 1)  # 1.0 has the last bin
    hit = (chosen == target).to(confidence.dtype)
    weights = (confidence, hit, torch.ones_like(hit))
    total, hits, count = (torch.bincount(bins, w, minlength=n_bins) for w in weights)
    size = count.clamp(min=1)  # an empty bin: 0 / 1, not 0 / 0
    return total / size, hits / size, count
    ### END SOLUTION


# %% [markdown]
# <!-- hints: reliability_bins -->

# %% check="reliability_bins"
check(reliability_bins)

# %% [markdown]
# The eight predictions of section 1 once more. Compare each number with what you found by eye.

# %%
if ready(reliability_bins):
    confidence, accuracy, count = reliability_bins(eight_probs, eight_labels, n_bins=5)
    for b in range(5):
        inside = f"{int(count[b])} examples"
        if count[b]:
            inside += (
                f", confidence {float(confidence[b]):.3f}, accuracy {float(accuracy[b]):.3f}"
            )
        print(f"bin [{b / 5:.1f}, {(b + 1) / 5:.1f}{']' if b == 4 else ')'}: {inside}")

# %% [markdown]
# ## 4 · One number
#
# **Exercise `expected_calibration_error`** · difficulty ●○○ · about 5 minutes
#
# By hand first: section 1's bins hold 2, 2 and 4 examples, with gaps of 0.175, 0.225 and 0.2, which gave 0.2. What is the plain
# mean over all five bins? And if 99 of 100 examples were in a single bin, what would such a mean say of them?


# %% exercise="expected_calibration_error"
def expected_calibration_error(probs: Tensor, target: Tensor, n_bins: int = 15) -> float:
    """The expected calibration error: the mean over examples of their bin's |accuracy - confidence|.

    (Naeini et al. 2015.)

    Args:
        probs: probabilities; each row is one example and sums to 1.
        target: the right class of each example, integers from 0 to K - 1.
        n_bins: the number of bins, as for `reliability_bins`, which you may use.

    Shape:
        - probs: (N, K), N at least 1
        - target: (N,)

    Returns:
        The sum over bins of n_b / N * |acc_b - conf_b|, a fraction between 0 and 1, as a Python
        float (a tensor of no dimensions will do). Empty bins add nothing. `probs` and `target`
        are left as they are.
    """
    ### BEGIN SOLUTION
    confidence, accuracy, count = reliability_bins(probs, target, n_bins)
    return float((count * (accuracy - confidence).abs()).sum() / count.sum())
    ### END SOLUTION


# %% [markdown]
# <!-- hints: expected_calibration_error -->

# %% check="expected_calibration_error"
check(expected_calibration_error)

# %%
if ready(reliability_bins, expected_calibration_error):
    for bins in (1, 5, 100):
        error = float(expected_calibration_error(eight_probs, eight_labels, n_bins=bins))
        print(f"the eight predictions with {bins} bins: ECE {error:.4f}")

# %% [markdown]
# With five bins it is the 0.2 from above. With one bin, less, with a hundred, more, as section 2 said: the same
# predictions, the same labels.
#
# ### The floor, measured
#
# Now a predictor that is perfectly calibrated *because we made it so*: two classes, a confidence drawn between 0.5 and 1,
# and a label that is the first choice with exactly that probability.

# %%
q1 = predict(
    "A perfectly calibrated predictor, N = 500 examples, 15 bins (of which it fills eight). "
    "What is its ECE, on average?",
    ["0", "about 0.002", "about 0.04", "about 0.2"],
    mine=None,
)

# %%
SIZES, DRAWS = (100, 500, 2000, 10_000, 50_000), 40


def perfect(examples: int, coins: torch.Generator) -> tuple[Tensor, Tensor]:
    """Probabilities of two classes and labels drawn from them."""
    first = 0.5 + 0.5 * torch.rand(examples, generator=coins, dtype=torch.float64)
    target = (torch.rand(examples, generator=coins, dtype=torch.float64) >= first).long()
    return torch.stack([first, 1 - first], dim=1), target


if ready(reliability_bins, expected_calibration_error):
    coins = torch.Generator().manual_seed(0)
    floors, formula = [], []
    for examples in SIZES:
        errors = [
            float(expected_calibration_error(*perfect(examples, coins))) for _ in range(DRAWS)
        ]
        floors.append(sum(errors) / DRAWS)
        confidence, _, count = reliability_bins(*perfect(examples, coins))
        confidence, share = (
            confidence[count > 0].double(),
            (count[count > 0] / examples).double(),
        )
        spread = (share * confidence * (1 - confidence)).sqrt().sum()
        formula.append(math.sqrt(2 / (math.pi * examples)) * float(spread))
        print(f"N = {examples:6}: mean ECE {floors[-1]:.3f}, by the formula {formula[-1]:.3f}")
    q1.compare(
        "abcd"[min(range(4), key=lambda k: abs([0, 0.002, 0.04, 0.2][k] - floors[1]))],
        "Each bin's accuracy is off by chance, and the absolute value lets nothing cancel.",
    )

# %% tags=["nbval-ignore-output"]
if ready(reliability_bins, expected_calibration_error):
    figure = lines(
        SIZES,
        {"measured, mean of 40": floors, "formula": formula},
        "number of examples N (logarithmic)",
        "ECE of a perfect predictor",
    )
    figure.axes[0].set(xscale="log", yscale="log")
    figure.axes[0].set_xticks(list(SIZES), [f"{n:,}" for n in SIZES])
    show(
        figure,
        "The calibration error of a perfectly calibrated predictor against the number of "
        "examples, both axes logarithmic: measured and by the formula, "
        + ", ".join(f"{f:.4f} at N = {n}" for n, f in zip(SIZES, floors, strict=True))
        + ".",
    )

# %% [markdown]
# **What to see.** A straight line that falls by one decade where $N$ grows by two: the square root. The formula lies on
# it. With the 500 validation images on which we shall report, a difference of 0.01 between two networks that both lie
# near the floor means nothing.

# %% [markdown]
# ## 5 · Temperature
#
# The simplest cure has a single number. Divide all logits by a **temperature** $T > 0$ before the softmax: $T > 1$ makes
# every prediction softer, $T < 1$ sharper. The order of the logits stays, so **the answers, and the accuracy, are exactly
# what they were**; only the confidence changes. Which $T$? The one with the smallest cross-entropy on images that the
# network has not learned from.
#
# **There is one valley.** Write $\beta = 1/T$. For logits $z$ and label $y$ the loss is $\ell(\beta) = \log \sum_k
# e^{\beta z_k} - \beta z_y$. With $q = \operatorname{softmax}(\beta z)$,
#
# $$\ell'(\beta) = \sum_k q_k z_k - z_y, \qquad
#   \ell''(\beta) = \sum_k q_k z_k^2 - \Big(\sum_k q_k z_k\Big)^2 = \operatorname{Var}_{k\sim q}(z_k) \ge 0 .$$
#
# (The first is the chain rule; for the second, $\mathrm dq_k/\mathrm d\beta = q_k (z_k - \sum_j q_j z_j)$.) A mean of
# convex functions is convex: as a function of $1/T$ the loss has one valley, and any method that goes downhill finds its
# bottom. There, averaged over the examples,
#
# $$\boxed{\;\frac1N\sum_i z_{i,y_i} \;=\; \frac1N\sum_i \sum_k q_{ik}\, z_{ik}\;}$$
#
# the logit of the true class is on average what the network expects it to be. If the right side is the larger one, the
# network expects more than it gets: it is too sure of itself, and $T$ has to grow. That is the whole algorithm.
#
# **Where it ends.** If all answers are right, the left side is always the larger one and $T$ runs to 0. If the true
# class's logit is no higher, on average, than the mean of its row, then the loss falls all the way to $T = \infty$. In
# between there is a finite best $T$. And since it is *one* number, it cannot mend a network that is too sure in one bin and
# too modest in another. Nor does it minimise the ECE, which looks at the first choice alone, while the loss looks at the
# probability of the true class, whichever place that has. (Take section 1's bins to heart: an optimizer of the ECE would
# also jump with every example that changes its bin.)
#
# **Exercise `fit_temperature`** · difficulty ●●● · about 20 minutes
#
# Which sign has $\ell'(1)$ if the network is too sure? If the best $T$ lies between 0.05 and 20, how often must you halve that
# interval, in $\log T$, to know it to 1 %?


# %% exercise="fit_temperature"
def fit_temperature(logits: Tensor, target: Tensor) -> float:
    """The temperature T > 0 with the smallest mean cross-entropy of softmax(logits / T).

    (Guo et al. 2017, section 4.)

    Args:
        logits: scores, any real numbers, far from 0 too; they may want a gradient.
        target: the right class of each example, integers from 0 to K - 1.

    Shape:
        - logits: (N, K), N at least 1
        - target: (N,)

    Returns:
        The best temperature, to 1 %, as a Python float (a tensor of no dimensions will do, if it
        carries no graph). You may rely on its lying between 0.05 and 20; what you return where no
        such T is best is up to you. The inputs and their gradients are left as they are.
    """
    ### BEGIN SOLUTION
    z = logits.detach().double()
    true = z.gather(1, target.unsqueeze(1)).mean()
    low, high = math.log(0.01), math.log(100)  # in log T, so that T stays positive
    for _ in range(50):
        middle = (low + high) / 2
        expected = ((z / math.exp(middle)).softmax(dim=1) * z).sum(dim=1).mean()
        low, high = (middle, high) if expected > true else (low, middle)
    return math.exp(middle)
    ### END SOLUTION


# %% [markdown]
# <!-- hints: fit_temperature -->

# %% check="fit_temperature"
check(fit_temperature)

# %% [markdown]
# A test you can do by hand: one row of logits $(\log 3, 0)$ says 75 % and 25 %. Let it occur four times, with the first
# class right in *two* of four. What does the temperature have to do, and can it? And with three right of four?

# %%
if ready(fit_temperature):
    four = torch.tensor([[math.log(3), 0.0]]).repeat(4, 1)
    three_right = float(fit_temperature(four, torch.tensor([0, 0, 0, 1])))
    print(f"75 % said, three of four right: T = {three_right:.2f}")
    five = torch.tensor([[math.log(3), 0.0]]).repeat(5, 1)
    three_of_five = float(fit_temperature(five, torch.tensor([0, 0, 0, 1, 1])))
    print(f"75 % said, three of five right: T = {three_of_five:.2f}")
    print(f"log 3 / log 1.5 = {math.log(3) / math.log(1.5):.2f}")

# %% [markdown]
# With three of four right nothing needs to change, $T = 1$. With three of five the odds should be 1.5 instead of 3, and
# $\log 3 / T = \log 1.5$ gives $T = \log 3/\log 1.5 = 2.71$. With two of four right it would take even odds, which only $T =
# \infty$ gives: that is why we did not ask for it.

# %% [markdown]
# ## 6 · Does smoothing calibrate?
#
# Label smoothing trains towards targets that are never 1, and it has been reported to improve calibration. On these
# images, with this network? We train the small CNN on 1000 images for 12 epochs in four ways: with the plain cross-entropy
# and with the library's `F.cross_entropy(..., label_smoothing=0.1)`, and each of the two on clean labels and on labels of
# which one in five was replaced by a class drawn at random (so that 18 % are wrong). Three seeds; the networks of a
# seed start from the same weights and see the same batches.
#
# **How we measure.** The validation images, whose labels are always the clean ones, are divided: on the first 500 the
# temperature is fitted, on the other 500 everything is reported. A temperature judged on the images that it was fitted
# to would be flattered. (With one number to fit not by much; but the habit is worth having, and for a method with
# more numbers it decides.) Beside each ECE stands its floor: the mean ECE, over 100 draws, for the same predictions
# with labels drawn from the predicted probabilities themselves, for which they are calibrated by construction.

# %%
q2 = predict(
    "Clean labels: whose ECE is smaller, averaged over the seeds (before any temperature)?",
    [
        "that of plain training, clearly",
        "that of smoothing, clearly",
        "no clear difference",
    ],
    mine=None,
)

# %%
q3 = predict(
    "Trained on noisy labels WITHOUT smoothing: what is the network, on clean validation images?",
    ["too sure of itself", "not sure enough", "about right"],
    mine=None,
)

# %% tags=["nbval-ignore-output"]
IMAGES, EPOCHS, SEEDS, ALPHA, NOISE = 1000, 12, (0, 1, 2), 0.1, 0.2
data = load().with_train(IMAGES)
labels = data.validation.labels
FIT, REPORT = slice(None, 500), slice(500, None)


def with_noise(data: Data, noise: float, seed: int) -> Data:
    """Replace each training label, with probability `noise`, by a class drawn from all ten."""
    coins = torch.Generator().manual_seed(seed)
    clean = data.train.labels
    replaced = torch.rand(len(clean), generator=coins) < noise
    drawn = torch.randint(0, len(data.class_names), clean.shape, generator=coins)
    return replace(data, train=Split(data.train.images, torch.where(replaced, drawn, clean)))


WAYS = {
    "plain": (0.0, 0.0),
    "smoothed": (ALPHA, 0.0),
    "plain, noise": (0.0, NOISE),
    "smoothed, noise": (ALPHA, NOISE),
}

if ready(reliability_bins, expected_calibration_error, fit_temperature):
    logits: dict[str, list[Tensor]] = {name: [] for name in WAYS}
    for name, (alpha, noise) in WAYS.items():
        for seed in SEEDS:
            torch.manual_seed(seed)
            model = SmallCNN()
            smoothed = partial(F.cross_entropy, label_smoothing=alpha)
            train(model, with_noise(data, noise, seed), EPOCHS, seed=seed, loss=smoothed)
            logits[name].append(logits_of(model, data.validation.images))


def floor(probs: Tensor, draws: int = 100) -> float:
    """The mean ECE of these predictions if they were calibrated: labels drawn from themselves."""
    coins = torch.Generator().manual_seed(0)
    drawn = torch.multinomial(probs, draws, replacement=True, generator=coins)
    return (
        sum(float(expected_calibration_error(probs, drawn[:, d])) for d in range(draws)) / draws
    )


def measured(z: Tensor) -> dict[str, float]:
    """Fit T on one half of the validation images; report on the other, before and after."""
    t = float(fit_temperature(z[FIT], labels[FIT]))
    z, y = z[REPORT], labels[REPORT]
    result = {"accuracy": float((z.argmax(1) == y).float().mean()), "T": t}
    for after, divisor in (("", 1.0), (" after T", t)):
        probs = (z / divisor).softmax(dim=1)
        result["confidence" + after] = float(probs.amax(1).mean())
        result["ECE" + after] = float(expected_calibration_error(probs, y))
        result["floor" + after] = floor(probs)
        result["loss" + after] = float(F.cross_entropy(z / divisor, y))
    return result


# %% tags=["nbval-ignore-output"]
if ready(reliability_bins, expected_calibration_error, fit_temperature):
    results = {name: [measured(z) for z in each] for name, each in logits.items()}
    print(f"mean ± standard deviation over {len(SEEDS)} seeds, on the 500 images not fitted on")
    print(" " * 18, *(f"{name:>17}" for name in WAYS))
    for metric in (
        *("accuracy", "confidence", "ECE", "floor", "loss", "T"),
        *("confidence after T", "ECE after T", "floor after T", "loss after T"),
    ):
        cells = (mean_and_spread([r[metric] for r in results[name]]) for name in WAYS)
        print(f"{metric:18}", *(f"    {mean:.3f} ± {s:.3f}" for mean, s in cells))
    print("\ndifferences of the ECE, seed by seed")
    for title, one, other in (
        ("smoothed - plain", ("smoothed", "ECE"), ("plain", "ECE")),
        ("plain after T - plain", ("plain", "ECE after T"), ("plain", "ECE")),
        ("smoothed - plain after T", ("smoothed", "ECE"), ("plain", "ECE after T")),
        ("noise: smoothed - plain", ("smoothed, noise", "ECE"), ("plain, noise", "ECE")),
        (
            "noise: plain after T - plain",
            ("plain, noise", "ECE after T"),
            ("plain, noise", "ECE"),
        ),
    ):
        pairs = zip(results[one[0]], results[other[0]], strict=True)
        mean, s = mean_and_spread([a[one[1]] - b[other[1]] for a, b in pairs])
        print(f"{title:30} {mean:+.3f} ± {s:.3f}")


# %% tags=["nbval-ignore-output"]
def pooled(name: str, tempered: bool = False) -> tuple[Tensor, Tensor]:
    """Probabilities and labels of the networks of all seeds together, each with its own T."""
    temperatures = [r["T"] if tempered else 1.0 for r in results[name]]
    pairs = zip(logits[name], temperatures, strict=True)
    return (
        torch.cat([(z[REPORT] / t).softmax(dim=1) for z, t in pairs]),
        labels[REPORT].repeat(len(SEEDS)),
    )


def diagrams(names: list[str]) -> None:
    """Show reliability diagrams before and after temperature, all seeds' predictions together.

    They are of the same images, so chance is that of one network's predictions.
    """
    shown = {name: pooled(name) for name in names}
    shown |= {f"{name},\nafter T": pooled(name, tempered=True) for name in names}
    errors = {name: float(expected_calibration_error(*pair)) for name, pair in shown.items()}
    told = ", ".join(f"{name!r} {error:.3f}" for name, error in errors.items())
    show(
        reliability_diagrams(
            {n: reliability_bins(*pair) for n, pair in shown.items()}, errors, len(SEEDS)
        ),
        "Reliability diagrams, accuracy against confidence with the share of examples in each "
        f"bin below. Calibration errors: {told}.".replace("\\n", " "),
    )


if ready(reliability_bins, expected_calibration_error, fit_temperature):
    diagrams(["plain", "smoothed"])

# %% [markdown]
# **What to see.** Bars are accuracies; the thick line from each bar's top goes to the mean confidence of the bin, which
# lies on the diagonal. Its whisker is one standard deviation of what the accuracy would be off by chance alone, $\sqrt{c(1-c)/n}$.
# Each panel holds 1500 predictions, but of 500 images only: three networks are right or wrong on an image largely together, so
# for $n$ we count a third of a bin's predictions. Bars below the diagonal: too sure; above: too modest. A bar at the far left
# that reaches up to 1, or is missing, is nothing to worry about: a bin with one or two examples, as the lower row shows. First
# panel: below, nearly everywhere. Second: above, nearly everywhere. Third and fourth: one number for each network has taken most
# of the gaps away. Which of those that are left are longer than two whiskers? The lower row shows how the crowd moved: without
# smoothing most predictions are in the last bin.

# %% tags=["nbval-ignore-output"]
if ready(reliability_bins, expected_calibration_error, fit_temperature):
    diagrams(["plain, noise", "smoothed, noise"])

# %% [markdown]
# **What to see.** The same for networks trained on noisy labels, always measured on clean ones. Before you read on: on
# which side of the diagonal are the bars of the first panel, and where were they in the figure above?

# %% tags=["nbval-ignore-output"]
if ready(reliability_bins, expected_calibration_error, fit_temperature):
    pairs = list(zip(results["smoothed"], results["plain"], strict=True))
    smoothed_less_plain = [a["ECE"] - b["ECE"] for a, b in pairs]
    q2.compare(
        "ba"[sum(smoothed_less_plain) > 0] if differs(smoothed_less_plain) else "c",
        "Smoothing turned an error to one side into one to the other. A difference is clear if its "
        "mean over the seeds is more than chance would give (t test, 5 %): with three seeds it "
        "takes a large one.",
    )
    surplus = [r["confidence"] - r["accuracy"] for r in results["plain, noise"]]
    mean, s = mean_and_spread(surplus)
    q3.compare(
        "c" if not differs(surplus) else "a" if mean > 0 else "b",
        f"Confidence less accuracy: {mean:+.3f} ± {s:.3f}. Labels of which every fifth may be anything "
        "teach a network that nothing is certain; the clean validation labels are more certain than that.",
    )

# %% [markdown]
# **What we measured.** With these three seeds, on clean labels, plain training was too sure of itself and smoothing not sure
# enough: mean confidences of 0.875 and 0.737 for accuracies of 0.811 and 0.833. The errors are to opposite sides, 0.070 ±
# 0.007 and 0.100 ± 0.024, with floors of 0.032 and 0.046. The fitted temperatures say the same, 1.56 ± 0.11 against 0.72 ±
# 0.03, and after them the errors were 0.030 ± 0.013 and 0.040 ± 0.002 where the floors are 0.039 and 0.037: nothing is left to
# be seen. On noisy labels plain training was not sure enough (0.662 for an accuracy of 0.754), and smoothing took it further
# from the diagonal, by 0.108 ± 0.007. (The ECE in the titles of the diagrams is smaller than the mean of the three networks':
# pooling their predictions, like merging bins, can never make it larger.)
#
# Three seeds leave much open, so we also ran ten, and two more amounts of smoothing (0 to 9; bins by NumPy and temperature by
# SciPy: `python solutions/experiments/06_calibration.py` in the course's repository). Mean ± standard deviation over the ten.
# (The standard error of such a mean is about a third of that. We call a mean difference clear if it is more than 0.72
# standard deviations from 0: that is the t test at 5 % for ten seeds.)
#
# | clean labels | accuracy | confidence | ECE | floor | loss | T | ECE after T | floor after T | loss after T |
# |---|---|---|---|---|---|---|---|---|---|
# | α = 0 | 0.804 ± 0.017 | 0.874 ± 0.010 | 0.077 ± 0.013 | 0.032 | 0.630 ± 0.055 | 1.53 ± 0.12 | 0.037 ± 0.010 | 0.039 | 0.559 ± 0.030 |
# | α = 0.05 | 0.822 ± 0.014 | 0.790 ± 0.014 | 0.053 ± 0.008 | 0.042 | 0.558 ± 0.023 | 0.87 ± 0.04 | 0.039 ± 0.006 | 0.038 | 0.549 ± 0.024 |
# | α = 0.1 | 0.826 ± 0.011 | 0.741 ± 0.017 | 0.092 ± 0.015 | 0.046 | 0.588 ± 0.021 | 0.74 ± 0.03 | 0.037 ± 0.007 | 0.038 | 0.545 ± 0.022 |
# | α = 0.2 | 0.825 ± 0.008 | 0.657 ± 0.016 | 0.171 ± 0.021 | 0.052 | 0.673 ± 0.023 | 0.61 ± 0.03 | 0.038 ± 0.007 | 0.038 | 0.543 ± 0.018 |
#
# | noisy labels | accuracy | confidence | ECE | floor | loss | T | ECE after T | floor after T | loss after T |
# |---|---|---|---|---|---|---|---|---|---|
# | α = 0 | 0.755 ± 0.031 | 0.657 ± 0.037 | 0.105 ± 0.032 | 0.051 | 0.832 ± 0.067 | 0.79 ± 0.07 | 0.053 ± 0.011 | 0.046 | 0.802 ± 0.069 |
# | α = 0.05 | 0.764 ± 0.021 | 0.611 ± 0.032 | 0.155 ± 0.027 | 0.053 | 0.837 ± 0.053 | 0.67 ± 0.05 | 0.046 ± 0.008 | 0.045 | 0.754 ± 0.054 |
# | α = 0.1 | 0.770 ± 0.021 | 0.574 ± 0.025 | 0.198 ± 0.027 | 0.054 | 0.873 ± 0.052 | 0.61 ± 0.05 | 0.050 ± 0.015 | 0.045 | 0.739 ± 0.065 |
# | α = 0.2 | 0.790 ± 0.012 | 0.523 ± 0.031 | 0.268 ± 0.032 | 0.054 | 0.923 ± 0.058 | 0.52 ± 0.04 | 0.042 ± 0.013 | 0.044 | 0.698 ± 0.042 |
#
# - **Clean labels: smoothing with α = 0.1 did not calibrate; it changed the sign.** Plain training was too sure (it says
#   0.87 and is right in 0.80), smoothing too modest (0.74 and 0.83). Its ECE was, if anything, larger: +0.016 ± 0.022 seed
#   by seed, just short of what our rule calls clear. (The three seeds above, which are among the ten, gave +0.030 ± 0.027: a larger
#   difference, and not a clear one.) In between there is an amount that lies about right: α = 0.05 had the smallest ECE
#   before temperature, −0.023 ± 0.018 against plain training, the best of the four on the images that we report on. So the α
#   you choose is a choice of confidence, and nobody tells you which is right but a held-out set.
# - **Noisy labels: plain training was too modest already**, and every bit of smoothing made it worse, by 0.093 ± 0.015 for
#   α = 0.1. Noise is a smoothing of its own: with one label in five replaced by any class, a network that learns what it is
#   shown should give the best class 0.82, whatever the image.
# - **One temperature, fitted on 500 images, brought all eight to the floor**, or within 0.01 of it. After it there was next to
#   nothing left in the ECE to choose between them: smoothing with α = 0.1 against plain, both after temperature, 0.000 ± 0.011 on
#   clean labels and −0.003 ± 0.017 on noisy ones. (Of the six such differences one is clear, −0.012 ± 0.013 for α = 0.2 on noisy
#   labels.)
# - Smoothing was not useless. It came with a higher accuracy, by 0.022 ± 0.018 on clean labels (α = 0.1, the best of the three
#   amounts there) and by 0.036 ± 0.026 on noisy ones (α = 0.2, the best of the three there), with which the loss after temperature
#   was lower as well, by 0.103 ± 0.055. And look at the loss *before* any temperature, on clean labels: with α = 0.1 it was lower
#   by 0.042 ± 0.057 (just clear), although the ECE was, if anything, higher. The loss counts what is right as well as what is
#   honest. That is a reason to smooth, with limits: α = 0.2 put the loss before temperature up by 0.043 ± 0.055, and on noisy
#   labels α = 0.1 did so by 0.041 ± 0.050 and α = 0.2 by 0.092 ± 0.062. Calibration, here, is no reason: one number mends it.
# - Temperature lowered all eight losses, and clearly: plain training's by 0.071 ± 0.029 on clean labels and by 0.030 ± 0.018 on
#   noisy ones, those with α = 0.2 by 0.130 ± 0.020 and 0.225 ± 0.041. After it, on clean labels, none of the three smoothed
#   losses can be told from plain training's.
#
# Does this contradict Müller et al.? They report that smoothing calibrates, for other and larger networks that were trained
# for longer on more data. Smoothing makes a network more modest, and by how much follows from α, not from how much it needs.
# Where a network is far too sure that is a cure; ours, after 12 epochs, needed less than α = 0.1 gives, and on noisy labels
# the opposite. That is our reading; test it with `EPOCHS = 40`, or `ALPHA = 0.05`. Predict first.

# %% [markdown]
# ## 7 · Explore
#
# Move $T$ and watch three things at once: the bars, the crowd below, and the numbers in the title. For plain training,
# find the $T$ with the smallest cross-entropy and that with the smallest calibration error on these images. Are they the
# same? Then see what $T$ does to the accuracy.

# %% tags=["nbval-ignore-output"]
if ready(reliability_bins, expected_calibration_error, fit_temperature):
    networks = {name: (logits[name][0][REPORT], labels[REPORT]) for name in WAYS}
    temperature_explorer(networks, reliability_bins, expected_calibration_error, start=1.5)

# %% [markdown]
# ## 8 · A written question
#
# A team compares two networks on 200 images. *"A has an ECE of 0.06 and B of 0.09 (15 bins), so A is the better
# calibrated one. B was trained with label smoothing, so smoothing hurts. And we fitted a temperature for B on the same
# 200 images, which brought its ECE to 0.05, so we ship B with that."* In five or six sentences: what of this may one
# conclude, and what should they do instead? Use what you measured.

# %% [markdown] written="what_an_ece_shows"
# **Your answer**
#
# ### BEGIN SOLUTION
# Very little. With 200 images and 15 bins even a perfectly calibrated network has an ECE well above 0 (at most about
# $\sqrt{15/(2\pi\cdot 200)} = 0.11$, in practice about 0.05 to 0.08, depending on where its confidences are), so 0.06
# may be as good as it gets and the difference of 0.03 may be chance. The floor also depends on the confidences: that
# of a smoothed network, whose predictions spread over many bins in the middle, is higher than that of a network that is
# nearly always sure. One network of each kind says nothing about smoothing: it takes several seeds, compared in pairs.
# The ECE does not tell the direction either: in our runs plain training was too sure and smoothing too modest, with
# errors of about the same size, and one temperature mended both. The temperature was fitted on the images that it is
# judged on, so 0.05 is flattering; fit on one half, report on the other. And accuracy, and loss after temperature, should
# decide which network to ship, for calibration can be had afterwards for one number.
#
# *Rubric, 2 points.* 1 point for the bias: a finite sample gives a positive ECE even for perfect calibration (floor, too
# few images for the bins), so the difference may mean nothing; or, half of it, for asking for several seeds and
# spread. 1 point for held-out fitting: T has to be judged on images that it was not fitted to. Full marks need both. Also
# good, not required: the direction of the error, the dependence on the bins, that T does not change the accuracy. Not
# right: "the ECE is smaller, so A is better" without doubt, or "temperature scaling lowers the accuracy".
# ### END SOLUTION

# %% [markdown]
# ## 9 · The library's own
#
# PyTorch has neither. [torchmetrics](https://lightning.ai/docs/torchmetrics/stable/classification/calibration_error.html),
# which this course does not install, has the error as
#
# ```python
# torchmetrics.functional.classification.multiclass_calibration_error(probs, target, num_classes=10, n_bins=15, norm="l1")
# ```
#
# (`norm="max"` and `"l2"` are other errors), and scikit-learn has temperature scaling as one of the methods of
# [`CalibratedClassifierCV`](https://scikit-learn.org/stable/modules/generated/sklearn.calibration.CalibratedClassifierCV.html),
# in its newer versions. With SciPy, which is here, each is a line or two as well. Beside yours:


# %%
if ready(reliability_bins, expected_calibration_error, fit_temperature):
    coins = torch.Generator().manual_seed(0)
    z = 4 * torch.randn(2000, 10, generator=coins, dtype=torch.float64)
    y = torch.multinomial((z / 2).softmax(dim=1), 1, generator=coins).squeeze(
        1
    )  # so T is near 2
    sure, chosen = z.softmax(dim=1).max(dim=1)
    off = (chosen == y).double() - sure
    sums = binned_statistic(sure.numpy(), off.numpy(), "sum", bins=15, range=(0, 1)).statistic
    best = minimize_scalar(
        lambda t: float(F.cross_entropy(z / t, y)), bounds=(0.05, 20), method="bounded"
    )
    yours = float(expected_calibration_error(z.softmax(dim=1), y))
    print(f"ECE: SciPy {abs(sums).sum() / len(z):.3f}, yours {yours:.3f}")
    print(f"T:   SciPy {best.x:.2f}, yours {float(fit_temperature(z, y)):.2f}")

# %% [markdown]
# ## Further reading
#
# - C. Guo et al., *On Calibration of Modern Neural Networks*, 2017, [arXiv:1706.04599](https://arxiv.org/abs/1706.04599).
#   Section 4.2 sets temperature scaling beside methods with more parameters; it held its own against all of them.
# - R. Müller, S. Kornblith and G. Hinton, *When Does Label Smoothing Help?*, 2019,
#   [arXiv:1906.02629](https://arxiv.org/abs/1906.02629): calibration by smoothing on larger tasks, and what smoothing takes
#   away in return.
# - J. Nixon et al., *Measuring Calibration in Deep Learning*, 2019, [arXiv:1904.01685](https://arxiv.org/abs/1904.01685):
#   what is wrong with the ECE, and bins of equal mass instead.
# - A. Kumar, P. Liang and T. Ma, *Verified Uncertainty Calibration*, 2019,
#   [arXiv:1909.10155](https://arxiv.org/abs/1909.10155): the bias of binned estimates, and estimators with less of it.

# %%
progress()
