"""The lineage graph: where boxes stand and what leads where."""

from __future__ import annotations

import itertools

from pipeline.report.data import ReportData, Step
from pipeline.report.drawing import BOX_HEIGHT, BOX_WIDTH, draw


def test_boxes_stand_apart_and_lines_lead_to_the_right_or_down(pushed: ReportData) -> None:
    drawing = draw(pushed)
    assert {box.step.node for box in drawing.boxes} == {step.node for step in pushed.steps}
    for one, other in itertools.combinations(drawing.boxes, 2):
        assert abs(one.x - other.x) >= BOX_WIDTH or abs(one.y - other.y) >= BOX_HEIGHT
    boxes = {box.step.node: box for box in drawing.boxes}
    for arrow in drawing.arrows:
        source, target = boxes[arrow.source], boxes[arrow.target]
        assert source.x < target.x or (source.x == target.x and source.y < target.y)
    assert all(
        box.x + BOX_WIDTH <= drawing.width and box.y + BOX_HEIGHT <= drawing.height for box in drawing.boxes
    )


def test_data_lines_are_left_out_and_model_lines_are_there(pushed: ReportData) -> None:
    arrows = {(arrow.source, arrow.target) for arrow in draw(pushed).arrows}
    assert {("AnomalyGate", "Trainer"), ("Trainer", "prune"), ("prune", "prune-convert")} <= arrows
    assert {("prune-convert-evaluate", "Selector"), ("Selector", "Pusher")} <= arrows
    assert not {a for a in arrows if a[0] == "ImportExampleGen" and a[1] != "AnomalyGate"} - {
        ("ImportExampleGen", "Trainer")
    }
    assert ("convert-float32", "convert-evaluate") not in arrows


def test_the_way_of_the_winner_is_marked(pushed: ReportData) -> None:
    chosen = {box.step.node for box in draw(pushed).boxes if box.chosen}
    assert chosen >= {"Trainer", "prune", "prune-convert", "prune-convert-evaluate", "Selector", "Pusher"}
    assert not chosen & {"distill", "convert", "convert-evaluate", "distill-convert"}


def test_twenty_chains_have_a_row_each(pushed: ReportData) -> None:
    def step(node: str, kind: str, **reads: str) -> Step:
        return Step(node, kind, "ran", 1.0, 1, {}, {}, reads)

    steps = [step("Trainer", "Trainer")]
    for i in range(20):
        steps.append(step(f"prune{i}", "Pruner", base_model="Trainer"))
        steps.append(step(f"prune{i}-convert", "TFLiteConverter", base_model=f"prune{i}"))
    data = ReportData(**{**vars(pushed), "steps": tuple(steps)})
    ends = [box.y for box in draw(data).boxes if box.step.node.endswith("convert")]
    assert len(set(ends)) == 20 and min(ends) == min(box.y for box in draw(data).boxes)


def test_nothing_is_drawn_of_nothing(pushed: ReportData) -> None:
    assert draw(ReportData(**{**vars(pushed), "steps": ()})).boxes == ()
