"""Every technique of the course against the same network without it: the runs, and the README's table and chart.

    python -m solutions.results [--study embedded|fashion_mnist|fashion_mnist_resnet20|cifar10] [--jobs N]

makes the runs that `runs/` does not hold yet, then writes the table and the chart. Techniques are the course's own: what
the reference solutions of the units implement.
"""
