"""Explorers: a picture, and controls that redraw it.

The picture is an ordinary output of the cell that the controls update. So where no front end answers (nbconvert, nbval,
a notebook read on the web) the picture for the first settings is still there.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from reglab import plots

Mask = Callable[[Tensor, float], Tensor]
Bins = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


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


def temperature_explorer(
    networks: Mapping[str, tuple[Tensor, Tensor]],
    bins: Bins,
    error: Callable[[Tensor, Tensor], Any],
    start: float = 1.0,
) -> None:
    """Explore what a temperature does to a reliability diagram: a slider for T, and a choice of the network.

    Args:
        networks: {name: (logits (N, K), labels (N,))}.
        bins: of probabilities and labels, returns mean confidence, accuracy and count of each bin.
        error: of probabilities and labels, returns the calibration error.
        start: the first temperature.
    """
    from IPython.display import Image, display

    def draw(name: str, temperature: float) -> Any:
        logits, labels = networks[name]
        panels, errors = {}, {}
        for title, t in (("T = 1", 1.0), (f"T = {temperature:.2f}", temperature)):
            title = title if title not in panels else f"{title} (yours)"
            probs = (logits / t).softmax(dim=1)
            panels[title], errors[title] = bins(probs, labels), float(error(probs, labels))
        figure = plots.reliability_diagrams(panels, errors)
        loss = float(functional.cross_entropy(logits / temperature, labels))
        sure, right = float(probs.amax(dim=1).mean()), float((probs.argmax(dim=1) == labels).double().mean())
        said = (
            f"cross-entropy {loss:.3f} nats, mean confidence {sure:.3f}, accuracy {right:.3f}, "
            f"calibration error {errors[title]:.3f}"
        )
        figure.suptitle(f"{name}, T = {temperature:.2f}: {said}", fontsize=9)
        return Image(
            data=plots.png(figure), alt=f"Reliability diagrams of {name} at T = 1 and {temperature:.2f}: {said}."
        )  # type: ignore[no-untyped-call]

    first = next(iter(networks))
    try:
        import ipywidgets
    except ImportError:
        print("ipywidgets is not installed, so here is the picture without its sliders.")
        display(draw(first, start))  # type: ignore[no-untyped-call]
        return
    slider = ipywidgets.FloatLogSlider(
        value=start, base=10, min=-1, max=1, step=0.02, description="T", continuous_update=False
    )
    choice = ipywidgets.Dropdown(options=list(networks), value=first, description="network")
    display(ipywidgets.HBox([slider, choice]))  # type: ignore[no-untyped-call]
    picture: Any = display(draw(first, start), display_id=True)  # type: ignore[no-untyped-call]

    def update(_change: object) -> None:
        if picture is not None:
            picture.update(draw(choice.value, slider.value))

    slider.observe(update, names="value")
    choice.observe(update, names="value")
