"""The numbers over ten seeds that unit 01 quotes: overfitting, capacity, decay and the gap, and two kinds of decay.

    python solutions/experiments/01_weight_decay.py

Everything is as in the notebook but for the number of seeds (0 to 9, not 0 to 2), more strengths of the L2 penalty, and the
optimizers: the library's, so that nothing depends on an exercise. It takes four minutes on one core and prints tables in
Markdown. Differences are taken seed by seed, and are bold where `reglab.training.differs` tells their mean from 0.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from reglab.data import Data, load
from reglab.models import SmallCNN
from reglab.training import History, logits_of, mean_and_spread, one_thread, train
from tables import apart, heading, row, shown

IMAGES, EPOCHS, LR, BATCH, LAST = 500, 16, 5e-3, 32, 3
SEEDS = range(10)
WIDTHS = ((4, 8, 16), (8, 16, 32), (16, 32, 64))
DECAYS = (0.0, 0.1, 0.3, 1.0, 3.0)
PENALTIES = (0.001, 0.003, 0.006, 0.012, 0.024)
METRICS = ("train_loss", "validation_loss", "gap", "validation_accuracy")


@dataclass
class Run:
    """One training: the network, its history, and the norm of its weights at the end."""

    model: SmallCNN
    history: History
    norm: float

    def ended(self, metric: str) -> float:
        """A metric over the last epochs."""
        return self.history.last(metric, LAST)

    @property
    def best(self) -> int:
        """The epoch of the lowest validation loss, from 0."""
        return min(range(EPOCHS), key=self.history.validation_loss.__getitem__)

    @property
    def lowest(self) -> float:
        """The lowest validation loss."""
        return self.history.validation_loss[self.best]


def weights_of(model: nn.Module) -> list[nn.Parameter]:
    """Kernels and matrices: all parameters but the biases."""
    return [p for p in model.parameters() if p.dim() > 1]


def flat(tensors: Sequence[Tensor]) -> Tensor:
    """All entries in one vector."""
    return torch.cat([t.detach().flatten() for t in tensors])


def decaying(
    kind: Callable[..., torch.optim.Optimizer], decay: float
) -> Callable[[nn.Module], torch.optim.Optimizer]:
    """AdamW (decoupled) or Adam (an L2 penalty), with `decay` on all parameters but the biases."""

    def make(model: nn.Module) -> torch.optim.Optimizer:
        biases = [p for p in model.parameters() if p.dim() < 2]
        groups = [
            {"params": weights_of(model), "weight_decay": decay},
            {"params": biases, "weight_decay": 0.0},
        ]
        return kind(groups, lr=LR)

    return make


def trained(
    data: Data,
    make: Callable[[nn.Module], torch.optim.Optimizer],
    widths: tuple[int, ...] = WIDTHS[-1],
) -> list[Run]:
    """One network a seed, as `reglab.training.over_seeds` trains them, but kept."""
    runs = []
    for seed in SEEDS:
        torch.manual_seed(seed)
        model = SmallCNN(widths=widths)
        history = train(model, data, EPOCHS, LR, seed, BATCH, make_optimizer=make)
        runs.append(Run(model, history, float(flat(weights_of(model)).norm())))
    return runs


def gap_at(history: History, level: float) -> float:
    """The gap where the training loss first comes down to `level`, on a straight line between two epochs."""
    losses, gaps = history.train_loss, history.gap
    after = next(e for e, loss in enumerate(losses) if loss <= level)
    if after == 0:
        return gaps[0]
    share = (losses[after - 1] - level) / (losses[after - 1] - losses[after])
    return gaps[after - 1] + share * (gaps[after] - gaps[after - 1])


def confidence(model: nn.Module, data: Data) -> tuple[float, float]:
    """The mean probability of the class it answers, where that is wrong and where it is right."""
    top, answers = logits_of(model, data.validation.images).softmax(dim=1).max(dim=1)
    right = answers == data.validation.labels
    return float(top[~right].mean()), float(top[right].mean())


@one_thread()
def by_fifths(model: nn.Module, data: Data) -> list[float]:
    """The root mean square of the weights in five parts, from the smallest gradients up.

    The size of a weight's gradient is the root of its mean square over the training batches, of the loss alone.
    """
    place = next(model.parameters()).device
    squares = torch.zeros_like(flat(weights_of(model)))
    batches = zip(data.train.images.split(BATCH), data.train.labels.split(BATCH), strict=True)
    for x, y in batches:
        model.zero_grad()
        functional.cross_entropy(model(x.to(place)), y.to(place)).backward()
        squares += flat([g for p in weights_of(model) if (g := p.grad) is not None]).square()
    parts = flat(weights_of(model))[squares.argsort()].chunk(5)
    return [float(part.square().mean().sqrt()) for part in parts]


def compared(runs: Mapping[str, Sequence[Run]], first: str) -> None:
    """Print where each configuration ends and its lowest validation loss, and both less those of `first`."""
    columns = (*METRICS, "lowest validation loss", "after epoch", "accuracy there", "norm")
    print(heading(f"mean ± standard deviation over {len(SEEDS)} seeds", columns), flush=True)
    for name, each in runs.items():
        early = [
            [r.lowest for r in each],
            [1.0 + r.best for r in each],
            [r.history.validation_accuracy[r.best] for r in each],
            [r.norm for r in each],
        ]
        print(
            row(
                name,
                [
                    *(shown([r.ended(m) for r in each]) for m in METRICS),
                    *map(shown, early),
                ],
            ),
            flush=True,
        )
    for name, each in runs.items():
        if name == first:
            continue
        base = runs[first]
        print(
            row(
                f"{name} − {first}",
                [
                    *(
                        apart([r.ended(m) for r in each], [r.ended(m) for r in base])
                        for m in METRICS
                    ),
                    apart([r.lowest for r in each], [r.lowest for r in base]),
                ],
            ),
            flush=True,
        )


def main() -> None:
    """Train everything and print it."""
    data = load().with_train(IMAGES)
    adam, adamw = torch.optim.Adam, torch.optim.AdamW

    print("Sections 5 and 6: three widths without decay")
    by_width = {"-".join(map(str, w)): trained(data, decaying(adam, 0.0), w) for w in WIDTHS}
    narrow, _, wide = by_width
    compared(by_width, narrow)
    level = mean_and_spread([r.ended("train_loss") for r in by_width[narrow]])[0]
    same = {narrow: [r.ended("gap") for r in by_width[narrow]]}
    own = dict(same)
    for name, runs in by_width.items():
        if name != narrow:
            firsts = [
                next(e for e, loss in enumerate(r.history.train_loss) if loss <= level)
                for r in runs
            ]
            same[name] = [r.history.gap[e] for r, e in zip(runs, firsts, strict=True)]
            own[name] = [
                gap_at(r.history, n.ended("train_loss"))
                for r, n in zip(runs, by_width[narrow], strict=True)
            ]
            print(f"\n{name} reaches {level:.3f} after epochs {[e + 1 for e in firsts]}")
    ways = {
        f"where the training loss is first at {level:.2f}, as in the notebook": same,
        "at the training loss with which the narrow one of the seed ends, between epochs": own,
    }
    for title, gaps in ways.items():
        print(heading(f"the gap {title}", ("gap", f"less {narrow}")), flush=True)
        for name, values in gaps.items():
            print(row(name, [shown(values), apart(values, gaps[narrow])]), flush=True)

    print("\nSection 7: decay")
    by_decay = {"λ = 0": by_width[wide]}
    by_decay |= {f"λ = {d:g}": trained(data, decaying(adamw, d)) for d in DECAYS[1:]}
    compared(by_decay, "λ = 0")
    plain = by_decay["λ = 0"]
    print(
        heading(
            "the end of each, less the lowest validation loss without decay, and the accuracy there",
            ("loss", "accuracy"),
        ),
        flush=True,
    )
    for name, runs in by_decay.items():
        print(
            row(
                name,
                [
                    apart(
                        [r.ended("validation_loss") for r in runs], [r.lowest for r in plain]
                    ),
                    apart(
                        [r.ended("validation_accuracy") for r in runs],
                        [r.history.validation_accuracy[r.best] for r in plain],
                    ),
                ],
            ),
            flush=True,
        )
    print(heading("mean probability of the answer", ("where wrong", "where right")), flush=True)
    sure = {
        name: list(zip(*(confidence(r.model, data) for r in runs), strict=True))
        for name, runs in by_decay.items()
    }
    for name, columns in sure.items():
        print(row(name, list(map(shown, columns))), flush=True)
    print(
        row(
            "λ = 1 − λ = 0", [apart(*c) for c in zip(sure["λ = 1"], sure["λ = 0"], strict=True)]
        ),
        flush=True,
    )

    print("\nSection 8: AdamW and Adam with an L2 penalty")
    by_kind = {"AdamW 1": by_decay["λ = 1"]}
    by_kind |= {f"Adam + L2 {s:g}": trained(data, decaying(adam, s)) for s in PENALTIES}
    compared(by_kind, "AdamW 1")
    print(
        heading(
            "root mean square of the weights, by fifths, from the smallest gradients up",
            ("first", "second", "third", "fourth", "last", "last over second"),
        ),
        flush=True,
    )
    fifths = {}
    for name, runs in {"no decay": plain, **by_kind}.items():
        fifths[name] = [by_fifths(r.model, data) for r in runs]
        print(
            row(
                name,
                [
                    *map(shown, zip(*fifths[name], strict=True)),
                    shown([f[4] / f[1] for f in fifths[name]], digits=2),
                ],
            ),
            flush=True,
        )
    for name in list(by_kind)[1:]:
        ratios = [
            [a / b for a, b in zip(x, y, strict=True)]
            for x, y in zip(fifths[name], fifths["AdamW 1"], strict=True)
        ]
        print(
            row(
                f"{name} over AdamW 1", [shown(c, digits=2) for c in zip(*ratios, strict=True)]
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
