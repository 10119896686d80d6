# ---
# jupyter:
#   autograder: {title: Start here, technique: How the course works, paper: "Xiao et al. 2017 (the images)", minutes: 15}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Start here
#
# **After this notebook you will be able to**
#
# - say whether your machine is ready for the course, and mend it if it is not;
# - use what every unit consists of: predictions, exercises with checks and hints, and a measurement;
# - measure the accuracy of a network with a function of your own, and see the gap that regularization is about.
#
# **Time:** about 15 minutes. **Before it:** Python, and having trained some network in PyTorch once.
# **The images:** Xiao, Rasul and Vollgraf, *Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
# Algorithms*, 2017, [arXiv:1708.07747](https://arxiv.org/abs/1708.07747).

# %% [markdown]
# ## How the course works
#
# You learn each technique by building it, and then by finding out on real images what it does. A unit goes round this
# loop a few times:
#
# 1. **Predict.** Before a measurement you are asked what it will show. Type a letter and run the cell. Nobody grades
#    it; being wrong in a way you did not expect is the fastest way to learn here.
# 2. **Implement.** An exercise is a cell with a signature, a docstring that says exactly what is promised, and a line
#    that raises `NotImplementedError`. Replace that line. A good answer is rarely longer than ten lines. Do not call the
#    library's own layer for what you are to build; all other of PyTorch is yours.
# 3. **Check.** The cell below an exercise calls `check(...)`. It shows a table: what was tested, what was expected,
#    what came, and, if something is off, the mistake that would explain it. Check as often as you like. (It works
#    outside Jupyter too and then shows the same as text: in a Python prompt started in this folder, or in a script
#    there as `print(check(...))`.)
# 4. **Hints.** Under each exercise are three, from a nudge to nearly the answer. Open one at a time.
# 5. **Measure.** Then your code is trained, on several random seeds, and the text says what we measured. Your numbers
#    will differ a little from ours; if they differ a lot, that is interesting.
#
# Cells that need an exercise you have not done yet say so and do nothing, so *Run All* works from the first minute.
# At the end of each unit is one **written question**, which a person reads.

# %% setup=true
import torch
from torch import Tensor

from autograder import check, progress, ready

# %% [markdown]
# The cell above is part of every unit: it is what your answers may rely on, and it is put back as it was when your
# notebook is graded. Anything else you need, you may import in your own cells. The next one loads `reglab`, the small
# library the course's experiments share; it is in the folder beside this notebook and made to be read.

# %%
from reglab.data import load
from reglab.doctor import doctor
from reglab.models import SmallCNN
from reglab.plots import gap_curves, images, show
from reglab.predict import predict
from reglab.training import logits_of, mean_and_spread, train

# %% [markdown]
# ## Is this machine ready?

# %% tags=["nbval-ignore-output"]
doctor()

# %% [markdown]
# Every line should have a ✓. Where there is none, the last column says what to do; after that, restart the kernel and
# run this notebook from the top. A GPU is not needed: every unit runs in 35 to 90 seconds on two processor cores.

# %% [markdown]
# ## The images
#
# The course comes with 7000 images of Fashion-MNIST: small grey pictures of clothes in ten classes, each class equally
# often. They are in three parts that share no image, and the difference between the parts is the ground everything
# here stands on:
#
# - **training** images are what the network learns from;
# - **validation** images are for us to choose by: which technique, how much of it, when to stop;
# - **test** images are looked at once, when all choices are made. A set that was used to choose no longer tells how
#   well the choice does on new images.

# %%
data = load()
for name, split in (
    ("training", data.train),
    ("validation", data.validation),
    ("test", data.test),
):
    print(f"{name:11} images {tuple(split.images.shape)}   labels {tuple(split.labels.shape)}")
print("classes:", ", ".join(f"{k} {name}" for k, name in enumerate(data.class_names)))

# %% [markdown]
# Shapes follow PyTorch: (N, C, H, W), that is examples, channels, height, width. Here C = 1, for the images are grey.
# Pixels have been normalised with the mean and the standard deviation of the training images; `data.pixels` undoes
# that, so that they can be looked at.

