"""Options of federated training. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

import operator
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from components.common.base.options import Options, is_none
from components.trainer.params import TrainOptions

StrategyKind = Literal["fedavg", "fedprox", "fedavgm", "fedadam"]
# Option → the strategies that it has a meaning for.
_BELONGS_TO: dict[str, tuple[StrategyKind, ...]] = {
    "mu": ("fedprox",),
    "momentum": ("fedavgm",),
    "beta_1": ("fedadam",),
    "beta_2": ("fedadam",),
    "tau": ("fedadam",),
}
_TOP_K = 0.01
# Feature that the name of its file gets in each example, if clients are files.
FILE_FEATURE = "file_name"


class Clients(Options):
    """Which client has which examples: one of three rules."""

    by: str | None = Field(
        default=None,
        min_length=1,
        description="Feature of the examples whose value names the client, e.g. user_id. It must not be a feature of "
        "the model.",
    )
    dirichlet: float | None = Field(
        default=None,
        gt=0,
        description="Simulation: divides the examples of each class among `count` clients by shares from a Dirichlet "
        "distribution with this concentration (Hsu et al., 2019). Small values give each client few classes.",
    )
    count: int | None = Field(default=None, ge=2, description="dirichlet: number of clients.")
    files: str | None = Field(
        default=None,
        min_length=1,
        exclude_if=is_none,
        description="Each file of the data is a client, e.g. client-*.csv: a pattern that all file names match. Files "
        "of the same name in the folders of the train and the eval split are of the same client. Needs "
        "data.format: csv.",
    )

    @property
    def feature(self) -> str | None:
        """Feature of the examples that names the client; None if none does."""
        return FILE_FEATURE if self.files is not None else self.by

    @model_validator(mode="after")
    def _one_rule(self) -> Clients:
        given = [name for name in ("by", "dirichlet", "files") if getattr(self, name) is not None]
        if len(given) != 1:
            what = f"{' and '.join(given)} both say" if given else "nothing says"
            raise ValueError(
                f"{what} which client has an example; write {{by: user_id}}, {{dirichlet: 0.3, count: 10}}, or "
                '{files: "client-*"}'
            )
        if self.dirichlet is not None and self.count is None:
            raise ValueError("dirichlet needs the number of clients; write e.g. count: 10")
        if self.dirichlet is None and self.count is not None:
            are = f"the values of {self.by}" if self.by else "files"
            raise ValueError(f"count has no meaning beside {given[0]}: {are} are the clients")
        return self


class Strategy(Options):
    """How the server changes its model by what clients send."""

    kind: StrategyKind = Field(
        description="fedavg: the mean of the clients' models (McMahan et al., 2017); fedprox: the same, and clients "
        "are held near the server's model (Li et al., 2020); fedavgm: with momentum on the server (Hsu et al., 2019); "
        "fedadam: with Adam on the server (Reddi et al., 2021).",
    )
    learning_rate: float | None = Field(
        default=None,
        gt=0,
        description="Learning rate of the server. Default: 1, and 0.01 for fedadam.",
    )
    mu: float = Field(
        default=0.01,
        gt=0,
        description="fedprox: weight of half the squared distance from the server's model.",
    )
    momentum: float = Field(default=0.9, gt=0, lt=1, description="fedavgm: momentum.")
    beta_1: float = Field(default=0.9, ge=0, lt=1, description="fedadam: decay of the mean of changes.")
    beta_2: float = Field(default=0.99, ge=0, lt=1, description="fedadam: decay of their mean square.")
    tau: float = Field(
        default=0.001, gt=0, description="fedadam: adaptivity; added to the root of the mean square."
    )

    @model_validator(mode="after")
    def _options_belong_to_kind(self) -> Strategy:
        for option, kinds in _BELONGS_TO.items():
            written = getattr(self, option) != type(self).model_fields[option].default
            if written and self.kind not in kinds:
                raise ValueError(
                    f"{option} has no meaning for {self.kind}; leave it out, or write kind: {' or '.join(kinds)}"
                )
        return self

    def server_rate(self) -> float:
        """The learning rate of the server."""
        return self.learning_rate or (0.01 if self.kind == "fedadam" else 1.0)


class Updates(Options):
    """How clients write the change of their model that they send."""

    compress: Literal["none", "int8", "top_k"] = Field(
        default="none",
        description="none: four bytes for each weight; int8: one byte, with stochastic rounding, so that the mean "
        "stays the same (Alistarh et al., 2017); top_k: only the largest changes, eight bytes for each; the client "
        "adds the others to its next update (error feedback; Stich et al., 2018).",
    )
    top_k: float = Field(
        default=_TOP_K, gt=0, lt=0.5, description="top_k: share of the weights whose change is sent."
    )

    broadcast: Literal["none", "int8"] = Field(
        default="none",
        exclude_if="none".__eq__,
        description="What the server sends. none: four bytes for each weight; int8: the change since the round before, "
        "one byte for each weight; what rounding leaves is part of the next change (Tang et al., 2019).",
    )

    @model_validator(mode="after")
    def _share_is_used(self) -> Updates:
        if self.top_k != _TOP_K and self.compress != "top_k":
            raise ValueError(
                f"top_k has no meaning for compress: {self.compress}; leave it out, or write compress: top_k"
            )
        return self


def _from_name(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


class Privacy(Options):
    """Differential privacy of clients (McMahan et al., 2018)."""

    clip: float | None = Field(
        default=None,
        gt=0,
        description="Longest update (L2 norm over all weights); longer ones are scaled down to it.",
    )
    noise: float = Field(
        default=0.0,
        ge=0,
        description="Standard deviation of the noise on the sum of updates, as a multiple of clip.",
    )
    delta: float = Field(
        default=1e-5,
        gt=0,
        lt=1,
        description="δ of (ε, δ)-differential privacy; well below 1 / number of clients.",
    )

    @model_validator(mode="after")
    def _noise_has_a_scale(self) -> Privacy:
        if self.clip is None:
            what = "noise is a multiple of clip, and" if self.noise else "privacy needs"
            missing = "there is none" if self.noise else "clip"
            raise ValueError(f"{what} {missing}; write e.g. clip: 1.0")
        return self


class _NameOrSection:
    """The JSON Schema of a strategy; it is made on demand."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [{"enum": list(get_args(StrategyKind))}, handler(schema)]}


