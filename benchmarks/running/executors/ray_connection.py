"""Connection to a Ray cluster: an existing one, or a private one that ends with the connection."""

from __future__ import annotations

import importlib
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any

EXTRA = "pip install 'samplerbench[cluster]'"
ADDRESS = "RAY_ADDRESS"  # environment variable that Ray sets in its commands (``ray job submit``)
PROBE = 5.0  # time limit of an address's answer, in seconds
OBJECTS = 2**29  # bytes of unread results on this machine; more go to the disk

LONGEST_FOLDER = 32
"""Longest path of a folder for Ray's sockets, whose names may have 107 letters in all."""

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""Settings of Ray before its import, unless the user has others: it sends and prints nothing."""


def import_ray() -> Any:
    """Return the module ``ray``; it is a ValueError if it is not installed."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        ray: ModuleType = importlib.import_module("ray")
    except ImportError as error:
        raise ValueError(f"--executor ray needs Ray ({error}); {EXTRA}") from error
    # lost machines are reported on the standard output under any log setting of ray.init
    talker: Any = importlib.import_module("ray._private.worker")
    talker.print_to_stdstream = lambda *_, **__: None
    return ray


class Connection:
    """Connection to a cluster, from its first use until it is closed.

    Args:
        address: ``host:port`` of the cluster's head, or "auto" for this machine's; "" for the
            environment's (:data:`ADDRESS`), or else for a cluster of this machine alone, whose
            ports are bound to localhost and need a token.
    """

    def __init__(self, address: str = "") -> None:
        self.address = address or os.environ.get(ADDRESS, "")
        self._ours = False
        self._folder = ""

    @property
    def local(self) -> bool:
        """True if the cluster was started for this process, on this machine alone."""
        return self._ours and not self.address

    def check(self) -> None:
        """Check that a cluster can be joined; errors as :meth:`open`."""
        if self.address:
            _check_address(self.address)
            import_ray()
        else:
            ray_on_this_machine()

    def open(self, cpus: int, gpus: int) -> Any:
        """Connect, if not connected, and return the module ``ray``.

        A cluster of this machine alone has these numbers of cores and GPUs. It is a ValueError if
        Ray is missing, no cluster answers at the address, or it has another version.
        """
        ray = ray_on_this_machine() if not self.address else import_ray()
        if ray.is_initialized():
            return ray
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if self.address:
            _check_address(self.address)
            options["address"] = self.address
        else:
            self._folder = _make_socket_folder()
            options |= {
                "address": "local",
                "include_dashboard": False,
                "num_cpus": cpus,
                "num_gpus": gpus,
                "object_store_memory": OBJECTS,
                "_temp_dir": self._folder,
            }
        with _restore_signal_handlers():
            try:
                ray.init(**options)
            except Exception as error:
                self.close()
                raise ValueError(self._describe_error(error)) from error
        self._ours = True
        return ray

    def close(self) -> None:
        """Disconnect; a cluster of this machine alone ends."""
        ours, self._ours = self._ours, False
        folder, self._folder = self._folder, ""
        if ours:
            with _restore_signal_handlers():
                import_ray().shutdown()
        if folder:
            shutil.rmtree(folder, ignore_errors=True)

    def _describe_error(self, error: Exception) -> str:
        """Describe an error in a sentence."""
        words = " ".join(str(error).split())
        if not self.address:
            return f"Ray does not start on this machine ({type(error).__name__}: {words})"
        if "ersion mismatch" in words:
            versions = words.partition("ersion mismatch:")[2].strip()
            return (
                f"the Ray cluster at {self.address} is of other versions ({versions}); install "
                "the same Python and Ray on all machines"
            )
        return (
            f"the Ray cluster at {self.address} cannot be joined ({type(error).__name__}: {words}); "
            "run the command on a machine of the cluster, where `ray status` answers"
        )


def ray_on_this_machine() -> Any:
    """Return :func:`import_ray` restricted to this machine and a token, for its several users.

    Ray binds its ports to all interfaces on Linux, and to localhost where it makes no clusters of
    several machines, which the first variable selects. It reads both at import; in a process that
    has imported it there is no token.
    """
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    if "ray" not in sys.modules and "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    ray = import_ray()
    if os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0":
        constants: Any = importlib.import_module("ray._private.ray_constants")
        constants.ENABLE_RAY_CLUSTER = False
    return ray


def _check_address(address: str) -> None:
    """Check that a server listens at an address, which takes Ray itself a minute."""
    if address == "auto":
        return
    if "://" in address:
        raise ValueError(
            f"--ray-address {address}: give host:port of the cluster's head, on a machine of the "
            "cluster; Ray Client, which ray:// means, carries no shards"
        )
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"--ray-address {address}: give host:port, such as 10.0.0.1:6379, or auto")
    try:
        socket.create_connection((host.strip("[]"), int(port)), PROBE).close()
    except OSError as error:
        raise ValueError(
            f"no Ray cluster answers at {address} ({error.strerror or error}); "
            "`ray status` says where one is, and `ray start --head` starts one"
        ) from error


def _make_socket_folder() -> str:
    """Make a new folder for Ray's sockets and logs."""
    usual = tempfile.gettempdir()
    return tempfile.mkdtemp(prefix="sb-ray-", dir=usual if len(usual) < LONGEST_FOLDER else "/tmp")


@contextmanager
def _restore_signal_handlers() -> Iterator[None]:
    """Restore the signal handlers after the block, in which Ray may set its own."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            with suppress(ValueError):  # in another thread than the main one
                signal.signal(number, handler)
