"""Graded-only checks of 09_mixup_cutmix: against the reference solution, on secret seeds and sizes."""

from __future__ import annotations

from typing import Any

import torch

from autograder import expect
from autograder.checks import check
from autograder.draw import Draw


@check("mixup", points=2)
def mixes_as_the_reference(student: Any, draw: Draw, reference: Any) -> None:
    """On batches of any size λ and target_b explain the mixed images, as they do for the reference."""
    for size in (2, 11, 23):
        x, target = draw.normal(size, 2, 5), draw.permutation(size) + 40
        answer = expect.call(student.mixup, x, target, 0.7, what="mixup")
        both = (reference.mixup(x, target, 0.7), answer)
        for each in both:
            good = isinstance(each, (tuple, list)) and len(each) == 4
            expect.that(good, "answer", "four things should come back")
            images, _, second, lam = each
            partner = expect.tensor(second, "target_b", shape=target.shape)
            order = (partner[:, None] == target).to(torch.uint8).argmax(1)
            number = expect.scalar(lam, "λ")
            right = number * x + (1 - number) * x[order]
            expect.close(images, right, "the mixed images", "mixed", 1e-5, 1e-5)


@check("random_box", points=1)
def covers_as_much_as_the_reference(student: Any, draw: Draw, reference: Any) -> None:
    """Over many boxes the share of the image that is covered is the reference's, for any size and λ."""
    for _ in range(2):
        height, width = draw.integer(300, 360), draw.integer(1100, 1200)
        lam = draw.uniform(0.25, 0.4)
        shares = []
        for box in (reference.random_box, expect.function(student.random_box, "random_box")):
            calls = (
                [box(height, width, lam) for _ in range(256)]
                if box is reference.random_box
                else student.repeat(box, 256, height, width, lam)
            )
            areas = []
            for value in calls:
                good = isinstance(value, (tuple, list)) and len(value) == 4
                expect.that(good, "box", "a box is four integers")
                top, bottom, left, right = (expect.scalar(v, "an edge") for v in value)
                inside = 0 <= top <= bottom <= height and 0 <= left <= right <= width
                expect.that(inside, "area", "the edges are out of order, or out of the image")
                areas.append((bottom - top) * (right - left) / (height * width))
            shares.append(sum(areas) / len(areas))
        # Areas are in [0, 0.7], with a standard deviation of 0.12 or less: that of the difference of two means of 256 is
        # 0.011, and 0.08 is 7 of them.
        expect.that(
            abs(shares[0] - shares[1]) < 0.08,
            "area",
            "on average the boxes are larger or smaller",
        )


@check("cutmix", points=2)
def pastes_as_the_reference(student: Any, draw: Draw, reference: Any) -> None:
    """On batches of any size λ is the share of pixels that stayed, as it is for the reference."""
    for size, height, width in ((5, 9, 21), (13, 18, 7), (8, 5, 5)):
        x, target = draw.normal(size, 3, height, width), draw.permutation(size) + 40
        answer = expect.call(student.cutmix, x, target, 0.8, what="cutmix")
        for each in (reference.cutmix(x, target, 0.8), answer):
            good = isinstance(each, (tuple, list)) and len(each) == 4
            expect.that(good, "answer", "four things should come back")
            images, _, second, lam = each
            got = expect.tensor(images, "the images", shape=x.shape)
            partner = expect.tensor(second, "target_b", shape=target.shape)
            order = (partner[:, None] == target).to(torch.uint8).argmax(1)
            expect.that(
                bool(((got == x) | (got == x[order])).all()), "pixels", "a pixel is neither's"
            )
            moved = order != torch.arange(size)
            if bool(moved.any()):
                kept = (got == x)[moved].double().mean()
                expect.close(expect.scalar(lam, "λ"), float(kept), "λ", "share")


@check("mixed_cross_entropy", points=2)
def loss_agrees_with_the_reference(student: Any, draw: Draw, reference: Any) -> None:
    """For any number of examples and classes, and any λ, the loss is the reference's."""
    for _ in range(4):
        examples, classes = draw.integer(20, 60), draw.integer(3, 30)
        logits = draw.normal(examples, classes, scale=3)
        a, b = draw.labels(examples, classes), draw.labels(examples, classes)
        lam = draw.uniform(0.02, 0.98)
        value = expect.call(student.mixed_cross_entropy, logits, a, b, lam)
        right = float(reference.mixed_cross_entropy(logits.double(), a, b, lam))
        expect.close(expect.scalar(value, "the loss"), right, "the loss", "value", 1e-5, 1e-5)
