"""reglab: what the notebooks of this course share, so that they can be about regularization.

Modules, each with one job:

    data      the images: a small embedded set, or the full Fashion-MNIST and CIFAR-10
    models    a small CNN with slots for a regularizer, and a way to read its feature maps
    training  train, evaluate, repeat over seeds
    recipe    a network and how it is trained, in one piece, and what trains it
    plots     figures in one colour-blind-safe style
    predict   "predict first": commit to an answer, then compare it with what was measured
    widgets   explorers with sliders
    doctor    is this machine ready for the course?

Importing reglab loads none of them. It does one thing: it makes sure that a later `import torchvision` will work.
"""

from reglab._torchvision import make_importable

make_importable()