# %%
first = data.train.first(30)
titles = [data.class_names[k] for k in first.labels.tolist()]
show(
    images(data.pixels(first.images), titles),
    "Thirty small grey pictures of clothes, three of each of ten classes.",
)

# %% [markdown]
# Each column is one class. Look at *pullover*, *coat* and *shirt*: some of them you would not tell apart yourself, and
# most of what a good network gets wrong is among these.

# %% [markdown]
# ## Your first exercise
#
# A network answers with **logits**: for each image one score a class, any real number, larger meaning more likely. Its
# answer is the class with the largest logit, and its **accuracy** is the fraction of images for which that is the
# right class:
#
# $$\operatorname{accuracy} = \frac1N \sum_{i=1}^{N} \mathbf 1\!\left[\arg\max_k z_{ik} = y_i\right]$$
#
# where $z_{ik}$ is the logit of image $i$ for class $k$, $y_i$ its label, and $\mathbf 1[\cdot]$ is 1 if what stands in
# the brackets is true and 0 if not. Here are four images and three classes. Work the accuracy out by eye before you go
# on.

# %%
four_logits = torch.tensor(
    [[2.0, 0.1, -1.0], [0.3, 0.2, 0.1], [-3.0, -1.0, -2.0], [5.0, 9.0, 7.0]]
)
four_labels = torch.tensor([0, 2, 1, 1])
print(four_logits)
print("labels:", four_labels.tolist())

# %% [markdown]
# **Exercise `accuracy`** · difficulty ●○○ · about 5 minutes
#
# Replace the line with `raise` by your own code, then run the cell and the check below it.


# %% exercise="accuracy"
def accuracy(logits: Tensor, target: Tensor) -> float:
    """The fraction of examples whose largest logit is that of their class.

    Args:
        logits: scores, one row an example, one column a class; any real numbers.
        target: the right class of each example, integers from 0 to K - 1.

    Shape:
        - logits: (N, K)
        - target: (N,)

    Returns:
        A fraction between 0 and 1, as a Python float (a tensor of no dimensions will do). What
        happens when two logits of a row are equal is up to you.
    """
    ### BEGIN SOLUTION
    correct = logits.argmax(dim=1) == target
    return float(correct.float().mean())
    ### END SOLUTION


# %% [markdown]
# <!-- hints: accuracy -->

# %% check="accuracy"
check(accuracy)

# %%
if ready(accuracy):
    print(f"accuracy on the four images above: {accuracy(four_logits, four_labels):.2f}")

# %% [markdown]
# Images 1, 3 and 4 are right, the second is not (its largest logit is that of class 0, its label is 2): three of four.
# Logits may all be negative, as in the third row; only their order matters.

# %% [markdown]
# ## A measurement
#
# Now a network. `SmallCNN` has three convolutional blocks and one linear layer. We train it on only 1000 of the images,
# so few that it will overfit, and we do so three times: with three random seeds, which choose the first weights and
# the order of the images. One run is an anecdote; the spread over runs says how much of a difference is luck.
#
# But first:

# %%
untrained = predict(
    "What is the accuracy of a network that was never trained, on ten classes of equal size?",
    ["close to 0", "close to 0.1", "close to 0.5"],
    mine=None,
)

# %%
gap = predict(
    "After training: how does the accuracy on the training images compare with that on "
    "validation images?",
    [
        "it is the same, within a percentage point",
        "it is higher by several points",
        "it is lower by several points",
    ],
    mine=None,
)

# %% tags=["nbval-ignore-output"]
IMAGES, EPOCHS, SEEDS = 1000, 15, (0, 1, 2)

if ready(accuracy):
    small = data.with_train(IMAGES)
    before, after, on_training, histories = [], [], [], []
    for seed in SEEDS:
        torch.manual_seed(seed)
        model = SmallCNN()
        before.append(
            accuracy(logits_of(model, small.validation.images), small.validation.labels)
        )
        histories.append(train(model, small, EPOCHS, seed=seed))
        after.append(
            accuracy(logits_of(model, small.validation.images), small.validation.labels)
        )
        on_training.append(accuracy(logits_of(model, small.train.images), small.train.labels))
    print(f"accuracy, mean ± standard deviation over {len(SEEDS)} seeds")
    measured = {
        "untrained, on validation": before,
        "trained, on validation": after,
        "trained, on training": on_training,
    }
    for name, values in measured.items():
        mean, spread = mean_and_spread([float(value) for value in values])
        print(f"{name:26} {mean:.3f} ± {spread:.3f}")
    show(
        gap_curves(histories),
        "Loss and accuracy by epoch, on training and on validation images: a line is the mean "
        "over the seeds, a band one standard deviation; above is where the accuracy ends.",
    )

