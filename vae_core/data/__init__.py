"""Data sets as integer tensors, and the views that likelihoods take of them.

    >>> from vae_core import data
    >>> digits = data.load("digits")            # or "mnist", …, or a path to an .npz, an .npy, a folder of images
    >>> digits.train.shape, digits.levels, digits.shape
    (torch.Size([1197, 64]), 17, (8, 8))
    >>> data.load("mnist", quantise=16, train_images=10_000)    # 256 → 16 levels, some of the training images

`catalogue` names the data sets, `torchvision_root` and `files` read them, `splits` cuts them, `views` shows them.
`lattice`, `arrays` and `questions` ask whether they are what they seem.
Torch is imported but not used before a data set is loaded, so `names` and `describe` cost nothing.
"""

from __future__ import annotations

from vae_core.data import questions
from vae_core.data.catalogue import data_root, describe, load, names
from vae_core.data.dataset import DataError, Dataset, Remark
from vae_core.data.levels import binarise, dequantise, grey, threshold
from vae_core.data.pictures import read_folder
from vae_core.data.views import VIEWS, View

__all__ = [
    "VIEWS",
    "DataError",
    "Dataset",
    "Remark",
    "View",
    "binarise",
    "data_root",
    "dequantise",
    "describe",
    "grey",
    "load",
    "names",
    "questions",
    "read_folder",
    "threshold",
]
