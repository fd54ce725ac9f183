"""The rounds of a federated training, on models of a few weights."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import tf_keras

from components.common.data.arrays import Arrays
from components.common.training.error import TrainingError
from components.common.training.seeding import seed_everything
from components.federated_trainer import client_split, privacy
from components.federated_trainer.federation import Federation, Trained
from components.federated_trainer.local_training import LocalTraining
from components.federated_trainer.params import Federated

CLIENTS = {"by": "site"}


def splits() -> tuple[Arrays, Arrays]:
    random = np.random.default_rng(0)
    features = random.normal(0, 1, (300, 4)).astype(np.float32)
    labels = (features[:, 0] + features[:, 1] > 0).astype(np.int64)
    whole = Arrays({"x": features}, labels)
    return whole.take(np.arange(240)), whole.take(np.arange(240, 300))


# Of three sizes, so that weights matter.
SITES = np.repeat(["a", "b", "c"], [120, 80, 40])
EVAL_SITES = np.repeat(["a", "b", "z"], [30, 20, 10])


def model_of(normalized: bool = False) -> tf_keras.Model:
    layers = [tf_keras.layers.Dense(5, activation="relu")]
    layers += [tf_keras.layers.BatchNormalization(momentum=0.9)] if normalized else []
    seed_everything(1)
    model = tf_keras.Sequential([tf_keras.Input((4,), name="x"), *layers, tf_keras.layers.Dense(2)])
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf_keras.optimizers.Adam(0.02), loss, ["accuracy"])
    return model


def trained(options: dict[str, Any], model: tf_keras.Model | None = None, seed: int = 3) -> Trained:
    found = Federated.model_validate({"clients": CLIENTS, "rounds": 3, **options})
    clients = client_split.by_column(SITES, EVAL_SITES)
    return Federation(model or model_of(), splits(), clients, found, batch_size=20, seed=seed).run()


def test_the_server_takes_the_mean_of_models_that_clients_train_from_its_own() -> None:
    model = model_of()
    begun, federated = model.get_weights(), trained({"rounds": 1}, model)
    train, _ = splits()
    models = []
    for index, site in enumerate("abc"):
        alone = model_of()
        alone.set_weights(begun)
        local = LocalTraining(alone, train.take(range(1)))
        local.train(train.take(site == SITES), 1, 20, np.random.default_rng([3, 1, index]))
        models.append(alone.get_weights())
    for found, *others in zip(model.get_weights(), *models, strict=True):
        np.testing.assert_allclose(found, (3 * others[0] + 2 * others[1] + others[2]) / 6, atol=1e-6)
    (one,) = federated.record.rounds
    assert (one.clients, one.failed) == (3, ())
    assert one.bytes_up == one.bytes_down == 3 * 4 * (4 * 5 + 5 + 5 * 2 + 2)
    assert federated.steps == 6 + 4 + 2


def test_it_learns_traces_once_and_gives_the_same_weights_again() -> None:
    traced: list[Any] = []

    class Counted(tf_keras.Sequential):
        def train_step(self, data: Any) -> Any:
            traced.append(data)
            return super().train_step(data)

    def model() -> tf_keras.Model:
        made = model_of()
        counted = Counted(made.layers)
        counted.compile(tf_keras.optimizers.Adam(0.02), made.loss, ["accuracy"])
        return counted

    one, other = model(), model()
    record = trained({"rounds": 4, "goal": 0.8}, one).record
    assert len(traced) == 1
    again = trained({"rounds": 4, "goal": 0.8}, other).record
    assert again == record
    for found, expected in zip(one.get_weights(), other.get_weights(), strict=True):
        assert (found == expected).all()
    assert record.metric == "accuracy" and record.higher_is_better
    assert record.value is not None and record.value > 0.8
    assert record.rounds_to_goal == next(
        n for n, r in enumerate(record.rounds, 1) if r.value is not None and r.value >= 0.8
    )
    by_name = {client.name: client for client in record.clients}
    assert [c.examples for c in record.clients] == [120, 80, 40]
    assert (by_name["c"].eval_examples, by_name["c"].value) == (0, None)
    known = [by_name[name].value or 0 for name in "ab"]
    assert (record.worst_client, record.quantile(0.1), record.quantile(1.0)) == (
        min(known),
        min(known),
        max(known),
    )
    assert by_name["a"].rounds == 4


def test_a_heavy_proximal_term_holds_clients_at_the_servers_model() -> None:
    def moved(strategy: Any) -> float:
        model = model_of()
        before = model.get_weights()
        trained({"rounds": 1, "local_epochs": 3, "strategy": strategy}, model)
        return float(sum(np.square(b - a).sum() for b, a in zip(before, model.get_weights(), strict=True)))

    assert moved({"kind": "fedprox", "mu": 100.0}) < 0.3 * moved("fedavg")


@pytest.mark.parametrize("rule", ["average", "local"])
def test_batch_normalization_is_averaged_or_stays_with_the_client(rule: str) -> None:
    model = model_of(normalized=True)
    record = trained({"rounds": 2, "batch_norm": rule}, model).record
    norm = model.layers[1]
    assert not np.allclose(norm.moving_mean, 0) and not np.allclose(norm.gamma, 1)
    weights = 4 * 5 + 5 + 5 * 2 + 2
    sent = weights + (4 * 5 if rule == "average" else 0)
    # What clients keep is sent once, with the last round.
    assert [one.bytes_up for one in record.rounds] == [
        3 * 4 * sent,
        3 * 4 * (sent if rule == "average" else weights + 4 * 5),
    ]


def test_batch_normalization_without_a_rule_is_refused() -> None:
    with pytest.raises(TrainingError, match="write batch_norm: average, or batch_norm: local"):
        trained({}, model_of(normalized=True))


def test_a_client_that_fails_is_left_out_with_its_reason() -> None:
    train, evaluation = splits()
    features = train.features["x"].copy()
    features[SITES == "b"] = np.nan
    broken = dataclasses.replace(train, features={"x": features})
    clients = client_split.by_column(SITES, EVAL_SITES)
    options = Federated.model_validate({"clients": CLIENTS, "rounds": 2, "min_clients": 2})
    model = model_of()
    record = Federation(model, (broken, evaluation), clients, options, 20, 3).run().record
    for one in record.rounds:
        assert [(f.client, f.reason) for f in one.failed] == [("b", "its weights are not finite")]
        assert one.clients == 2 and one.bytes_up * 3 == one.bytes_down * 2
    assert all(np.isfinite(w).all() for w in model.get_weights())

    strict = Federated.model_validate({"clients": CLIENTS, "rounds": 2, "min_clients": 3})
    with pytest.raises(TrainingError, match=r"round 1 has the updates of 2 of 3 clients.*\(b: its weights"):
        Federation(model_of(), (broken, evaluation), clients, strict, 20, 3).run()


def test_more_clients_in_a_round_than_there_are_is_refused() -> None:
    with pytest.raises(TrainingError, match="clients_per_round is 4, but the examples are those of 3"):
        trained({"clients_per_round": 4})


def test_drawn_clients_drop_out_and_top_k_sends_a_share_of_the_weights() -> None:
    record = trained(
        {
            "rounds": 6,
            "clients_per_round": 2,
            "dropout": 0.3,
            "updates": {"compress": "top_k", "top_k": 0.1},
        },
        seed=5,
    ).record
    failed = sum(len(one.failed) for one in record.rounds)
    assert 1 <= failed <= 5
    assert all(one.clients + len(one.failed) == 2 for one in record.rounds)
    assert record.bytes_up == (12 - failed) * 4 * 8  # 4 of 37 weights
    assert record.bytes_down == 12 * 37 * 4
    assert record.properties()["federated_failed"] == failed


def test_under_masks_clients_that_drop_out_are_left_out_of_the_sum_alone() -> None:
    asked = {"rounds": 3, "dropout": 0.4}
    plain, masked = model_of(), model_of()
    one = trained(asked, plain, seed=5).record
    other = trained({**asked, "secure_sum": True}, masked, seed=5).record
    lost = [[failed.client for failed in found.failed] for found in one.rounds]
    assert any(lost) and lost == [[failed.client for failed in found.failed] for found in other.rounds]
    for found, expected in zip(masked.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-4)
    assert other.secure_sum and other.figures().traffic > one.figures().traffic


def test_a_secure_sum_of_one_client_would_be_its_update() -> None:
    with pytest.raises(TrainingError, match=r"round \d has the updates of 1 of 3 clients, and needs 2"):
        trained({"rounds": 9, "dropout": 0.7, "secure_sum": True}, seed=5)


def test_privacy_gives_epsilon_and_leaves_who_takes_part_to_chance() -> None:
    asked = {"clients_per_round": 2, "rounds": 4, "privacy": {"clip": 0.5, "noise": 1.0}}
    record = trained(asked, seed=2).record
    assert record.epsilon == privacy.epsilon(1.0, 2 / 3, 4, 1e-5) and record.delta == 1e-5
    assert len({one.clients for one in record.rounds}) > 1
    assert record.properties()["federated_epsilon"] == record.epsilon


def test_int8_in_both_directions_is_a_quarter_of_the_traffic_after_the_first_round() -> None:
    both = {"compress": "int8", "broadcast": "int8"}
    model, plain = model_of(), model_of()
    record = trained({"rounds": 6, "updates": both}, model).record
    whole = trained({"rounds": 6}, plain).record
    change = 3 * (37 + 4 * 4)
    assert [one.bytes_down for one in record.rounds] == [3 * 4 * 37, *[change] * 5]
    assert [one.bytes_up for one in record.rounds] == [change] * 6
    assert record.broadcast == "int8" and record.value is not None and whole.value is not None
    assert record.value > whole.value - 0.05
    for found, expected in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, atol=0.05)