# %% tags=["nbval-ignore-output"]
if ready(accuracy):
    chance, difference = sum(before) / len(SEEDS), (sum(on_training) - sum(after)) / len(SEEDS)
    untrained.compare(
        min(
            "abc",
            key=lambda letter: abs(float(chance) - {"a": 0.0, "b": 0.1, "c": 0.5}[letter]),
        ),
        "It answers without regard to the label, and one label in ten fits by chance.",
    )
    gap.compare(
        "a" if abs(float(difference)) < 0.01 else "b" if difference > 0 else "c",
        "What it learned from those very images does not all carry over to new ones.",
    )

# %% [markdown]
# In the figure a line is the mean over the three seeds and the band one standard deviation to each side. We measured
# an accuracy of 0.106 ± 0.006 before training; after it 0.822 ± 0.007 on validation images and 0.966 ± 0.015 on the
# training images, a gap of more than fourteen percentage points. The losses tell the same story: from about the
# fourth epoch the two part, and after the eighth the validation loss rises again, while the training loss goes on
# falling.
#
# **That gap is what this course is about.** Regularization is whatever narrows it by giving up some of what the
# network can learn by heart, in the hope (which is to be checked, each time) that the curve of the validation images
# improves. A narrower gap alone is no success: a network that learns nothing has none.

# %% [markdown]
# ## A written question
#
# A friend writes: *"My network reaches 99 % accuracy. I tried twelve regularizers and chose the one with the highest
# accuracy on the test set, and that is the number I report."* In three or four sentences: what is wrong with the
# number, in which direction is it likely to be off, and what should your friend have done?

# %% [markdown] written="honest_accuracy"
# **Your answer**
#
# ### BEGIN SOLUTION
# The test images took part in a choice: of twelve numbers, each with some luck in it, the largest was taken, and the
# largest of twelve is likely to be a lucky one. So 99 % is likely to be too high; on new images the network will
# probably do somewhat worse, the more so the smaller the test set and the more regularizers were tried. The choice
# should have been made by the accuracy (and the loss) on validation images, over several seeds, and the chosen
# network measured once on test images that no choice had seen.
#
# *Rubric, 2 points.* 1 point: says that choosing by the test set makes its number optimistic (too high), and why: the
# best of many noisy measurements is partly luck, or the test set became part of the training procedure. 1 point: names
# the remedy, choosing on a validation set and using the test set once. Also right for the second point:
# cross-validation for choosing, or a fresh test set. Do not deduct for leaving out seeds.
# ### END SOLUTION

# %% [markdown]
# ## What the libraries offer
#
# PyTorch itself has no accuracy: its losses are made to be differentiated, and accuracy cannot be, so people write it
# where they need it, much as you did. A library that has it is
# [torchmetrics](https://lightning.ai/docs/torchmetrics/stable/classification/accuracy.html), worth its weight when
# results from several batches or several machines are to be put together:
#
# ```python
# torchmetrics.functional.classification.multiclass_accuracy(logits, target, num_classes=10, average="micro")
# ```
#
# Mind the last argument. With `average="macro"`, torchmetrics' own default, it is the mean of the accuracies of the
# classes, which is another number as soon as the classes are not equally frequent.

# %% [markdown]
# ## Where you are, and where to go
#
# `progress()` shows how far you are with the exercises of this notebook, and `progress(whole_course=True)` with those
# of all units. It remembers the last check of each exercise, also after the kernel was restarted.

# %%
progress()

# %% [markdown]
# Next: **01 · Weight decay**, which narrows that gap by pulling weights towards zero. To try something here first, set
# `IMAGES` to 4000 and predict what happens to it.
