"""Explorers: a picture, and controls that redraw it.

The picture is an ordinary output of the cell that the controls update. So where no front end answers (nbconvert, nbval,
a notebook read on the web) the picture for the first settings is still there.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from reglab import plots

Mask = Callable[[Tensor, float], Tensor]


def mask_explorer(maps: Tensor, masks: Mapping[str, Mask], p: float = 0.3, shown: int = 8) -> None:
    """Explore how kinds of dropout act on feature maps: sliders for p, a choice of the kind, a button for new masks.

    Args:
        maps: feature maps of one image, (C, H, W).
        masks: {kind: function of (x, p)}; it gets x of shape (1, C, H, W) and returns x with parts dropped.
        p: the first drop rate.
        shown: how many channels are drawn, the first of `maps`; what is counted is counted over all of them.
    """
    from IPython.display import Image, display

    def draw(kind: str, rate: float, seed: int) -> Any:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed)
            masked = masks[kind](maps.unsqueeze(0), rate).squeeze(0)
        # One scale for every p, so that the maps that did not change look so: room for what p = 1/2 makes of them.
        figure = plots.map_rows({"before": maps[:shown], kind: masked[:shown]}, top=2 * float(maps[:shown].max()))
        active, lost = maps != 0, (maps != 0) & (masked == 0)
        whole = int(((masked == 0).all(dim=(1, 2)) & active.any(dim=(1, 2))).sum())
        share = float(lost.sum() / active.sum().clamp(min=1))
        drawn = f" (the first {shown} are shown)" if shown < len(maps) else ""
        counts = f"{share:.0%} of the active pixels dropped, {whole} of {len(maps)} maps lost"
        figure.suptitle(f"{kind}, p = {rate:.2f}: {counts}{drawn}", fontsize=9.5)
        alt = f"Feature maps before and after dropping {kind} with p = {rate:.2f}: {counts}."
        return Image(data=plots.png(figure), alt=alt)  # type: ignore[no-untyped-call]

    first = next(iter(masks))
    try:
        import ipywidgets
    except ImportError:
        print("ipywidgets is not installed, so here is the picture without its sliders.")
        display(draw(first, p, 0))  # type: ignore[no-untyped-call]
        return
    rate = ipywidgets.FloatSlider(value=p, min=0, max=1, step=0.05, description="p", continuous_update=False)
    kind = ipywidgets.Dropdown(options=list(masks), value=first, description="drop by")
    again = ipywidgets.Button(description="new masks", icon="refresh")
    display(ipywidgets.HBox([rate, kind, again]))  # type: ignore[no-untyped-call]
    picture: Any = display(draw(first, p, 0), display_id=True)  # type: ignore[no-untyped-call]
    seed = 0

    def update(_change: object) -> None:
        if picture is not None:
            picture.update(draw(kind.value, rate.value, seed))

    def redraw(button: object) -> None:
        nonlocal seed
        seed += 1
        update(button)

    rate.observe(update, names="value")
    kind.observe(update, names="value")
    again.on_click(redraw)


def smoothing_explorer(
    targets: Callable[[float, int], Tensor],
    loss: Callable[[Tensor, float], Tensor],
    alpha: float = 0.1,
    classes: int = 5,
) -> None:
    """Explore smoothed targets: sliders for alpha and K; the targets as bars, and the loss against the margin.

    Args:
        targets: of alpha and K, the targets (K,) of an example of class 0.
        loss: of logits (n, K) and alpha, the loss (n,) of examples of class 0; also for alpha = 0, to compare.
        alpha: the first smoothing.
        classes: the first K.
    """
    from IPython.display import Image, display

    def draw(smoothing: float, count: int) -> Any:
        margins = torch.linspace(-3, 12, 1501)
        logits = torch.zeros(len(margins), count)
        logits[:, 0] = margins
        with torch.no_grad():
            bars, hard, soft = (
                t.detach().double() for t in (targets(smoothing, count), loss(logits, 0.0), loss(logits, smoothing))
            )
        lowest = int(soft.argmin())
        figure, [[left, right]] = plots.grid(1, 2, 9.2, 3.4)
        left.bar(range(count), bars.tolist(), color=[plots.COLOURS[1], *[plots.COLOURS[0]] * (count - 1)])
        left.set(xlabel="class (0 is the true one)", ylabel="target", ylim=(0, 1.05))
        left.xaxis.set_major_locator(MaxNLocator(integer=True))
        left.set_title(f"true class {float(bars[0]):.3f}, each other {float(bars[1]):.4f}")
        right.plot(margins.tolist(), hard.tolist(), plots.LINES[1], color=plots.COLOURS[6], label="alpha = 0")
        right.plot(margins.tolist(), soft.tolist(), color=plots.COLOURS[0], label=f"alpha = {smoothing:.2f}")
        right.set(xlabel="margin: true logit minus the others (logit units)", ylabel="loss (nats)", ylim=(-0.1, 4.5))
        where = f"lowest, {float(soft[lowest]):.2f}, at a margin of {float(margins[lowest]):.2f}"
        bounded = smoothing > 0
        if bounded:
            right.plot(float(margins[lowest]), float(soft[lowest]), plots.MARKERS[0], color=plots.COLOURS[1])
        right.set_title(where if bounded else "lowest beyond the picture: the margin has no bound")
        right.legend(frameon=False)
        alt = (
            f"Targets for alpha = {smoothing:.2f} and {count} classes: {float(bars[0]):.3f} for the true one, "
            f"{float(bars[1]):.4f} for each other; the loss against the margin is "
            f"{where if bounded else 'falling throughout'}."
        )
        return Image(data=plots.png(figure), alt=alt)  # type: ignore[no-untyped-call]

    try:
        import ipywidgets
    except ImportError:
        print("ipywidgets is not installed, so here is the picture without its sliders.")
        display(draw(alpha, classes))  # type: ignore[no-untyped-call]
        return
    smoothing = ipywidgets.FloatSlider(
        value=alpha, min=0, max=1, step=0.05, description="alpha", continuous_update=False
    )
    count = ipywidgets.IntSlider(value=classes, min=2, max=30, description="K", continuous_update=False)
    display(ipywidgets.HBox([smoothing, count]))  # type: ignore[no-untyped-call]
    picture: Any = display(draw(alpha, classes), display_id=True)  # type: ignore[no-untyped-call]

    def update(_change: object) -> None:
        if picture is not None:
            picture.update(draw(smoothing.value, count.value))

    smoothing.observe(update, names="value")
    count.observe(update, names="value")
