"""Models of a process, and the setting with which another process loads the same models."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch

from .... import samplers
from ....models.denoiser import Denoiser
from ....models.loaders.source_file import record_import
from ....models.loaders.user_files import Stamp, file_hash, record_files, stamp_of
from ....models.reference import Extractor
from ....models.registry import make_model
from ....samplers.peers import peers_path, set_peers_path
from ....samplers.spec import parse_spec
from ...scoring.feature_references import CARD, make_scoring_extractor

Made = TypeVar("Made")


@dataclass(frozen=True)
class WorkerConfig:
    """Settings that a worker process applies before its first task.

    ``extractors`` has pairs of a model's spec and its feature space. ``threads`` is for torch.
    ``plugins`` are the user's files with samplers. ``peers`` is a folder with other libraries.
    """

    extractors: tuple[tuple[str, str], ...]
    device: str
    threads: int
    plugins: tuple[Path, ...]
    peers: Path | None

    @classmethod
    def of_this_process(cls, extractors: Mapping[str, str], device: str) -> WorkerConfig:
        """Return the setting with this process's threads, plugins and peers."""
        return cls(
            tuple(extractors.items()),
            device,
            torch.get_num_threads(),
            samplers.plugin_files(),
            peers_path(),
        )

    def apply(self) -> None:
        """Set torch's threads, switch gradients off, and load plugins and peers.

        Raises a PluginError if one of ``plugins`` is missing or broken. Broken installed plugins
        are skipped; the first process of the run reports them.
        """
        torch.set_num_threads(self.threads)
        torch.set_grad_enabled(False)
        samplers.load_plugins(record_files)
        for file in self.plugins:
            samplers.load_file(file, partial(record_import, file))
        set_peers_path(self.peers)


class LoadedModel(NamedTuple):
    """Model on its device, and its feature extractor, or None if there is none."""

    model: Denoiser
    extractor: Extractor | None


class WorkerContext:
    """Models for tasks, by name: the given ``models``, and the last one from :meth:`load`.

    ``extractors`` has the feature extractors of the given models, by name.
    """

    def __init__(
        self,
        setting: WorkerConfig,
        models: Mapping[str, Denoiser] | None = None,
        extractors: Mapping[str, Extractor | None] | None = None,
    ) -> None:
        self.setting = setting
        self._given = {
            name: LoadedModel(model, (extractors or {}).get(name))
            for name, model in (models or {}).items()
        }
        self._latest: dict[str, LoadedModel] = {}  # one at most
        self._results: dict[Hashable, Any] = {}
        self._opened: dict[str, dict[str, Stamp | None]] = {}

    def once(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """Return the result of ``make()``, which is called once per ``key`` in this context."""
        if key not in self._results:
            self._results[key] = make()
        return self._results[key]

    @contextmanager
    def recording_files_of(self, name: str, *, foreign: bool = False) -> Iterator[None]:
        """Record the user's files that the block opens; they count as files of the model ``name``.

        Nothing is recorded for a loaded built-in model and extractor, unless the block runs a
        plugin's sampler (``foreign``).
        """
        loaded = self._find(name)
        files = loaded and (loaded.model.read, getattr(loaded.extractor, "read", None))
        if files == (None, None) and not foreign:
            yield
            return
        with record_files() as recorder:
            try:
                yield
            finally:
                self._opened[name] = recorder.stamps | self._opened.get(name, {})

    def opened_file_hashes(self, name: str) -> dict[str, str]:
        """Return the SHA-256 of files recorded for a model, by path; "" for a file that changed."""
        return hashes_of_files(self._opened.get(name, {}))

    def load(self, name: str) -> LoadedModel:
        """Return the model with the spec ``name``, and its extractor, loaded if necessary.

        Raises a ValueError if the model cannot be made.
        """
        if loaded := self._find(name):
            return loaded
        self._latest.clear()  # before the next is loaded, so that memory never holds two
        options = parse_spec(name)
        model = make_model(options.pop("name"), **options)
        model = model.to(self.setting.device) if self.setting.device != "cpu" else model
        space = dict(self.setting.extractors).get(name, CARD)
        self._latest[name] = LoadedModel(model, make_scoring_extractor(name, model, space))
        return self._latest[name]

    def _find(self, name: str) -> LoadedModel | None:
        return self._given.get(name) or self._latest.get(name)


def hashes_of_files(stamps: Mapping[str, Stamp | None]) -> dict[str, str]:
    """Return the SHA-256 of files by absolute path; "" if size or times differ from the stamp."""
    return {
        path: (file_hash(path) or "") if stamp_of(path) == stamp else ""
        for path, stamp in stamps.items()
    }
