"""Augmentation of a whole batch at once: each image is moved and mirrored by coins of its own."""

import torch
from torch import Tensor
from torch.nn import functional


def shift_and_flip(images: Tensor, shift: int = 2, flip: float = 0.5) -> Tensor:
    """Move each image by up to `shift` pixels in both directions, and mirror it with probability `flip`.

    What moves in from outside repeats the edge, which on these images is background.

    Args:
        images: (N, C, H, W); left as they are.
        shift: pixels, drawn uniformly from -shift to shift for rows and columns alike.
        flip: probability of exchanging left and right.

    Returns:
        (N, C, H, W).
    """
    n, _, h, w = images.shape
    place = images.device
    padded = functional.pad(images, (shift,) * 4, mode="replicate") if shift else images
    rows = torch.arange(h, device=place) + torch.randint(0, 2 * shift + 1, (n, 1), device=place)
    columns = torch.arange(w, device=place).expand(n, w)
    mirrored = torch.rand(n, 1, device=place) < flip
    columns = torch.where(mirrored, columns.flip(1), columns) + torch.randint(0, 2 * shift + 1, (n, 1), device=place)
    batch = torch.arange(n, device=place).view(n, 1, 1)
    return padded.movedim(1, 3)[batch, rows[:, :, None], columns[:, None, :]].movedim(3, 1).contiguous()
