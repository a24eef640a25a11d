"""Sealed archives of arrays in files of their own, as tests write and read them."""

from samplerbench.results.run_directory.files import write_bytes
from samplerbench.results.run_directory.sealed import open_sealed, sealed_npz


def write_npz(path, arrays, of, made_by=""):
    """Write arrays with their seal, and return the digest."""
    data, seal = sealed_npz(arrays, of, made_by)
    write_bytes(path, data)
    return seal.sha256


def read_npz(path, of, made_by=None, sha256=None):
    """The arrays in a sealed archive that is as expected."""
    opened = open_sealed(path, of)
    opened.check(made_by, sha256)
    return opened.value
