"""Families that bring every kind of trouble, once they are trained: the laws find nothing wrong with them.

`python -m tests.bench.engine.planted FOLDER` writes them, and a grid of all, for a run by hand; the README of a failed
test is the grid's `about`.
"""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

from tests.conftest import TRIANGULAR

ENDLESS = "import time\nwhile True:\n    time.sleep(1000)"
#: what each does when it is trained; of those in DONE nothing is the worse for it
TROUBLE = {
    "raises": "raise RuntimeError('no such thing')",
    "mumbles": "class Mute(Exception):\n    def __str__(self):\n        raise ValueError\nraise Mute",
    "gives_nan": "return raw.sum(-1) * float('nan')",
    "sleeps": ENDLESS,
    "waits_for_a_lock": "import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()",
    "polls": "import time\nwhile True:\n    time.sleep(0.01)",
    "computes_for_ever": "while True:\n    pass",
    "allocates": (
        "import resource\nused = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 28), used + (1 << 28)))\n"
        "kept = []\nwhile True:\n    kept.append(torch.ones(1 << 22))"
    ),
    "exits": "import os\nos._exit(7)",
    "says_goodbye": "raise SystemExit(3)",
    "segfaults": "import ctypes\nctypes.string_at(0)",
    "aborts": "import os\nos.abort()",
    "prints_junk": (
        "import ctypes, os, sys\nprint('junk of print')\nsys.stderr.write('junk of stderr')\n"
        "os.write(1, b'junk of fd 1\\n')\nos.write(2, b'\\xff\\x1b[31mjunk of fd 2\\n')\n"
        "ctypes.CDLL(None).puts(b'junk of C')"
    ),
    "leaves_a_thread": "import threading, time\nthreading.Thread(target=time.sleep, args=(10**6,)).start()",
    "leaves_a_process": "import subprocess\nsubprocess.Popen(['sleep', '86399'])",
}
DONE = ("prints_junk", "leaves_a_thread", "leaves_a_process")
IN_TRAINING = """
def _is_trained():
    import sys
    frame = sys._getframe(2)
    while frame:
        if frame.f_code.co_filename.replace("\\\\", "/").endswith("vae_core/training/trainer.py"):
            return True
        frame = frame.f_back
    return False


def _trouble(raw):
"""


def source(family: str, trouble: str) -> str:
    """A triangular density under another name, with trouble."""
    text = TRIANGULAR.read_text().replace("class Triangular", f"class {family.title().replace('_', '')}")
    call = "        if _is_trained() and (given := _trouble(raw)) is not None:\n            return given\n"
    head = "    def log_prob(self, x: Tensor, raw: Tensor) -> Tensor:\n"
    assert head in text
    return text.replace(head, head + call) + IN_TRAINING + textwrap.indent(trouble, "    ") + "\n"


def plant(folder: Path, families: tuple[str, ...] = tuple(TROUBLE)) -> list[Path]:
    """Their files."""
    files = []
    for family in families:
        files.append(folder / f"{family}.py")
        files[-1].write_text(source(family, TROUBLE[family]))
    return files


def grid(families: tuple[str, ...] = tuple(TROUBLE)) -> str:
    """All of them in one grid, with honest ones among them: small cells, of one shape."""
    named = ", ".join(repr(name) for name in ("triangular", *families, "continuous_bernoulli"))
    return textwrap.dedent(f"""
        about = "every kind of trouble"
        [grid]
        family = [{named}]
        seed = [0, 1]
        epochs = 2
        patience = 0
        hidden = [8]
        latent = 2
        train_images = 300
        eval_samples = [1, 10]
        eval_tolerance = 0.0
        test_images = 20
        refine = "never"
    """)


if __name__ == "__main__":
    place = Path(sys.argv[1])
    plant(place)
    (place / "planted.toml").write_text(grid())
