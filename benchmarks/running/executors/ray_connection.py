"""Connection to a Ray cluster: an existing cluster, or a private one for the connection."""

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
PROBE_SECONDS = 5.0  # seconds that the server at an address has to answer
OBJECT_STORE_BYTES = 2**29  # bytes of unread results on this machine; more go to the disk

LONGEST_FOLDER = 32  # characters of the path of Ray's folder: paths of sockets are at most 107 long

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""Defaults of Ray's environment variables, with which it sends no statistics and prints less."""


def import_ray() -> Any:
    """Import and return the module ``ray``. Raises a ValueError if it is not installed."""
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
    """Connection to a Ray cluster, from :meth:`open` to :meth:`close`.

    Args:
        address: ``host:port`` of the cluster's head, or "auto" for the cluster of this machine. ""
            takes the environment variable :data:`ADDRESS`. If this variable is not set, a private
            cluster starts here. Its ports are bound to localhost and need a token.
    """

    def __init__(self, address: str = "") -> None:
        self.address = address or os.environ.get(ADDRESS, "")
        self._is_open = False
        self._folder = ""

    @property
    def is_private(self) -> bool:
        """True if this connection started a private cluster on this machine."""
        return self._is_open and not self.address

    def check(self) -> None:
        """Raise a ValueError if Ray is not installed or no server listens at the address."""
        if self.address:
            _check_address(self.address)
            import_ray()
        else:
            import_local_ray()

    def open(self, cpus: int, gpus: int) -> Any:
        """Connect, unless connected, and return the module ``ray``.

        ``cpus`` and ``gpus`` are the numbers of cores and GPUs of a private cluster.

        Raises:
            ValueError: Ray is missing, no cluster answers, or its Ray or Python differs in version.
        """
        ray = import_local_ray() if not self.address else import_ray()
        if ray.is_initialized():
            return ray
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if self.address:
            _check_address(self.address)
            options["address"] = self.address
        else:
            folder = tempfile.gettempdir()
            folder = folder if len(folder) < LONGEST_FOLDER else "/tmp"
            self._folder = tempfile.mkdtemp(prefix="sb-ray-", dir=folder)
            options |= {
                "address": "local",
                "include_dashboard": False,
                "num_cpus": cpus,
                "num_gpus": gpus,
                "object_store_memory": OBJECT_STORE_BYTES,
                "_temp_dir": self._folder,
            }
        with _restore_signal_handlers():
            try:
                ray.init(**options)
            except Exception as error:
                self.close()
                raise ValueError(self._describe_error(error)) from error
        self._is_open = True
        return ray

    def close(self) -> None:
        """Disconnect, and end the cluster if it is private."""
        was_open, self._is_open = self._is_open, False
        folder, self._folder = self._folder, ""
        if was_open:
            with _restore_signal_handlers():
                import_ray().shutdown()
        if folder:
            shutil.rmtree(folder, ignore_errors=True)

    def _describe_error(self, error: Exception) -> str:
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


def import_local_ray() -> Any:
    """Import and return ``ray``, restricted to localhost and to clients with a secret token.

    On Linux, Ray binds its ports to all interfaces unless clusters of several machines are
    disabled. Ray reads its variables at its import: if it was imported before, there is no token.
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
    """Raise a ValueError if no server listens at an address; Ray itself would take a minute."""
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
        socket.create_connection((host.strip("[]"), int(port)), PROBE_SECONDS).close()
    except OSError as error:
        raise ValueError(
            f"no Ray cluster answers at {address} ({error.strerror or error}); "
            "`ray status` says where one is, and `ray start --head` starts one"
        ) from error


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
