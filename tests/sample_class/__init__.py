"""The sample class that `make demo` grades: a submission for every way in which submissions go right and wrong.

`python -m tests.sample_class OUT_DIR` writes OUT_DIR/STUDENT/UNIT.ipynb, made from the released notebooks, so always in
step with them. `CLASS` says of each what it is and which marks are fair; `tests/test_sample_class.py` holds the autograder
to it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from autograder.cells import KEY
from autograder.course import Course, Unit
from tests.sample_class import snippets as code
from tests.sample_class.borrow import from_bank, solutions

START, SPATIAL = "00_start_here", "03_spatial_dropout"
DECAY, DROPOUT, CONNECT = "01_weight_decay", "02_dropout", "04_dropconnect"
SMOOTHING, CALIBRATION = "05_label_smoothing", "06_calibration"
BLOCKS, DEPTH, MIXED = "07_dropblock", "08_stochastic_depth", "09_mixup_cutmix"
TOGETHER, CAPSTONE = "10_interactions", "11_capstone"
Notebook = dict[str, Any]


class Mark(StrEnum):
    """How much of an exercise's points an answer should get."""

    ALL = "all"
    SOME = "some, not all"
    NONE = "none"


ALL, SOME, NONE = Mark.ALL, Mark.SOME, Mark.NONE


@dataclass(frozen=True)
class Source:
    """Where an answer comes from: the solution, an entry of the bank, or the learner's own text."""

    kind: str
    text: str = ""

    def text_for(self, unit: Unit, exercise: str) -> str:
        if self.kind == "solution":
            return solutions(unit)[exercise]
        return from_bank(unit, self.text, exercise) if self.kind == "bank" else self.text


SOLVED = Source("solution")


def bank(entry: str) -> Source:
    """An entry of `solutions/mistakes`, a mistake or a right answer."""
    return Source("bank", entry)


def own(text: str) -> Source:
    """The learner's own code."""
    return Source("own", text)


@dataclass(frozen=True)
class Answer:
    """One exercise of one submission.

    Attributes:
        source: what the cell holds; None leaves the stub.
        says: words that the exercise's sentence must have.
        mistake: the entry of the bank that the diagnosis must name.
    """

    source: Source | None
    mark: Mark
    says: str = ""
    mistake: str = ""


@dataclass(frozen=True)
class Submission:
    """One notebook of one learner.

    Attributes:
        about: what it is.
        answers: by exercise.
        written: the answer to the written questions.
        added: code cells put before the first exercise.
        elsewhere: exercises answered in a new cell at the end, their stubs left alone.
        change: what became of the notebook's structure.
        corrupt: what became of the file's text.
        found: how the exercises' cells must have been found.
        unreadable: words of the sentence, for a file that cannot be graded.
        hostile: whether it attacks the grader.
    """

    student: str
    unit: str
    about: str
    answers: Mapping[str, Answer] = field(default_factory=dict)
    written: str = ""
    added: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()
    change: Callable[[Notebook], Notebook] = lambda notebook: notebook
    corrupt: Callable[[str], str] = lambda text: text
    found: str = "metadata"
    unreadable: str = ""
    hostile: bool = False

    def text(self, course: Course) -> str:
        """Return the submitted file's text."""
        unit = course.unit(self.unit)
        notebook = json.loads(unit.release_path.read_text(encoding="utf-8"))
        cells = notebook["cells"]
        for cell in list(cells):
            role, name = _role(cell)
            source = self.answers[name].source if role == "exercise" and name in self.answers else None
            if source is not None and name in self.elsewhere:
                cells.append(_code_cell(source.text_for(unit, name), f"elsewhere-{name}"))
            elif source is not None:
                cell["source"] = source.text_for(unit, name)
            elif role == "written" and self.written:
                cell["source"] = self.written
        first = next(i for i, cell in enumerate(cells) if _role(cell)[0] == "exercise")
        cells[first:first] = [_code_cell(text, f"own-{i}") for i, text in enumerate(self.added)]
        return self.corrupt(json.dumps(self.change(notebook), indent=1) + "\n")