class Federated(Options):
    """Training on clients that share updates of the model, simulated in one process."""

    clients: Clients = Field(
        description="Which client has which examples: {by: user_id}, {dirichlet: 0.3, count: 10}, or {files: client-*}."
    )
    rounds: int = Field(
        ge=1, description="Rounds: clients train, and the server takes the mean of their updates."
    )
    clients_per_round: int | None = Field(
        default=None, ge=1, description="Clients that the server draws for each round. Default: all."
    )
    local_epochs: int = Field(
        default=1, ge=1, description="Passes of a client over its examples in a round."
    )
    strategy: Annotated[Strategy, BeforeValidator(_from_name), _NameOrSection()] = Field(
        default=Strategy.model_construct(kind="fedavg"),
        description="fedavg, fedprox, fedavgm or fedadam, or a mapping with options, e.g. {kind: fedprox, mu: 0.1}.",
    )
    updates: Updates = Field(
        default=Updates.model_construct(),
        description="Compression of what clients and server send, e.g. {compress: int8, broadcast: int8}.",
    )
    secure_sum: bool = Field(
        default=False,
        description="Adds updates under pairwise masks that cancel out, so that the server sees their sum alone "
        "(Bonawitz et al., 2017), also if clients drop out.",
    )
    privacy: Privacy | None = Field(
        default=None,
        description="Clips updates and adds noise to their sum, e.g. {clip: 1.0, noise: 0.8, delta: 0.00001}; epsilon "
        "is a figure and a limit of the gate.",
    )
    batch_norm: Literal["average", "local"] | None = Field(
        default=None,
        description="BatchNormalization of the model. average: its weights and statistics are sent and averaged like "
        "others; local: each client keeps its own (FedBN; Li et al., 2021), whose mean the baseline gets in the end. "
        "Required if the model has such layers.",
    )
    min_clients: int = Field(
        default=1,
        ge=1,
        description="Updates without which a round, and with it the training, fails; at least 2 with "
        "secure_sum.",
    )
    dropout: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Simulation: probability that a client of a round fails before it sends its update.",
    )
    goal: float | None = Field(
        default=None,
        description="Value of the metric (the first one that the model is compiled with, or the loss) on the eval "
        "split: the report says in which round it was reached.",
    )

    @model_validator(mode="after")
    def _rounds_can_be_filled(self) -> Federated:
        count, drawn = self.clients.count, self.clients_per_round
        if count is not None and drawn is not None and drawn > count:
            raise ValueError(
                f"clients_per_round ({drawn}) is more than the {count} clients; write at most {count}, or leave it out"
            )
        most = drawn or count
        if self.secure_sum and most == 1:
            raise ValueError(
                "secure_sum of one client is that client's update; write clients_per_round: 2 or more, or leave "
                "secure_sum out"
            )
        if most is not None and self.min_clients > most:
            raise ValueError(
                f"min_clients ({self.min_clients}) is more than the {most} clients of a round, so every round would "
                "fail; lower it"
            )
        return self

    def fewest(self) -> int:
        """Updates without which a round fails: of one, a secure sum would be the update itself."""
        return max(self.min_clients, 2) if self.secure_sum else self.min_clients

    @model_validator(mode="after")
    def _updates_can_be_hidden(self) -> Federated:
        if self.secure_sum and self.updates.compress == "top_k":
            raise ValueError(
                "secure_sum masks every value, so that top_k would send as many as none, and the server must not see "
                "which ones are largest; write updates: {compress: int8}, or leave it out"
            )
        hidden = "secure_sum" if self.secure_sum else "privacy" if self.privacy else None
        if hidden and self.batch_norm == "local":
            raise ValueError(
                f"batch_norm: local sends each client's BatchNormalization as it is in the end, which {hidden} is "
                "against; write batch_norm: average"
                if hidden == "secure_sum"
                else "batch_norm: local sends each client's BatchNormalization without noise in the end; build the "
                "model with GroupNormalization or LayerNormalization, and leave batch_norm out"
            )
        if self.privacy and self.batch_norm == "average":
            raise ValueError(
                "statistics of BatchNormalization become useless by the noise of privacy; build the model with "
                "GroupNormalization or LayerNormalization, and leave batch_norm out"
            )
        return self


