"""Draws of single clinicians: in memory while they are few, and in a Zarr folder where they are many.

A folder is written by blocks of draws as they come, and read back by pieces: an array of it stands in a dataset like any
other and is read when, and as far as, it is indexed.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import xarray as xr
from xarray.backends.common import BackendArray
from xarray.core import indexing

from ..datasets.errors import UserError
from .convergence import SAMPLE

MOST_NUMBERS = 5_000_000  # of one quantity in memory: chains x draws x clinicians
BLOCK = 2_000_000  # numbers of one quantity that are worked on at a time
PIECE = 4096  # clinicians that are read together


def is_large(sizes: Mapping[str, int]) -> bool:
    """Whether a quantity with these dimensions is kept on disk."""
    return "clinician" in sizes and set(SAMPLE) <= set(sizes) and int(np.prod(list(sizes.values()))) > MOST_NUMBERS


class _Temporary:
    """A folder that is gone with the last array that lies in it."""

    def __init__(self):
        self.path = Path(tempfile.mkdtemp(prefix="equipoise-draws-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


class _OnDisk(BackendArray):
    """A Zarr array as xarray indexes it; ``folder`` is a temporary one that lasts as long as the array."""

    def __init__(self, array, folder=None):
        self.array, self.folder = array, folder
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, key):
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self.array.get_orthogonal_selection
        )


class Drawn:
    """Quantities that are filled by blocks of draws.

    Parameters
    ----------
    sizes : mapping of str to mapping of str to int
        By name, the dimensions in their order, chain and draw first, clinician last.
    folder : path, optional
        Where large ones go; default: a temporary folder, gone with the last array of it.

    Raises
    ------
    UserError
        If there is no room for them on the disk.
    """

    def __init__(self, sizes: Mapping[str, Mapping[str, int]], folder: Path | None = None):
        self.dims = {name: tuple(size) for name, size in sizes.items()}
        self.arrays, self.temporary = {}, None
        large = {name: size for name, size in sizes.items() if is_large(size)}
        if large:
            if folder is None:
                self.temporary = _Temporary()
                folder = self.temporary.path
            need_room(folder, bytes_on_disk(sizes))
        for name, size in sizes.items():
            shape = tuple(size.values())
            self.arrays[name] = _create(folder, name, size) if name in large else np.empty(shape)

    def blocks(self, chains: int, draws: int, clinicians: int):
        """Chain and slice of draws of each block."""
        step = block_of_draws(clinicians)
        for chain in range(chains):
            for begin in range(0, draws, step):
                yield chain, slice(begin, min(begin + step, draws))

    def write(self, chain: int, draws: slice, values: Mapping[str, np.ndarray]) -> None:
        """Put in a block of each quantity (draws x ... x clinicians)."""
        for name, value in values.items():
            try:
                self.arrays[name][chain, draws] = value
            except OSError as error:
                raise UserError(f"the draws of single clinicians cannot be written: {error.strerror or error}.") from None

    def variables(self) -> dict[str, xr.Variable]:
        """All quantities, those on disk to be read as they are indexed."""
        return {name: _variable(self.dims[name], array, self.temporary) for name, array in self.arrays.items()}


def block_of_draws(clinicians: int) -> int:
    """Draws that are worked on together."""
    return max(1, BLOCK // max(clinicians, 1))


def save_large(tree: xr.DataTree, folder: Path) -> xr.DataTree:
    """Write what is large in a tree to a Zarr folder, by blocks of draws; returns the tree of the rest."""
    rest = {}
    for path, node in tree.children.items():
        dataset = node.to_dataset()
        large = [name for name, values in dataset.data_vars.items() if is_large(values.sizes)]
        rest[path] = dataset.drop_vars(large)
        for name in large:
            values = dataset[name].transpose(*SAMPLE, ..., "clinician")
            sizes = {f"{path}/{name}": values.sizes}
            drawn = Drawn(sizes, folder)
            for chain, draws in drawn.blocks(*(values.sizes[d] for d in (*SAMPLE, "clinician"))):
                drawn.write(chain, draws, {f"{path}/{name}": values[chain, draws].to_numpy()})
    saved = xr.DataTree.from_dict(rest)
    saved.attrs = tree.attrs
    return saved


def load_large(folder: Path) -> dict[str, dict[str, xr.Variable]]:
    """By group of the tree, what `save_large` has written, to be read as it is indexed."""
    import zarr

    found: dict[str, dict[str, xr.Variable]] = {}
    for group, members in zarr.open_group(folder, mode="r").groups():
        for name, array in members.arrays():
            found.setdefault(group, {})[name] = _variable(array.metadata.dimension_names, array)
    return found


def _variable(dims, array, folder=None) -> xr.Variable:
    data = array if isinstance(array, np.ndarray) else indexing.LazilyIndexedArray(_OnDisk(array, folder))
    return xr.Variable(dims, data)


def _create(folder: Path, name: str, sizes: Mapping[str, int]):
    """One file for each block of draws, in which pieces of some thousand clinicians are read by themselves."""
    import zarr

    *middle, count = list(sizes.values())[2:]
    pieces = -(-count // PIECE)
    piece, draws = -(-count // pieces), min(block_of_draws(count), sizes["draw"])
    return zarr.open_group(folder, mode="a").create_array(
        name, shape=tuple(sizes.values()), dtype="float64", chunks=(1, draws, *middle, piece),
        shards=(1, draws, *middle, piece * pieces), compressors=None, dimension_names=list(sizes),
    )  # fmt: skip


def bytes_on_disk(sizes: Mapping[str, Mapping[str, int]]) -> int:
    """What those among quantities of these sizes take that are kept on disk."""
    return 8 * sum(int(np.prod(list(size.values()))) for size in sizes.values() if is_large(size))


def need_room(folder: Path, needed: float, way_out: str = "another folder for temporary files (TMPDIR)") -> None:
    """Raise `UserError` where a folder's disk has not these bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if needed > 0.95 * free:
        raise UserError(
            f"the draws of single clinicians need {needed / 1e9:.1f} GB in {folder}, where {free / 1e9:.1f} GB are free. Make room, "
            f"ask for fewer draws, or name {way_out}."
        )
