"""What may run beside what: trainings have a GPU, or the cores, for themselves."""

import pytest

from augury.pipeline.cores import WITH_ANY_THREADS
from augury.running.machine import SHARING, Machine, Place, visible_gpus


def started(machine: Machine, *stages: str) -> dict[str, dict[str, str]]:
    """Those of `stages` that find a place at once, in turn, with their environment."""
    taken = list[Place]()
    for stage in stages:
        place = machine.place(stage, taken, sharing=4)
        if place is not None:
            taken.append(place)
    return {place.stage: place.environment for place in taken}


@pytest.mark.parametrize("alone", ["train_vae@0", "sample@0-vae", "score@0-vae", "compare"])
def test_on_a_cpu_what_depends_on_the_number_of_threads_has_all_of_them(alone: str) -> None:
    machine = Machine([], 4, 4, None)
    assert started(machine, alone, "train_gan@0-dcgan", "classify@0-a") == {alone: {}}
    assert started(machine, "classify@0-a", alone) == {"classify@0-a": {"OMP_NUM_THREADS": "1"}}
    # Or as many as OMP_NUM_THREADS says, to `dvc repro` as well.
    assert started(Machine([], 4, 2, None), alone, "train_gan@0-dcgan", "train_gan@0-stylegan") == {
        alone: {},
        "train_gan@0-dcgan": {},
    }


@pytest.mark.parametrize(("jobs", "count", "threads"), [(None, 4, "2"), (2, 2, "4"), (1, 1, "8"), (16, 4, "2")])
def test_on_a_cpu_arms_and_copies_share_the_cores(jobs: int | None, count: int, threads: str) -> None:
    stages = ["augment@0-classic", "classify@0-a", "classify@0-b", "classify@0-c", "classify@0-d"]
    expected = {stage: {"OMP_NUM_THREADS": threads} for stage in stages[:count]}
    assert started(Machine([], 8, 8, jobs), *stages) == expected


def test_what_shares_the_cores_has_the_same_bytes_with_any_number_of_threads() -> None:
    assert {*SHARING} < {*WITH_ANY_THREADS}


def test_with_one_thread_each_trainings_run_side_by_side_and_beside_arms() -> None:
    dcgan, stylegan, arm = "train_gan@0-dcgan", "train_gan@0-stylegan", "classify@0-a"
    assert started(Machine([], 2, 1, None), dcgan, stylegan, arm) == {dcgan: {}, stylegan: {}}
    assert started(Machine([], 2, 1, None), dcgan, arm, stylegan) == {dcgan: {}, arm: {"OMP_NUM_THREADS": "1"}}


def test_replicates_are_prepared_one_after_the_other_by_all_cores() -> None:
    assert started(Machine([], 4, 1, None), "prepare@0", "prepare@1", "train_vae@0") == {"prepare@0": {}}
    assert started(Machine([], 4, 1, None), "train_vae@0", "prepare@1").keys() == {"train_vae@0"}
    assert started(Machine(["7"], 4, 1, None), "train_vae@0", "prepare@1").keys() == {"train_vae@0", "prepare@1"}


def test_more_jobs_than_cores_are_one_thread_each() -> None:
    stages = [f"classify@0-{number}" for number in range(3)]
    assert started(Machine([], 1, 1, 3), *stages) == {stage: {"OMP_NUM_THREADS": "1"} for stage in stages}


def test_a_training_has_a_gpu_for_itself() -> None:
    one, two = Machine(["7"], 8, 8, None), Machine(["7", "9"], 8, 8, None)
    vae, dcgan, stylegan = "train_vae@0", "train_gan@0-dcgan", "train_gan@0-stylegan"
    on = [{"CUDA_VISIBLE_DEVICES": name} for name in ("7", "9")]
    assert started(one, vae, dcgan, stylegan, "sample@0-vae") == {vae: on[0]}
    assert started(two, vae, dcgan, stylegan) == {vae: on[0], dcgan: on[1]}
    assert started(two, "sample@0-vae", vae, "score@0-vae") == {"sample@0-vae": on[0], vae: on[1]}
    # Nor do more jobs put anything beside it.
    assert started(Machine(["7"], 8, 8, 4), vae, dcgan, "sample@0-vae") == {vae: on[0]}
    # What uses no GPU waits for none.
    assert started(one, vae, "augment@0-classic") == {vae: on[0], "augment@0-classic": {"OMP_NUM_THREADS": "8"}}


@pytest.mark.parametrize("jobs", [None, 8])
def test_a_training_of_several_processes_has_all_gpus_for_itself(jobs: int | None) -> None:
    machine = Machine(["7", "9"], 8, 8, jobs, "torchrun --standalone --nproc-per-node 2")
    vae, dcgan, sample = "train_vae@0", "train_gan@0-dcgan", "sample@0-vae"
    assert started(machine, vae, dcgan, sample, "classify@0-a") == {vae: {}}
    assert started(machine, sample, vae) == {sample: {"CUDA_VISIBLE_DEVICES": "7"}}
    assert {vae, "augment@0-classic"} == started(machine, vae, "augment@0-classic").keys()


def test_a_training_of_several_processes_has_all_cores_for_itself() -> None:
    machine = Machine([], 8, 2, None, "torchrun --standalone --nproc-per-node 4")
    assert started(machine, "train_vae@0", "classify@0-a", "train_gan@0-dcgan") == {"train_vae@0": {}}
    assert started(machine, "classify@0-a", "train_vae@0") == {"classify@0-a": {"OMP_NUM_THREADS": "2"}}


def test_jobs_are_spread_over_the_gpus() -> None:
    stages = [f"score@0-{number}" for number in range(6)]
    places = started(Machine(["0", "1"], 8, 8, 4), *stages)
    assert [place["CUDA_VISIBLE_DEVICES"] for place in places.values()] == ["0", "1", "0", "1"]


@pytest.mark.parametrize(
    ("count", "named", "gpus"),
    [(0, None, []), (2, None, ["0", "1"]), (2, "4, GPU-5f", ["4", "GPU-5f"]), (0, "", []), (1, "7,-1,8", ["7"])],
)
def test_gpus_are_those_that_this_process_may_use(
    count: int, named: str | None, gpus: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: count)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if named is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert visible_gpus() == gpus
