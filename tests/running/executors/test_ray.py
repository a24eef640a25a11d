"""Runs on Ray: the table of one process, whatever becomes of actors and machines, and nothing left
behind. Skipped where Ray is not installed; ``make cluster`` installs it and runs these.
"""

import importlib.util
import json
import os
import signal
import time
from pathlib import Path

import pandas as pd
import pytest
from quiet_runs import quiet_run

from samplerbench import samplers
from samplerbench.benchmarks.cli.common.executor_options import ExecutorOptions, pick_executor
from samplerbench.benchmarks.running.executors import (
    Call,
    Failure,
    InProcess,
    ray_actors,
    ray_connection,
)
from samplerbench.benchmarks.running.executors.ray_executor import TRIES, Ray, _threads_per_actor
from samplerbench.benchmarks.running.executors.worker_context import WorkerConfig, WorkerContext
from samplerbench.benchmarks.suites.suite import check_suite

if importlib.util.find_spec("ray") is None:
    pytest.skip("Ray is not installed (make cluster)", allow_module_level=True)
ray = ray_connection.import_local_ray()
pytestmark = [
    pytest.mark.cluster,
    # Ray's own, of processes and sockets that it ends without waiting for them
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
DEADLY = Path(__file__).parents[1] / "deadly.py"
SUITE = {
    "name": "ray",
    "models": ["gmm-2d"],
    "samplers": ["euler", "raises", "ddpm", "segfaults"],
    "steps": [2, 3],
    "samples": 1100,
    "batch_size": 128,
    "reference_samples": 8,
    "converged_samples": 64,
    "timing": {"enabled": False},
}
CONTEXT = WorkerContext(WorkerConfig.of_this_process({}, "cpu"))


def processes(word):
    """Numbers of the processes that have a word in their command or environment."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if any(word.encode() in (place / name).read_bytes() for name in ("cmdline", "environ")):
                found.append(int(place.name))
        except OSError:
            continue
    return found


def ended(word, seconds=60):
    """Whether all of them end."""
    until = time.monotonic() + seconds
    while processes(word) and time.monotonic() < until:
        time.sleep(0.2)
    return not processes(word)


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    """The folder and the table of a run in this process."""
    samplers.load_file(DEADLY)
    folder = tmp_path_factory.mktemp("serial") / "run"
    suite = check_suite(SUITE | {"samplers": ["euler", "raises", "ddpm"]}, "test")
    return folder, quiet_run(suite, folder, executor=InProcess()).frame


@pytest.fixture(scope="module")
def on_this_machine():
    """An executor with a cluster of this machine alone."""
    executor = Ray(jobs=2)
    yield executor
    executor.close()


def same(folder, serial):
    """That a run has the table and the shards of the serial one, to the last byte."""
    frame = pd.read_csv(folder / "table.csv")
    frame = frame[frame["sampler"] != "segfaults"].reset_index(drop=True)
    pd.testing.assert_frame_equal(frame, pd.read_csv(serial[0] / "table.csv"), check_exact=True)
    shards = [path.relative_to(serial[0]) for path in serial[0].glob("parts/*/*-*.npz")]
    assert len(shards) > 4
    assert all((folder / path).read_bytes() == (serial[0] / path).read_bytes() for path in shards)


def test_a_run_on_ray_has_the_table_of_one_process_and_rows_of_what_crashed(
    serial, on_this_machine, tmp_path
):
    quiet_run(check_suite(SUITE, "test"), tmp_path / "run", executor=on_this_machine)
    same(tmp_path / "run", serial)
    frame = pd.read_csv(tmp_path / "run" / "table.csv").set_index("sampler")
    assert set(frame.loc["segfaults", "status"]) == {"crashed"}
    assert set(frame.loc["raises", "status"]) == {"failed"}


def kills_the_actor(marker):
    """As an operator or the kernel may."""
    if marker is None or not marker.exists():
        if marker is not None:
            marker.touch()
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(600)
    return "there"


def test_a_task_whose_actor_is_killed_is_run_again_a_bounded_number_of_times(
    on_this_machine, tmp_path
):
    tasks = [Call(abs, (-1,)), Call(kills_the_actor, (tmp_path / "once",)), Call(abs, (-2,))]
    assert dict(on_this_machine.map(tasks, CONTEXT)) == {0: 1, 1: "there", 2: 2}
    found = dict(on_this_machine.map([Call(kills_the_actor, (None,)), Call(abs, (-3,))], CONTEXT))
    assert found[1] == 3
    assert isinstance(found[0], Failure)
    assert found[0].status == "crashed"
    assert found[0].reason.startswith(f"its machine or its Ray actor was lost {TRIES} times: ")


def test_a_cluster_of_this_machine_is_bound_to_localhost_and_leaves_nothing(on_this_machine):
    assert on_this_machine.run(Call(abs, (-1,)), CONTEXT) == 1
    folder = on_this_machine._connection._folder
    assert processes(folder)
    assert {node["NodeManagerAddress"] for node in ray.nodes()} == {"127.0.0.1"}
    assert os.environ["RAY_AUTH_MODE"] == "token"
    on_this_machine.close()
    assert not Path(folder).exists()
    assert ended(folder)
    assert not ray.is_initialized()


@pytest.fixture(scope="module")
def cluster():
    """Eight machines of a core and a GPU each, none of which is there."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args=machine("head", include_dashboard=False))
    for number in range(1, 8):
        made.add_node(**machine(str(number)))
    yield made
    ray.shutdown()
    made.shutdown()


def machine(name, kind="A100", **more):
    """Arguments of a machine for Ray's simulated cluster."""
    resources = {f"{ray_actors.TYPE}{kind}": 1}
    return {
        "num_cpus": 1, "num_gpus": 1, "resources": resources, "env_vars": {"WHICH": name},
        "object_store_memory": 2**27, **more,
    }  # fmt: skip


class Shaken(Ray):
    """After some results, a machine is gone, and another one is there."""

    after = 4

    def map(self, tasks, *args, **kwargs):
        for count, one in enumerate(super().map(tasks, *args, **kwargs)):
            if count == self.after and len(tasks) > 2 * self.after:
                self.shake()
            yield one


def where(seconds):
    time.sleep(seconds)
    return os.environ.get("WHICH")


def test_a_machine_that_goes_and_one_that_comes_in_mid_run_leave_the_table_as_it_is(
    cluster, serial, tmp_path
):
    """Acceptance 4: eight machines with GPUs that are none."""
    executor, shaken = Shaken(cluster.address, gpus=1.0), []

    def shake():
        gone = next(node for node in cluster.list_all_nodes() if node is not cluster.head_node)
        cluster.remove_node(gone, allow_graceful=False)
        cluster.add_node(**machine(f"new-{len(shaken)}"))
        shaken.append(gone)

    executor.shake = shake
    try:
        quiet_run(check_suite(SUITE, "test"), tmp_path / "run", executor=executor)
        assert len(shaken) == 1
        same(tmp_path / "run", serial)
        found = dict(executor.map([Call(where, (1.5,)) for _ in range(60)], CONTEXT))
    finally:
        executor.close()
    assert sorted(found) == list(range(60))
    assert len(shaken) == 2
    assert "new-1" in found.values()
    assert len(set(found.values())) >= 8
    assert not ray.is_initialized()
    assert not list((tmp_path / "run" / "claims").glob("*"))


def test_times_are_taken_on_a_machine_of_the_stated_type(cluster):
    cluster.add_node(**machine("fast", kind="H100"))
    executor = Ray(cluster.address, accelerator="H100")
    timer = executor.alone("cpu")
    try:
        assert timer.run(Call(where, (0,)), CONTEXT) == "fast"
        assert timer._group.share == ray_actors.ActorResources(1, 1.0, "H100")
        with pytest.raises(ValueError, match=r"GPUs of types A100, H100; say which one times are"):
            Ray(cluster.address).alone("cuda")
        with pytest.raises(ValueError, match=r"--gpus-per-worker 0.5 shares GPUs, and times need"):
            Ray(cluster.address, gpus=0.5).alone("cuda")
        assert Ray(cluster.address).alone("cpu") is None
    finally:
        timer.close()
        executor.close()


def test_what_differs_or_lacks_on_another_machine_is_a_sentence(cluster, monkeypatch):
    executor = Ray(cluster.address, jobs=1)
    try:
        with monkeypatch.context() as patched:
            other = {"samplerbench": "0.0.1", "torch": "1.2"}
            patched.setattr(ray_actors, "shared_versions", lambda: other)
            with pytest.raises(
                ValueError, match=r"has samplerbench .* where this process has 0.0.1"
            ):
                executor.run(Call(abs, (-1,)), CONTEXT)
        with monkeypatch.context() as patched:
            gone = ray_actors.Environment("/no/such/folder", (), {})
            patched.setattr(ray_actors.Environment, "of_this_process", lambda: gone)
            executor.close()
            with pytest.raises(ValueError, match="it has no folder /no/such/folder: files that"):
                executor.run(
                    Call(abs, (-1,)),
                    WorkerContext(WorkerConfig((), "cpu", 1, (Path("/x.py"),), None)),
                )
    finally:
        executor.close()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("worker", None, None), "--ray-address is of a Ray cluster; give --executor ray with it"),
        (("ray", True, None), "--isolation names another executor than ray; leave one of them out"),
        (("ray:10.0.0.9:1", None, None), "--executor ray:10.0.0.9:1 and --ray-address 127.0.0.1:1 are two"),
        (("ray", None, "0"), "--jobs 0: give a number of processes from 1 to 1024, or auto"),
        (("ray", None, "2"), "no Ray cluster answers at 127.0.0.1:1 (Connection refused); `ray status`"),
    ],
)  # fmt: skip
def test_a_mistake_is_a_sentence(given, sentence):
    name, isolation, jobs = given
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is compared
        pick_executor(
            ExecutorOptions(name, isolation, None, "127.0.0.1:1", None, None), jobs, "cpu"
        )
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("ray://head:10001", "give host:port of the cluster's head, on a machine of the cluster"),
        ("head", "give host:port, such as 10.0.0.1:6379, or auto"),
        ("head:x", "give host:port, such as 10.0.0.1:6379, or auto"),
    ],
)
def test_an_address_that_is_none(address, sentence):
    with pytest.raises(ValueError, match=sentence):
        Ray(address).check()


