"""A trained network comes back from its run folder as training left it, or not at all."""

import pytest
import torch

from scs_study.config.schema import CellConfig
from scs_study.evaluation.trained import load_trained
from scs_study.experiments.compose import compose_cell
from scs_study.runs.context import RunContext
from scs_study.runs.run_one import run_cell
from scs_study.system import files
from scs_study.system.tensors import load_tensors, save_tensors
from scs_study.training import run_dir as run_folder
from scs_study.training.run import Settings


def cell(layer: str = "scs", **choices: str) -> CellConfig:
    return compose_cell({"arch": "rohrer47k", "layer": layer, **choices}, {"train.epochs": 1}, 0)


@pytest.fixture(scope="module")
def run_context(tmp_path_factory: pytest.TempPathFactory) -> RunContext:
    folder = tmp_path_factory.mktemp("trained")
    return RunContext(folder / "runs", Settings(torch.device("cpu")), None, folder / "data")


@pytest.mark.parametrize("layer", ["conv", "scs", "scs_mar2022", "sdp"])
def test_a_loaded_network_has_exactly_the_recorded_accuracy(run_context: RunContext, layer: str) -> None:
    which = cell(layer)
    assert run_cell(which, run_context).state in run_folder.FINAL_STATES
    trained = load_trained(run_context.runs / which.run_name)
    images = run_context.images(which.data)
    with torch.no_grad():
        scores = trained.network((images.test_images.float() / 255).permute(0, 3, 1, 2))
    correct = int((scores.argmax(1) == images.test_labels).sum())
    assert correct / len(images.test_labels) == trained.result["final_test_accuracy"]
    assert trained.cell == which
    assert not trained.network.training


def test_weights_are_known_by_their_checksum(run_context: RunContext) -> None:
    for which in (cell("conv"), cell("scs")):
        run_cell(which, run_context)
    first, second = (load_trained(run_context.runs / cell(layer).run_name) for layer in ("conv", "scs"))
    assert first.weights != second.weights
    assert first.weights == load_trained(first.folder).weights


def test_a_run_without_a_result_is_one_sentence(run_context: RunContext) -> None:
    which = cell("cosine")
    (run_context.runs / which.run_name).mkdir(parents=True)
    files.write_json(run_context.runs / which.run_name / run_folder.CONFIG, which.identity())
    with pytest.raises(ValueError, match=r"^rohrer47k-cosine-.* is not finished: it has no result.json$"):
        load_trained(run_context.runs / which.run_name)


def test_weights_of_another_run_are_refused(run_context: RunContext) -> None:
    mine, other = cell("conv"), cell("sdp")
    for which in (mine, other):
        run_cell(which, run_context)
    path = run_context.runs / mine.run_name / run_folder.WEIGHTS
    kept = path.read_bytes()
    try:
        path.write_bytes((run_context.runs / other.run_name / run_folder.WEIGHTS).read_bytes())
        with pytest.raises(ValueError, match="holds the weights of another run, rohrer47k-sdp"):
            load_trained(path.parent)
    finally:
        path.write_bytes(kept)


def test_weights_of_another_kind_or_shape_are_refused(run_context: RunContext) -> None:
    which = cell("conv")
    run_cell(which, run_context)
    path = run_context.runs / which.run_name / run_folder.WEIGHTS
    kept = path.read_bytes()
    tensors, notes = load_tensors(path)
    try:
        for content, said, sentence in (
            (tensors, {}, "holds the weights of another run, which its file does not name"),
            ({**tensors, "conv1.weight": torch.ones(3, 3)}, notes, "conv1.weight has shape"),
            ({"w": torch.ones(1)}, notes, "these are not the weights of rohrer47k: the weights lacks?"),
        ):
            save_tensors(path, content, said)
            with pytest.raises(ValueError, match=sentence) as refused:
                load_trained(path.parent)
            assert "\n" not in str(refused.value)
        path.write_bytes(b"no weights")
        with pytest.raises(ValueError, match="is damaged"):
            load_trained(path.parent)
    finally:
        path.write_bytes(kept)


def test_a_network_that_was_changed_since_is_not_built_for_the_old_weights(
    run_context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    which = cell("conv")
    run_cell(which, run_context)
    monkeypatch.setattr(
        "scs_study.config.identity.part_digest", lambda part, name, *_: "0123456789ab" if part == "arch" else None
    )
    with pytest.raises(ValueError, match=r"arch=rohrer47k: its source .*as released then, digest 0123456789ab now"):
        load_trained(run_context.runs / which.run_name)
