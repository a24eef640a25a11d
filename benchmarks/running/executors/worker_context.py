"""Models of a process, and the setting that recreates them in another process."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch

from .... import samplers
from ....models.denoiser import Denoiser
from ....models.loaders.user_files import Stamp, file_hash, record_files, stamp_of
from ....models.reference import Extractor, Reference
from ....models.registry import make_model
from ....samplers.peers import peers_path, set_peers_path
from ....samplers.spec import parse_spec
from ...scoring.references import CARD, make_scoring_extractor

Made = TypeVar("Made")


@dataclass(frozen=True)
class WorkerConfig:
    """Setting of a process before its first task.

    ``extractors`` are the feature spaces by the models' specs, ``plugins`` the user's files with
    samplers, and ``peers`` is a folder with clones of peers.
    """

    extractors: tuple[tuple[str, str], ...]
    device: str
    threads: int
    plugins: tuple[Path, ...]
    peers: Path | None

    @classmethod
    def here(cls, extractors: Mapping[str, str], device: str) -> WorkerConfig:
        """Return the setting of this process."""
        return cls(
            tuple(extractors.items()),
            device,
            torch.get_num_threads(),
            samplers.plugin_files(),
            peers_path(),
        )

    def apply(self) -> None:
        """Apply the setting to this process; it is a PluginError if a file is gone or broken.

        A broken installed plugin was reported by the process that began the run.
        """
        torch.set_num_threads(self.threads)
        torch.set_grad_enabled(False)
        samplers.load_plugins(record_files)
        for file in self.plugins:
            samplers.load_file(file, record_files)
        set_peers_path(self.peers)


class LoadedModel(NamedTuple):
    """Model on its device, and its extractor; None for a model without a reference."""

    model: Denoiser
    extractor: Extractor | None


class WorkerContext:
    """Models by name: of a run, or made on demand; of the latter the latest is cached.

    ``extractors`` are of models without a reference.
    """

    def __init__(
        self,
        setting: WorkerConfig,
        models: Mapping[str, Denoiser] | None = None,
        references: Mapping[str, Reference | None] | None = None,
        extractors: Mapping[str, Extractor | None] | None = None,
    ) -> None:
        self.setting = setting
        self.models, self.references = dict(models or {}), dict(references or {})
        spaces = dict(extractors or {})
        for name, reference in self.references.items():
            spaces[name] = reference.extractor if reference else None
        self._loaded = {
            name: LoadedModel(model, spaces.get(name)) for name, model in self.models.items()
        }
        self._latest: tuple[str, LoadedModel] | None = None
        self._results: dict[Hashable, Any] = {}
        self._opened: dict[str, dict[str, Stamp | None]] = {}

    def once(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """Return ``make()``, called once for all tasks in this context."""
        if key not in self._results:
            self._results[key] = make()
        return self._results[key]

    @contextmanager
    def recording(self, name: str, *, foreign: bool = False) -> Iterator[None]:
        """Record the user's files that the block opens as the model's."""
        if not foreign and self._is_plain(name):  # all code is this package's
            yield
            return
        with record_files() as recorder:
            try:
                yield
            finally:
                self._opened[name] = recorder.stamps | self._opened.get(name, {})

    def _is_plain(self, name: str) -> bool:
        """Return True for a loaded model that has no files of the user's."""
        if name in self._loaded:
            loaded = self._loaded[name]
        elif self._latest is not None and self._latest[0] == name:
            loaded = self._latest[1]
        else:
            return False
        return loaded.model.read is None and getattr(loaded.extractor, "read", None) is None

    def opened(self, name: str) -> dict[str, str]:
        """Return :func:`hashes_of_files` the files opened for a model."""
        return hashes_of_files(self._opened.get(name, {}))

    def subject(self, name: str) -> LoadedModel:
        """Return a model by its spec; it is a ValueError if it cannot be made."""
        if name in self._loaded:
            return self._loaded[name]
        if self._latest is None or self._latest[0] != name:
            self._latest = None  # before the next is loaded, so that memory never holds two
            options = parse_spec(name)
            model = make_model(options.pop("name"), **options)
            model = model.to(self.setting.device) if self.setting.device != "cpu" else model
            space = dict(self.setting.extractors).get(name, CARD)
            self._latest = name, LoadedModel(model, make_scoring_extractor(name, model, space))
        return self._latest[1]


def hashes_of_files(stamps: Mapping[str, Stamp | None]) -> dict[str, str]:
    """Return the SHA-256 of files by absolute path; "" for one that changed since its stamp."""
    return {
        path: (file_hash(path) or "") if stamp_of(path) == stamp else ""
        for path, stamp in stamps.items()
    }