class OfSteps(Options):
    """How clients train a step: like the baseline.

    Attributes:
        options: The baseline's.
        seed: Of the baseline's training, which divides the examples among clients.
    """

    options: Federated
    seed: int

    def of(self, rounds: int) -> Federated:
        """The options of a training of some rounds."""
        return self.options.model_copy(update={"rounds": rounds, "goal": None})


# What federated training has in place of these, or why it has nothing.
_NOT_FEDERATED = {
    "epochs": "rounds and local_epochs say how long it is",
    "steps": "rounds and local_epochs say how long it is",
    "early_stopping": "the number of rounds is fixed",
    "learning_rate_schedule": "a client's optimizer starts from its initial state in each round",
    "stages": "all rounds train alike",
    "trunk_learning_rate": "all layers train at one rate",
    "precision": "clients train in float32",
    "distribution": "clients train one after another in one process",
}


class BaselineOptions(TrainOptions):
    """How the baseline is trained: on all examples together, or on clients."""

    # Left out if it is not written, so that no baseline is trained again.
    federated: Federated | None = Field(
        default=None,
        exclude_if=operator.not_,
        description="Trains on clients that share updates of the model, and not their examples; docs/federated.md.",
    )

    @model_validator(mode="after")
    def _options_are_of_one_training(self) -> BaselineOptions:
        if self.federated is None:
            return self
        for option, why in _NOT_FEDERATED.items():
            default = type(self).model_fields[option].default
            if option in self.model_fields_set and getattr(self, option) != default:
                raise ValueError(f"{option} has no meaning beside federated: {why}; remove {option}")
        return self

    def plain(self) -> TrainOptions:
        """The options that federated training shares with any other."""
        return TrainOptions.model_construct(
            self.model_fields_set - {"federated"},
            **{name: getattr(self, name) for name in TrainOptions.model_fields},
        )
