"""The likelihood's pure numerics: numba functions over flat arrays, knowing nothing of PyMC.

One clinician's data are a run of *steps*. A step is a stretch of time `gap` within one epoch (constant level, rate and
spread), with a survey answer at its end or none. The first `prelude` steps of a clinician lie before the first survey:
they only move the mean. See `filter` for the recursions.
"""

from functools import cache
from hashlib import sha256
from pathlib import Path


@cache
def folder_version(folder: Path) -> str:
    """A hexadecimal number that changes with any source file of a folder."""
    return sha256(b"".join(path.read_bytes() for path in sorted(folder.glob("*.py")))).hexdigest()[:12]


# PyTensor's disk cache would go on serving the machine code of an edited kernel; every compiled graph therefore
# carries this number, which changes with any source file of this folder.
KERNEL_VERSION = int(folder_version(Path(__file__).parent), 16)