def write(out: Path, course: Course) -> list[Path]:
    """Write the class into a folder. Returns the files."""
    files = []
    for submission in CLASS:
        path = out / submission.student / f"{submission.unit}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(submission.text(course), encoding="utf-8")
        files.append(path)
    return files


# -- what becomes of notebooks -------------------------------------------------------------------------------------------


def stripped(notebook: Notebook) -> Notebook:
    """As some platforms save it: no cell metadata, no ids, an older minor version, sources as lists of lines."""
    for cell in notebook["cells"]:
        cell.pop("id", None)
        cell["metadata"] = {}
        cell["source"] = _source(cell).splitlines(keepends=True)
    return {"cells": notebook["cells"], "metadata": {}, "nbformat": 4, "nbformat_minor": 4}


def without_metadata(notebook: Notebook) -> Notebook:
    """Cell metadata lost, ids kept."""
    for cell in notebook["cells"]:
        cell["metadata"] = {}
    return notebook


def format_3(notebook: Notebook) -> Notebook:
    """As IPython 2 wrote it."""
    cells = []
    for cell in notebook["cells"]:
        text = "input" if cell["cell_type"] == "code" else "source"
        cells.append({"cell_type": cell["cell_type"], "metadata": {}, text: _source(cell)})
    return {"worksheets": [{"cells": cells, "metadata": {}}], "metadata": {}, "nbformat": 3, "nbformat_minor": 0}


def without_cell(name: str) -> Callable[[Notebook], Notebook]:
    """An exercise's cell deleted."""

    def change(notebook: Notebook) -> Notebook:
        notebook["cells"] = [cell for cell in notebook["cells"] if _role(cell) != ("exercise", name)]
        return notebook

    return change


def cut_short(text: str) -> str:
    """An upload that broke off."""
    return text[: len(text) * 2 // 3]


def _role(cell: Mapping[str, Any]) -> tuple[str, str]:
    ours = cell["metadata"].get(KEY, {})
    return ours.get("role", ""), ours.get("name", "")


def _source(cell: Mapping[str, Any]) -> str:
    return cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])


def _code_cell(source: str, identity: str) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": identity,
        "metadata": {},
        "outputs": [],
        "source": source,
    }


# -- the class -----------------------------------------------------------------------------------------------------------


def spatial(mask: Answer, layer: Answer) -> dict[str, Answer]:
    return {"channel_mask": mask, "SpatialDropout2d": layer}


def start(answer: Answer) -> dict[str, Answer]:
    return {"accuracy": answer}


GOOD = Answer(SOLVED, ALL, "solved")
UPON_MASK = Answer(own(code.UPON_CHANNEL_MASK), ALL, "solved")
TO_DO = Answer(None, NONE, "still to do")

WHY = (
    "Neighbouring pixels of a feature map are strongly correlated, so dropping single ones removes little: what is lost "
    "can be guessed from around it. Dropping a whole channel takes the information away."
)


def recognised(text: str, entry: str) -> Answer:
    """The learner's own code, in which an entry of the bank must be recognised."""
    return Answer(own(text), SOME, mistake=entry)


OPINION = "It depends on the data: I would try both, over several seeds, and choose by the validation loss."


def other(entry: str) -> Answer:
    """Right, and written in another way."""
    return Answer(bank(entry), ALL)


def wrong(entry: str, mark: Mark = SOME, says: str = "") -> Answer:
    return Answer(bank(entry), mark, says, mistake=entry)