def test_a_cluster_of_other_versions_is_a_sentence():
    words = "Version mismatch: The cluster was started with:\n    Ray: 2.1\n    Python: 3.9"
    with pytest.raises(
        ValueError, match=r"is of other versions \(The cluster .* Python: 3.9\); in"
    ):
        raise ValueError(ray_connection.Connection("a:1")._describe_error(RuntimeError(words)))


def test_the_cluster_of_the_guide_is_as_rays_launcher_wants_it():
    """Ray brings the schema, and what reads it."""
    import jsonschema
    import yaml

    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())
    text = (Path(__file__).parents[3] / "docs" / "examples" / "ray-cluster.yaml").read_text()
    found = yaml.safe_load(text)
    jsonschema.validate(found, schema)
    assert found["head_node_type"] in found["available_node_types"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(found | {"provider": {}}, schema)


def test_a_share_of_threads_and_of_machines():
    machines = [{"CPU": 16.0, "GPU": 4.0}, {"CPU": 8.0}]
    assert _threads_per_actor(machines, 1.0, None, 64) == 4
    assert _threads_per_actor(machines, 1.0, 2, 64) == 4
    assert _threads_per_actor(machines, 0.0, None, 64) == 2
    assert _threads_per_actor(machines, 0.0, None, 8) == 1
    assert _threads_per_actor([], 1.0, None, 8) == 1
    assert sum(map(ray_actors.ActorResources(1, 0.5).count_actors, machines)) == 8
    assert ray_actors.loss_in_words(
        RuntimeError("The actor died.\n It is dead because its node has died.")
    ) == ("It is dead because its node has died")
