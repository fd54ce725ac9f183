"""The server as a process: its protocols, bad requests, limits and metrics."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from components.common.serving.stubs import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
)
from components.targets.server.deployment import server_files
from components.targets.server.params import ServingOptions
from tests.components.common.serving.answers import IMAGES, PREDICT, ROWS, expected, same
from tests.components.common.serving.process import Serving, serving
from tests.components.common.serving.small_file import INPUTS, OUTPUTS, push

INFER = "/v2/models/mnist/infer"
LIMIT = 1_000_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("served") / "mnist"
    for number in (1, 2):
        push(made, number)
    push(made, 3, b"no model")
    labels = server_files("mnist", ServingOptions(labels={"stable": 1, "canary": 2, "broken": 3}))
    (made / "2/deploy").mkdir()
    (made / "2/deploy/models.config").write_text(labels["models.config"], encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Serving]:
    with serving(folder, "--keep", "2", "--max-request", f"{LIMIT} B", "--timeout", "3") as made:
        yield made


def request(number: int = 0, images: np.ndarray = IMAGES, name: str = "mnist", **inputs: Any) -> Any:
    made = predict_pb2.PredictRequest()
    made.model_spec.name = name
    if number:
        made.model_spec.version.value = number
    tensor = made.inputs["image"]
    tensor.dtype = 1
    for size in images.shape:
        tensor.tensor_shape.dim.add().size = size
    tensor.tensor_content = images.tobytes()
    return made


def test_predictions_by_every_protocol_are_the_interpreters(server: Serving) -> None:
    assert same(server.post(PREDICT, {"instances": ROWS})[1]["predictions"], 2)
    assert same(server.post(PREDICT, {"instances": [{"image": row} for row in ROWS]})[1]["predictions"], 2)
    assert same(server.post(PREDICT, {"inputs": ROWS})[1]["outputs"], 2)
    named = {"inputs": {"image": ROWS}, "signature_name": "serving_default"}
    assert same(server.post("/v1/models/mnist/versions/1:predict", named)[1]["outputs"], 1)
    for number in (1, 2):
        tensor = {
            "name": "image",
            "datatype": "FP32",
            "shape": list(IMAGES.shape),
            "data": IMAGES.ravel().tolist(),
        }
        asked = {"id": "7", "inputs": [tensor], "outputs": [{"name": "probabilities"}]}
        status, answer = server.post(f"/v2/models/mnist/versions/{number}/infer", asked)
        assert (status, answer["id"], answer["model_version"]) == (200, "7", str(number))
        assert answer["outputs"][0]["shape"] == [5, OUTPUTS]
        assert same(answer["outputs"][0]["data"], number)
    with server.stubs() as (predict, _):
        for number in (0, 1):
            made = predict.Predict(request(number))
            assert made.model_spec.version.value == (number or 2)
            assert same(
                np.frombuffer(made.outputs["probabilities"].tensor_content, np.float32), number or 2
            )
        listed = request()
        listed.inputs["image"].tensor_content = b""
        listed.inputs["image"].float_val.extend(IMAGES.ravel().tolist())
        listed.output_filter.append("probabilities")
        made = predict.Predict(listed)
        assert same(np.frombuffer(made.outputs["probabilities"].tensor_content, np.float32), 2)


def test_labels_name_versions_by_rest_and_grpc(server: Serving) -> None:
    for label, number in (("stable", 1), ("canary", 2)):
        path = f"/v1/models/mnist/labels/{label}"
        assert same(server.post(f"{path}:predict", {"instances": ROWS})[1]["predictions"], number)
        (row,) = server.get(path)[1]["model_version_status"]
        assert (row["version"], row["state"]) == (str(number), "AVAILABLE")
        assert server.get(f"{path}/metadata")[1]["model_spec"]["version"] == str(number)
        asked = request()
        asked.model_spec.version_label = label
        with server.stubs() as (predict, _):
            made = predict.Predict(asked)
        assert made.model_spec.version.value == number
        assert same(np.frombuffer(made.outputs["probabilities"].tensor_content, np.float32), number)
    assert server.post("/v1/models/mnist/labels/old:predict", {"instances": ROWS})[0] == 404


def test_classify_gives_a_score_for_each_class(server: Serving) -> None:
    asked = classification_pb2.ClassificationRequest()
    asked.model_spec.name = "mnist"
    for row in ROWS:
        example = asked.input.example_list.examples.add()
        example.features.feature["image"].float_list.value.extend(row)
    with server.stubs() as (predict, _):
        rows = predict.Classify(asked).result.classifications
        assert [[entry.label for entry in row.classes] for row in rows] == [["0", "1", "2"]] * 5
        assert same([[entry.score for entry in row.classes] for row in rows], 2)
        # The same with a context that all examples share.
        context = asked.input.example_list_with_context
        context.context.features.feature["image"].float_list.value.extend(ROWS[0])
        context.examples.add()
        (row,) = predict.Classify(asked).result.classifications
        assert [entry.score for entry in row.classes] == expected(2)[0].tolist()
        context.examples[0].features.feature["image"].float_list.value.append(1.0)
        with pytest.raises(grpc.RpcError, match="feature 'image' has 1 values"):
            predict.Classify(asked)


def test_states_and_metadata_by_every_protocol(server: Serving) -> None:
    rows = server.get("/v1/models/mnist")[1]["model_version_status"]
    assert [(row["version"], row["state"], row["status"]["error_code"]) for row in rows] == [
        ("3", "END", "FAILED_PRECONDITION"),
        ("2", "AVAILABLE", "OK"),
        ("1", "AVAILABLE", "OK"),
    ]
    assert "lacks the identifier TFL3" in rows[0]["status"]["error_message"]
    assert len(server.get("/v1/models/mnist/versions/1")[1]["model_version_status"]) == 1
    found = server.get("/v1/models/mnist/metadata")[1]
    assert found["model_spec"]["version"] == "2"
    described = found["metadata"]["signature_def"]["signature_def"]["serving_default"]["inputs"]["image"]
    assert described["dtype"] == "DT_FLOAT"
    assert [dim["size"] for dim in described["tensor_shape"]["dim"]] == ["-1", "4"]
    with server.stubs() as (predict, model):
        asked = get_model_status_pb2.GetModelStatusRequest()
        asked.model_spec.name = "mnist"
        assert [row.state for row in model.GetModelStatus(asked).model_version_status] == [50, 30, 30]
        metadata = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        metadata.model_spec.name = "mnist"
        answer = predict.GetModelMetadata(metadata)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        answer.metadata["signature_def"].Unpack(signatures)
        assert signatures.signature_def["serving_default"].outputs["probabilities"].dtype == 1
    assert server.get("/v2/models/mnist")[1] == {
        "name": "mnist",
        "versions": ["2", "1"],
        "platform": "paredown_litert",
        "inputs": [{"name": "image", "datatype": "FP32", "shape": [-1, INPUTS]}],
        "outputs": [{"name": "probabilities", "datatype": "FP32", "shape": [-1, OUTPUTS]}],
    }
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/mnist/ready", "/v2"):
        assert server.get(path)[0] == 200


def test_no_tensorflow_is_loaded_for_tflite_files(server: Serving) -> None:
    mapped = Path(f"/proc/{server.process.pid}/maps").read_text()
    assert "ai_edge_litert" in mapped
    assert "site-packages/tensorflow/" not in mapped


KSERVE = {"name": "image", "datatype": "FP32", "shape": [1, INPUTS], "data": ROWS[0]}
BAD = {
    "no JSON": (PREDICT, b"{", 400, "the body is not JSON"),
    "not UTF-8": (PREDICT, b"\xff\xfe", 400, "the body is not JSON"),
    "too deep": (PREDICT, b"[" * 100_000, 400, "the body is not JSON"),
    "no object": (PREDICT, [1], 400, "has to be a JSON object"),
    "no inputs": (PREDICT, {}, 400, "either instances"),
    "both": (PREDICT, {"instances": ROWS, "inputs": ROWS}, 400, "either instances"),
    "no examples": (PREDICT, {"instances": []}, 400, "at least one example"),
    "shape": (PREDICT, {"instances": [[1.0, 2.0]]}, 400, "has shape [1, 2], expected [batch, 4]"),
    "rank": (PREDICT, {"instances": [1.0, 2.0, 3.0, 4.0]}, 400, "has shape [4], expected [batch, 4]"),
    "ragged": (PREDICT, {"instances": [ROWS[0], [1.0]]}, 400, "lists of equal length"),
    "text": (PREDICT, {"instances": [["a"] * INPUTS]}, 400, "takes numbers"),
    "null": (PREDICT, {"instances": [[None] * INPUTS]}, 400, "takes numbers"),
    "too great": (PREDICT, {"instances": [[1e300] * INPUTS]}, 400, "float32 cannot hold"),
    "name": (PREDICT, {"instances": [{"picture": ROWS[0]}]}, 400, "unknown: picture; missing: image"),
    "mixed": (PREDICT, {"instances": [{"image": ROWS[0]}, ROWS[1]]}, 400, "same inputs"),
    "signature": (PREDICT, {"instances": ROWS, "signature_name": "x"}, 400, "there is no signature 'x'"),
    "model": ("/v1/models/cats:predict", {"instances": ROWS}, 404, "Latest(cats)"),
    "version": ("/v1/models/mnist/versions/7:predict", {"instances": ROWS}, 404, "Specific(mnist, 7)"),
    "broken version": (
        "/v1/models/mnist/versions/3:predict",
        {"instances": ROWS},
        404,
        "lacks the identifier",
    ),
    "path": ("/v1/models/mnist:guess", {}, 404, "there is nothing at"),
    "KServe: no inputs": (INFER, {}, 400, "inputs has to be a list"),
    "KServe: type": (INFER, {"inputs": [{**KSERVE, "datatype": "INT8"}]}, 400, "expected FP32"),
    "KServe: shape": (INFER, {"inputs": [{**KSERVE, "shape": [2, 4]}]}, 400, "4 values for shape [2, 4]"),
    "KServe: negative": (INFER, {"inputs": [{**KSERVE, "shape": [-1, 4]}]}, 400, "needs a shape"),
    "KServe: twice": (INFER, {"inputs": [KSERVE, KSERVE]}, 400, "given twice"),
    "KServe: output": (INFER, {"inputs": [KSERVE], "outputs": [{"name": "y"}]}, 400, "no output y"),
    "KServe: model": ("/v2/models/cats/infer", {"inputs": [KSERVE]}, 404, "cats"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_request_gets_its_status_and_the_next_good_one_its_answer(server: Serving, case: str) -> None:
    path, body, status, text = BAD[case]
    found, answer = server.post(path, body)
    assert (found, text in answer["error"]) == (status, True), answer
    assert same(server.post(PREDICT, {"instances": ROWS})[1]["predictions"], 2)


def test_methods_and_encodings_that_are_not_known(server: Serving) -> None:
    assert server.get(PREDICT)[0] == 405
    status, answer = server.send("POST", PREDICT, b"x", {"Content-Encoding": "gzip"})
    assert (status, answer["error"]) == (415, "send the body without Content-Encoding")


def test_bad_requests_by_grpc(server: Serving) -> None:
    wrong_type = request()
    wrong_type.inputs["image"].dtype = 2
    cut = request()
    cut.inputs["image"].tensor_content = b"1234"
    endless = request()
    endless.inputs["image"].tensor_shape.dim[0].size = 2**60
    other = request()
    other.inputs["picture"].CopyFrom(other.inputs["image"])
    signature = request()
    signature.model_spec.signature_name = "x"
    label = request()
    label.model_spec.version_label = "old"
    broken = request()
    broken.model_spec.version_label = "broken"
    output = request()
    output.output_filter.append("y")
    invalid, missing = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
    cases = [
        (wrong_type, invalid, "is float64, expected float32"),
        (cut, invalid, "4 bytes for shape"),
        (endless, invalid, "elements"),
        (other, invalid, "unknown: picture"),
        (signature, invalid, "there is no signature 'x'"),
        (output, invalid, "no output y"),
        (request(images=IMAGES[:, :2].copy()), invalid, "expected [batch, 4]"),
        (request(name="cats"), missing, "Latest(cats)"),
        (request(9), missing, "Specific(mnist, 9)"),
        (label, missing, "Unrecognized servable version label: old"),
        (broken, missing, "Specific(mnist, 3): "),
        (request(images=np.zeros((LIMIT, INPUTS), np.float32)), grpc.StatusCode.RESOURCE_EXHAUSTED, ""),
    ]
    with server.stubs(("grpc.max_send_message_length", -1)) as (predict, _):
        for asked, code, text in cases:
            with pytest.raises(grpc.RpcError) as refused:
                predict.Predict(asked)
            assert refused.value.code() is code  # type: ignore[attr-defined]
            assert text in refused.value.details()  # type: ignore[attr-defined]
        assert "Traceback" not in server.log.read_text()
        with pytest.raises(grpc.RpcError) as late:
            predict.Predict(request(), timeout=-1)  # a deadline that has passed
        assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED  # type: ignore[attr-defined]
        assert predict.Predict(request()).model_spec.version.value == 2


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_100_mb_is_refused_and_the_client_reads_why(server: Serving, chunked: bool) -> None:
    body: Any = (b" " * 1_000_000 for _ in range(100)) if chunked else b" " * 100_000_000
    status, answer = server.send("POST", PREDICT, body)
    assert (status, "larger than 1,000,000 bytes" in answer["error"]) == (413, True)


def test_half_a_request_disturbs_no_one(server: Serving) -> None:
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n".encode()
    half = [socket.create_connection(("127.0.0.1", server.rest)) for _ in range(3)]
    for connection, sent in zip(half, (head[:20], head, head + b"[1, 2"), strict=True):
        connection.sendall(sent)
    half[2].shutdown(socket.SHUT_WR)
    assert same(server.post(PREDICT, {"instances": ROWS})[1]["predictions"], 2)
    # After --timeout, the server gives up.
    half[1].settimeout(20)
    assert half[1].recv(100) == b""
    for connection in half:
        connection.close()


def counted(server: Serving) -> dict[str, float]:
    lines = server.get("/monitoring/prometheus/metrics")[1].splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[0] != "#"}


def test_a_message_of_grpc_that_is_broken_is_refused_quietly(server: Serving) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
        for method in ("PredictionService/Predict", "ModelService/GetModelStatus"):
            with pytest.raises(grpc.RpcError) as refused:
                channel.unary_unary(f"/tensorflow.serving.{method}")(b"\xff\xff")
            assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT  # type: ignore[attr-defined]
        with pytest.raises(grpc.RpcError) as unknown:
            channel.unary_unary("/tensorflow.serving.PredictionService/Regress")(b"")
        assert unknown.value.code() is grpc.StatusCode.UNIMPLEMENTED  # type: ignore[attr-defined]
    assert "Traceback" not in server.log.read_text()


def test_bodies_on_their_way_are_bounded_together(server: Serving) -> None:
    dropped = "paredown_dropped_bodies_total"
    before = counted(server)[dropped]
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Length: {LIMIT}\r\n\r\n".encode()
    half = [socket.create_connection(("127.0.0.1", server.rest)) for _ in range(12)]
    for connection in half:
        connection.sendall(head + b" " * (LIMIT - 1))
    while counted(server)[dropped] == before:
        time.sleep(0.01)
    for connection in half:
        connection.sendall(b" ")
    statuses = {connection.recv(100).split()[1] for connection in half}
    assert statuses in ({b"400", b"429"}, {b"429"})
    for connection in half:
        connection.close()
    assert same(server.post(PREDICT, {"instances": ROWS})[1]["predictions"], 2)


def test_metrics_count_requests_by_their_outcome(server: Serving) -> None:
    good = 'paredown_requests_total{api="rest",model="mnist",status="200"}'
    bad = 'paredown_requests_total{api="rest",model="",status="404"}'
    server.post(PREDICT, {"instances": ROWS})
    server.post("/v1/models/cats:predict", {"instances": ROWS})
    before = counted(server)
    for _ in range(3):
        server.post(PREDICT, {"instances": ROWS})
    server.post("/v1/models/cats:predict", {"instances": ROWS})
    after = counted(server)
    assert (after[good] - before[good], after[bad] - before[bad]) == (3, 1)
    assert after["paredown_batch_examples_sum"] - before["paredown_batch_examples_sum"] == 15
    assert after['paredown_model_version_available{model="mnist",version="2"}'] == 1
    assert after['paredown_model_version_available{model="mnist",version="3"}'] == 0
    assert after["paredown_queued_requests"] == 0