CLASS: tuple[Submission, ...] = (
    # Right.
    Submission("amara_okafor", START, "perfect", start(GOOD), WHY),
    Submission("amara_okafor", SPATIAL, "perfect", spatial(GOOD, GOOD), WHY),
    Submission("zoe_lindqvist", START, "right, by a loop in Python", start(Answer(bank("a_loop_in_python"), ALL)), WHY),
    Submission("zoe_lindqvist", SPATIAL, "right in another way: bool mask, einsum",
               spatial(Answer(bank("bool_mask"), ALL), Answer(bank("ByEinsum"), ALL)), WHY),
    Submission("wei_zhang", SPATIAL, "right in another way: loops",
               spatial(Answer(bank("mask_by_loops"), ALL), Answer(bank("ByLoops"), ALL))),
    Submission("mateo_fernandez", START, "right, in numpy", start(Answer(bank("in_numpy"), ALL))),
    Submission("mateo_fernandez", SPATIAL, "right, with helpers in cells of his own, magics and plots",
               spatial(Answer(own(code.WITH_HELPER), ALL), UPON_MASK), WHY, added=(code.SCRATCH, code.HELPER)),
    # Common mistakes.
    Submission("priya_raman", START, "a percentage for a fraction", start(wrong("percentage", NONE))),
    Submission("priya_raman", SPATIAL, "mask per element, and a right layer on top of it, graded on its own",
               spatial(wrong("mask_per_element"), UPON_MASK), WHY),
    Submission("liam_byrne", START, "argmax over the batch", start(wrong("argmax_over_the_batch", NONE))),
    Submission("liam_byrne", SPATIAL, "one mask for the whole batch", spatial(GOOD, wrong("OneMaskForTheBatch"))),
    Submission("yuki_tanaka", SPATIAL, "mask per element", spatial(GOOD, wrong("MaskPerElement")), WHY),
    Submission("sara_haddad", SPATIAL, "mask per element, as others", spatial(GOOD, wrong("MaskPerElement"))),
    Submission("tomasz_nowak", SPATIAL, "no rescaling", spatial(GOOD, wrong("NoRescaling"))),
    Submission("chiamaka_eze", SPATIAL, "drops in evaluation too", spatial(GOOD, wrong("IgnoresTraining")), WHY),
    Submission("noah_kim", SPATIAL, "channel_dim ignored in both",
               spatial(wrong("mask_ignores_channel_dim"), wrong("IgnoresChannelDim"))),
    Submission("elif_yilmaz", SPATIAL, "NaN at p = 1", spatial(GOOD, wrong("NaNAtOne")), WHY),
    # The other techniques: right.
    Submission("amara_okafor", DECAY, "perfect",
               {"l2_penalty": GOOD, "sgd_step": GOOD, "adamw_step": GOOD, "split_weight_decay": GOOD}, OPINION),
    Submission("amara_okafor", DROPOUT, "perfect",
               {"dropout": GOOD, "Dropout": GOOD, "mc_dropout_predict": GOOD}, OPINION),
    Submission("amara_okafor", CONNECT, "perfect",
               {"drop_connect_linear": GOOD, "DropConnectLinear": GOOD, "drop_connect_moments": GOOD,
                "drop_connect_inference": GOOD, "DropConnectConv2d": GOOD}, OPINION),
    Submission("amara_okafor", SMOOTHING, "perfect",
               {"smooth_labels": GOOD, "LabelSmoothingCrossEntropy": GOOD}, OPINION),
    Submission("amara_okafor", CALIBRATION, "perfect",
               {"reliability_bins": GOOD, "expected_calibration_error": GOOD, "fit_temperature": GOOD}, OPINION),
    Submission("zoe_lindqvist", DECAY, "right in other ways: norms, objects for a state, recursion",
               {"l2_penalty": other("penalty_by_vector_norms"), "sgd_step": other("sgd_with_lists"),
                "adamw_step": other("adamw_with_objects"), "split_weight_decay": other("split_by_recursion")}, OPINION),
    Submission("wei_zhang", DROPOUT, "right in other ways: Bernoulli, where, loops",
               {"dropout": other("dropout_by_bernoulli"), "Dropout": other("ByWhere"),
                "mc_dropout_predict": other("mc_by_loops")}),
    Submission("zoe_lindqvist", CONNECT, "right in other ways: a column of ones, unfolding",
               {"drop_connect_linear": other("by_a_column_of_ones"), "DropConnectLinear": other("AroundALinear"),
                "drop_connect_moments": other("moments_by_second_moment"),
                "drop_connect_inference": other("sample_by_sample"), "DropConnectConv2d": other("ConvByUnfolding")}),
    Submission("mateo_fernandez", SMOOTHING, "right in other ways: scatter, the library's loss on soft targets",
               {"smooth_labels": other("by_scatter"),
                "LabelSmoothingCrossEntropy": other("ByCrossEntropyOnSoftTargets")}, OPINION),
    Submission("wei_zhang", CALIBRATION, "right in other ways: bucketize, a matrix, L-BFGS",
               {"reliability_bins": other("by_bucketize"), "expected_calibration_error": other("by_a_one_hot_matrix"),
                "fit_temperature": other("by_lbfgs")}, OPINION),
    # The other techniques: common mistakes.
    Submission("priya_raman", DECAY, "no half; decay past the momentum; L2 for decoupled decay",
               {"l2_penalty": wrong("penalty_without_the_half"), "sgd_step": wrong("sgd_decay_past_the_momentum"),
                "adamw_step": wrong("adamw_l2_in_the_gradient"), "split_weight_decay": other("split_by_type")}, OPINION),
    Submission("liam_byrne", DECAY, "L2 for decoupled decay, as others; norms decay",
               {"l2_penalty": GOOD, "sgd_step": GOOD, "adamw_step": wrong("adamw_l2_in_the_gradient"),
                "split_weight_decay": wrong("split_norms_decay")}),
    Submission("yuki_tanaka", DROPOUT, "one mask for the batch, a right layer on top of it",
               {"dropout": wrong("dropout_of_one_mask_for_the_batch"), "Dropout": other("InParts"),
                "mc_dropout_predict": wrong("mc_in_training_mode")}, OPINION),
    Submission("sara_haddad", DROPOUT, "drops in evaluation too; logits averaged",
               {"dropout": other("dropout_by_where"), "Dropout": wrong("IgnoresTraining"),
                "mc_dropout_predict": wrong("mc_averaging_logits")}),
    Submission("tomasz_nowak", CONNECT, "one mask for the batch; the square of the product",
               {"drop_connect_linear": GOOD,
                "DropConnectLinear": recognised(code.ONE_MASK_OF_WEIGHTS_AND_BIAS, "OneMaskForTheBatch"),
                "drop_connect_moments": wrong("square_of_the_product"), "drop_connect_inference": GOOD,
                "DropConnectConv2d": TO_DO}),
    Submission("chiamaka_eze", CONNECT, "masks on activations; the activation after averaging",
               {"drop_connect_linear": GOOD, "DropConnectLinear": recognised(code.MASKED_ACTIVATIONS, "MasksOnActivations"),
                "drop_connect_moments": GOOD, "drop_connect_inference": wrong("activation_after_averaging"),
                "DropConnectConv2d": wrong("ConvPaddingIgnored")}, OPINION),
    Submission("noah_kim", SMOOTHING, "the incorrect classes alone; the logarithm of a softmax",
               {"smooth_labels": wrong("spread_over_the_incorrect_classes"),
                "LabelSmoothingCrossEntropy": wrong("LogOfSoftmax")}, OPINION),
    Submission("elif_yilmaz", SMOOTHING, "softmax twice",
               {"smooth_labels": GOOD, "LabelSmoothingCrossEntropy": wrong("SoftmaxTwice")}),
    Submission("chloe_martin", SMOOTHING, "the library's label_smoothing for an answer",
               {"smooth_labels": GOOD,
                "LabelSmoothingCrossEntropy": Answer(own(code.LIBRARY_LOSS), NONE, "your own version")}),
    Submission("hana_novakova", CALIBRATION, "bins not weighted; the inverse temperature",
               {"reliability_bins": GOOD, "expected_calibration_error": wrong("mean_over_bins"),
                "fit_temperature": wrong("inverse_temperature")}, OPINION),
    Submission("pierre_dubois", CALIBRATION, "certain ones fall out; never below one",
               {"reliability_bins": wrong("one_falls_out"), "expected_calibration_error": other("weights_times_gaps"),
                "fit_temperature": wrong("never_below_one")}),
    # Beyond the textbook.
    Submission("amara_okafor", BLOCKS, "perfect", {"dropblock_gamma": GOOD, "DropBlock2d": GOOD}, OPINION),
    Submission("amara_okafor", DEPTH, "perfect",
               {"drop_path_rates": GOOD, "DropPath": GOOD, "ResidualBlock": GOOD}, OPINION),
    Submission("amara_okafor", MIXED, "perfect",
               {"mixup": GOOD, "random_box": GOOD, "cutmix": GOOD, "mixed_cross_entropy": GOOD}, OPINION),
    Submission("amara_okafor", TOGETHER, "perfect",
               {"variance_shift": GOOD, "recalibrate_batchnorm": GOOD, "run_ablation": GOOD}, OPINION),
    Submission("amara_okafor", CAPSTONE, "the reference recipe", {"build_recipe": GOOD}, OPINION),
    Submission("zoe_lindqvist", BLOCKS, "right in other ways",
               {"dropblock_gamma": other("as_a_product_of_ratios"), "DropBlock2d": other("ByTransposedConvolution")}),
    Submission("wei_zhang", DEPTH, "right in other ways: appending, where, the second pair defined first",
               {"drop_path_rates": other("rates_by_appending"), "DropPath": other("ByWhere"),
                "ResidualBlock": other("SecondFirst")}, OPINION),
    Submission("mateo_fernandez", TOGETHER, "right in other ways: running sums, weights of 1/i, tensors",
               {"variance_shift": other("by_running_sums"), "recalibrate_batchnorm": other("by_one_over_i"),
                "run_ablation": other("by_tensors")}),
    Submission("priya_raman", BLOCKS, "the valid places forgotten; seeds over the whole map",
               {"dropblock_gamma": wrong("gamma_without_the_valid_places"), "DropBlock2d": wrong("SeedsOverTheWholeMap")},
               OPINION),
    Submission("yuki_tanaka", DEPTH, "rates from zero; one coin for the batch; the sum dropped with the branch",
               {"drop_path_rates": wrong("rates_from_zero_to_max"), "DropPath": wrong("OneCoinForTheBatch"),
                "ResidualBlock": wrong("SumDropped")}, OPINION),
    Submission("tomasz_nowak", DEPTH, "a faulty DropPath, and a right block on top of it",
               {"drop_path_rates": GOOD, "DropPath": wrong("OneCoinForTheBatch"), "ResidualBlock": GOOD}),
    Submission("liam_byrne", MIXED, "written in place and read again; sides without the root; lambda as it was drawn",
               {"mixup": wrong("scaled_in_place_and_read_again"), "random_box": wrong("side_without_the_root"),
                "cutmix": wrong("lambda_as_drawn"), "mixed_cross_entropy": GOOD}, OPINION),
    Submission("noah_kim", TOGETHER, "measuring changes the statistics; dropout left on; the population's deviation",
               {"variance_shift": wrong("statistics_of_the_training_pass"), "recalibrate_batchnorm": wrong("dropout_left_on"),
                "run_ablation": wrong("population_deviation")}, OPINION),
    Submission("elif_yilmaz", CAPSTONE, "a softmax in the model: it breaks a rule of the notebook and is not trained",
               {"build_recipe": wrong("softmax_in_the_model")}),
    # The other techniques: unfinished.
    Submission("ines_duarte", DROPOUT, "untouched", {"dropout": TO_DO, "Dropout": TO_DO, "mc_dropout_predict": TO_DO}),
    Submission("tunde_bakare", SMOOTHING, "half done: the targets, not the loss",
               {"smooth_labels": GOOD, "LabelSmoothingCrossEntropy": TO_DO}),
    # Unfinished, broken.
    Submission("ines_duarte", START, "untouched", start(TO_DO)),
    Submission("ines_duarte", SPATIAL, "untouched", spatial(TO_DO, TO_DO)),
    Submission("tunde_bakare", SPATIAL, "half done: the mask, not the layer", spatial(GOOD, TO_DO)),
    Submission("sofia_rossi", SPATIAL, "a syntax error",
               spatial(GOOD, Answer(own(code.SYNTAX_ERROR), NONE, "not valid Python"))),
    Submission("jan_de_vries", SPATIAL, "a cell that stops when it is run",
               spatial(GOOD, Answer(own(code.STOPS_WHEN_DEFINED), NONE, "DROP_RATE"))),
    Submission("minh_nguyen", SPATIAL, "an endless loop in forward",
               spatial(GOOD, Answer(own(code.ENDLESS_LOOP), SOME, "never ends"))),
    Submission("grace_mwangi", SPATIAL, "a memory hog",
               spatial(GOOD, Answer(own(code.MEMORY_HOG), SOME, "memory"))),
    Submission("omar_farouk", SPATIAL, "a class of another name",
               spatial(GOOD, Answer(own(code.RENAMED), NONE, "renamed"))),
    Submission("chloe_martin", SPATIAL, "the library's Dropout2d for an answer",
               spatial(GOOD, Answer(own(code.LIBRARY), NONE, "your own version"))),
    # Notebooks that other programs, and their owners, have been at.
    Submission("arjun_mehta", SPATIAL, "all metadata and ids stripped by another platform",
               spatial(GOOD, UPON_MASK), change=stripped, found="name"),
    Submission("hana_novakova", SPATIAL, "metadata stripped, cell ids kept",
               spatial(GOOD, UPON_MASK), WHY, change=without_metadata, found="cell id"),
    Submission("pierre_dubois", SPATIAL, "saved in nbformat 3", spatial(GOOD, UPON_MASK), change=format_3, found="name"),
    Submission("nina_petrova", SPATIAL, "the stub left alone, the layer in a new cell",
               spatial(GOOD, UPON_MASK), WHY, elsewhere=("SpatialDropout2d",), found=""),
    Submission("emma_johansson", SPATIAL, "the cell of channel_mask deleted, the layer right",
               spatial(Answer(None, NONE, "deleted"), UPON_MASK), change=without_cell("channel_mask"), found=""),
    Submission("lucas_silva", SPATIAL, "not valid JSON: the upload broke off", corrupt=cut_short, unreadable="not valid JSON"),
    # Hostile.
    Submission("viktor_hahn", SPATIAL, "ends the process with os._exit",
               spatial(GOOD, Answer(own(code.EXITS), SOME, "ended the Python process")), hostile=True),
    Submission("leila_amiri", SPATIAL, "crashes the interpreter",
               spatial(GOOD, Answer(own(code.SEGFAULT), SOME, "crashed")), hostile=True),
    Submission("dmitri_orlov", SPATIAL, "reads the disk, looking for solutions",
               spatial(Answer(own(code.READS_THE_DISK), NONE, "nothing of use"), UPON_MASK), hostile=True),
    Submission("hassan_raza", SPATIAL, "opens a socket",
               spatial(Answer(own(code.OPENS_A_SOCKET), NONE, "PermissionError"), UPON_MASK), hostile=True),
    Submission("max_mustermann", SPATIAL, "walks frames and the heap, and answers before it is asked",
               spatial(Answer(own(code.FORGED_ANSWERS), NONE, "answer"), UPON_MASK), hostile=True),
    Submission("jin_park", SPATIAL, "patches torch and builtins, so that every comparison says yes",
               spatial(GOOD, Answer(own(code.PATCHED_TORCH), NONE, "nothing was dropped")), hostile=True),
    Submission("eve_adams", SPATIAL, "HTML, formulas, terminal codes and direction marks wherever text can be",
               spatial(Answer(own(code.HOSTILE_TEXT), NONE, "ValueError"), UPON_MASK), code.HOSTILE_ANSWER, hostile=True),
)  # fmt: skip
