"""Runs kept in a table: nothing is run twice, nothing is lost, and a table of another sweep is refused."""

import os
import time
from pathlib import Path

import pytest
from reglab.sweep import Run, SweepError, by_configuration, paired_differences, read, sweep

CONFIGURATIONS = {"none": {"p": 0.0}, "half": {"p": 0.5, "where": [1, 2]}}


class Trainer:
    """Measures something that tells configurations and seeds apart; stops when it was called `until` times."""

    def __init__(self, until: int = 100) -> None:
        self.until, self.calls = until, list[tuple[float, int]]()

    def __call__(self, settings: dict[str, float], seed: int) -> dict[str, float]:
        if len(self.calls) == self.until:
            raise KeyboardInterrupt
        self.calls.append((settings["p"], seed))
        return {"loss": settings["p"] + seed / 3, "accuracy": 1.0}


def test_a_sweep_that_was_stopped_goes_on_with_what_is_missing(tmp_path: Path) -> None:
    path, first, second = tmp_path / "runs.csv", Trainer(until=3), Trainer()
    with pytest.raises(KeyboardInterrupt):
        sweep(path, first, CONFIGURATIONS, (0, 1), "python sweep.py")
    assert len(read(path)) == 3
    runs = sweep(path, second, CONFIGURATIONS, (0, 1), "python sweep.py")
    assert first.calls + second.calls == [(0.0, 0), (0.5, 0), (0.0, 1), (0.5, 1)]
    assert runs == read(path)
    assert path.read_text().count("# python sweep.py") == path.read_text().count("configuration,seed") == 1
    assert runs[3] == Run("half", 1, CONFIGURATIONS["half"], {"loss": 0.833333, "accuracy": 1.0})


def test_more_seeds_and_configurations_are_added_to_what_is_there(tmp_path: Path) -> None:
    path, trainer = tmp_path / "runs.csv", Trainer()
    sweep(path, Trainer(), {"none": {"p": 0.0}}, (0, 1))
    assert len(sweep(path, trainer, CONFIGURATIONS, (1, 2))) == 4
    assert trainer.calls == [(0.5, 1), (0.0, 2), (0.5, 2)]
    assert len(read(path)) == 5


def test_a_line_that_was_cut_off_is_run_again(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    whole = sweep(path, Trainer(), CONFIGURATIONS, (0, 1))
    path.write_text(path.read_text()[:-9])
    assert read(path) == whole[:3]
    trainer = Trainer()
    assert sweep(path, trainer, CONFIGURATIONS, (0, 1)) == read(path) == whole
    assert trainer.calls == [(0.5, 1)]


def test_other_settings_or_metrics_under_the_same_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    sweep(path, Trainer(), CONFIGURATIONS, (0,))
    before = path.read_text()
    with pytest.raises(SweepError, match=r"holds 'half' with the settings .* delete its lines"):
        sweep(path, Trainer(), CONFIGURATIONS | {"half": {"p": 0.4}}, (0,))
    with pytest.raises(SweepError, match=r"holds the metrics loss, accuracy, and now they are loss"):
        sweep(path, lambda settings, seed: {"loss": 1.0}, CONFIGURATIONS, (1,))
    assert path.read_text() == before


@pytest.mark.parametrize("text", ["a,b,c\n1,2,3\n", "configuration,seed,settings,loss\nnone,0,{},one\n"])
def test_a_file_that_is_no_table_of_runs_says_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / "runs.csv").write_text(text)
    with pytest.raises(SweepError, match=r"runs\.csv is (not a table of runs|damaged)"):
        read(tmp_path / "runs.csv")


def measured_elsewhere(settings: dict[str, float], seed: int) -> dict[str, float]:
    """What `Trainer` measures, and in which process; the first of all takes a little longer than the next."""
    time.sleep(0.2 * (seed == settings["p"] == 0))
    return {"loss": settings["p"] + seed / 3, "process": os.getpid()}


def test_jobs_run_in_processes_of_their_own(tmp_path: Path) -> None:
    runs = sweep(tmp_path / "runs.csv", measured_elsewhere, CONFIGURATIONS, range(3), jobs=2)
    assert by_configuration(runs, "loss") == {"none": [0.0, 0.333333, 0.666667], "half": [0.5, 0.833333, 1.16667]}
    processes = {run.metrics["process"] for run in runs}
    assert 1 <= len(processes) <= 2
    assert os.getpid() not in processes
    assert runs == read(tmp_path / "runs.csv")


def test_values_are_paired_by_their_seeds() -> None:
    runs = [Run(name, seed, {}, {"loss": loss}) for name, seed, loss in (
        ("a", 1, 5.0), ("base", 0, 1.0), ("a", 0, 2.0), ("base", 1, 3.0), ("base", 2, 9.0)
    )]  # fmt: skip
    assert by_configuration(runs, "loss") == {"a": [2.0, 5.0], "base": [1.0, 3.0, 9.0]}
    assert paired_differences(runs, "loss", "base") == {"a": [1.0, 2.0]}
