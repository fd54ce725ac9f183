"""The code that loading a Keras model would run, according to the JSON of its architecture. Imports no TensorFlow.

Keras makes objects of what a file names: of a class or function of any module that can be imported. Therefore names
are compared with a list, and not searched for known dangers.
https://github.com/keras-team/tf-keras, tf_keras/src/saving/serialization_lib.py
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass

from components.common.models.model_format_error import ModelFormatError

_DEEPEST = 200  # of dicts and lists in one another; an inner model takes five


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Public layers of tf_keras but Lambda, and names that files have for models, and for layers of earlier releases.
LAYERS = _words(
    """
    AbstractRNNCell Activation ActivityRegularization Add AdditiveAttention AlphaDropout Attention Average
    AveragePooling1D AveragePooling2D AveragePooling3D AvgPool1D AvgPool2D AvgPool3D BatchNormalization Bidirectional
    CategoryEncoding CenterCrop Concatenate Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose
    ConvLSTM1D ConvLSTM2D ConvLSTM3D Convolution1D Convolution1DTranspose Convolution2D Convolution2DTranspose
    Convolution3D Convolution3DTranspose Cropping1D Cropping2D Cropping3D Dense DenseFeatures DepthwiseConv1D
    DepthwiseConv2D Discretization Dot Dropout ELU EinsumDense Embedding Flatten GRU GRUCell GaussianDropout
    GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D GlobalAvgPool1D GlobalAvgPool2D
    GlobalAvgPool3D GlobalMaxPool1D GlobalMaxPool2D GlobalMaxPool3D GlobalMaxPooling1D GlobalMaxPooling2D
    GlobalMaxPooling3D GroupNormalization HashedCrossing Hashing Identity InputLayer InputSpec IntegerLookup LSTM
    LSTMCell Layer LayerNormalization LeakyReLU LocallyConnected1D LocallyConnected2D Masking MaxPool1D MaxPool2D
    MaxPool3D MaxPooling1D MaxPooling2D MaxPooling3D Maximum Minimum MultiHeadAttention Multiply Normalization PReLU
    Permute RNN RandomBrightness RandomContrast RandomCrop RandomFlip RandomHeight RandomRotation RandomTranslation
    RandomWidth RandomZoom ReLU RepeatVector Rescaling Reshape Resizing SeparableConv1D SeparableConv2D
    SeparableConvolution1D SeparableConvolution2D SimpleRNN SimpleRNNCell Softmax SpatialDropout1D SpatialDropout2D
    SpatialDropout3D SpectralNormalization StackedRNNCells StringLookup Subtract TextVectorization ThresholdedReLU
    TimeDistributed UnitNormalization UpSampling1D UpSampling2D UpSampling3D Wrapper ZeroPadding1D ZeroPadding2D
    ZeroPadding3D
    Functional Model Sequential AddLoss AddMetric BatchNormalizationV1 BatchNormalizationV2 SyncBatchNormalization
    CuDNNGRU CuDNNLSTM PreprocessingLayer RandomFourierFeatures SlicingOpLambda TFOpLambda InstanceProperty
    """
)
_OTHERS = _words(
    """
    Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity LecunNormal LecunUniform Ones Orthogonal
    RandomNormal RandomUniform TruncatedNormal VarianceScaling Zeros
    L1 L1L2 L2 OrthogonalRegularizer MaxNorm MinMaxNorm NonNeg RadialConstraint UnitNorm
    Adadelta Adafactor Adagrad Adam AdamW Adamax Ftrl Lion Nadam RMSprop SGD LossScaleOptimizer
    CosineDecay CosineDecayRestarts ExponentialDecay InverseTimeDecay PiecewiseConstantDecay PolynomialDecay
    BinaryCrossentropy BinaryFocalCrossentropy CategoricalCrossentropy CategoricalFocalCrossentropy CategoricalHinge
    CosineSimilarity Hinge Huber KLDivergence LogCosh MeanAbsoluteError MeanAbsolutePercentageError MeanSquaredError
    MeanSquaredLogarithmicError Poisson SparseCategoricalCrossentropy SquaredHinge LossFunctionWrapper
    AUC Accuracy BinaryAccuracy BinaryIoU CategoricalAccuracy F1Score FBetaScore FalseNegatives FalsePositives IoU
    LogCoshError Mean MeanIoU MeanMetricWrapper MeanRelativeError MeanTensor OneHotIoU OneHotMeanIoU Precision
    PrecisionAtRecall R2Score Recall RecallAtPrecision RootMeanSquaredError SensitivityAtSpecificity
    SparseCategoricalAccuracy SparseTopKCategoricalAccuracy SpecificityAtSensitivity Sum SumOverBatchSize
    SumOverBatchSizeMetricWrapper TopKCategoricalAccuracy TrueNegatives TruePositives
    Policy LossesContainer MetricsContainer
    TensorShape TypeSpec CompositeTensor
    __tuple__ __ellipsis__ __tensor__ __numpy__ __bytes__
    """
)
CLASSES = LAYERS | _OTHERS
FUNCTIONS = _words(
    """
    elu exponential gelu hard_sigmoid linear mish relu selu sigmoid softmax softplus softsign swish tanh silu relu6
    binary_accuracy binary_crossentropy binary_focal_crossentropy categorical_accuracy categorical_crossentropy
    categorical_focal_crossentropy categorical_hinge cosine_similarity hinge huber kl_divergence kld
    kullback_leibler_divergence log_cosh logcosh mae mape mean_absolute_error mean_absolute_percentage_error
    mean_squared_error mean_squared_logarithmic_error mse msle poisson sparse_categorical_accuracy
    sparse_categorical_crossentropy sparse_top_k_categorical_accuracy squared_hinge top_k_categorical_accuracy
    constant glorot_normal glorot_uniform he_normal he_uniform identity lecun_normal lecun_uniform ones orthogonal
    random_normal random_uniform truncated_normal variance_scaling zeros
    l1 l1_l2 l2 orthogonal_regularizer max_norm min_max_norm non_neg radial_constraint unit_norm
    """
)
# Functions of TensorFlow that a TFOpLambda layer may call, by module or by name: those that only compute.
_OP_MODULES = _words(
    """
    __operators__ bitwise compat.v1.math compat.v1.nn dtypes image keras.activations linalg math nn quantization ragged
    random sets signal sparse strings
    """
)
_OPS = _words(
    """
    abs acos acosh add add_n argmax argmin argsort asin asinh atan atan2 atanh batch_to_space bitcast boolean_mask
    broadcast_dynamic_shape broadcast_static_shape broadcast_to cast clip_by_global_norm clip_by_norm clip_by_value
    complex concat constant convert_to_tensor cos cosh cumsum divide dynamic_partition dynamic_stitch edit_distance eig
    eigvals einsum ensure_shape equal exp expand_dims extract_volume_patches eye fill fingerprint floor gather
    gather_nd greater greater_equal group histogram_fixed_width identity identity_n is_tensor less less_equal
    linspace logical_and logical_not logical_or matmul matrix_square_root maximum meshgrid minimum multiply negative
    norm not_equal one_hot ones ones_like pad parallel_stack pow range rank realdiv recompute_grad
    reduce_all reduce_any reduce_logsumexp reduce_max reduce_mean reduce_min reduce_prod reduce_sum repeat reshape
    reverse reverse_sequence roll round saturate_cast scalar_mul scatter_nd searchsorted sequence_mask shape shape_n
    sigmoid sign sin sinh size slice sort space_to_batch space_to_batch_nd split sqrt square squeeze stack
    stop_gradient strided_slice subtract tan tanh tensor_scatter_nd_add tensor_scatter_nd_max
    tensor_scatter_nd_min tensor_scatter_nd_sub tensor_scatter_nd_update tensordot tile transpose truediv truncatediv
    truncatemod tuple unique unique_with_counts unravel_index unstack where zeros zeros_like
    """
)


@dataclass(frozen=True)
class NamedCode:
    """The code that loading a model would run.

    Attributes:
        executes: What would run code that is in the file or that the file chooses, such as "a Lambda layer".
        foreign: Names of classes and functions that are not Keras's: the user's module has to define them.
    """

    executes: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()


def parse(text: str | bytes, name: str) -> object:
    """Parses JSON of a model's file.

    Raises:
        ModelFormatError: If it is not JSON, or is nested too deeply; the message names the part of the file.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelFormatError(
            f"is a damaged Keras file ({name}: {error}); fetch or save it again"
        ) from error


def find(*configs: object) -> NamedCode:
    """Walks through parsed JSON, also through texts in it that are JSON themselves.

    Raises:
        ModelFormatError: If it is nested too deeply.
    """
    executes: dict[str, None] = {}
    foreign: set[str] = set()
    for config in configs:
        for entry in objects(config):
            reason, name = _judge(entry)
            if reason:
                executes[reason] = None
            if name:
                foreign.add(name)
    return NamedCode(tuple(executes), tuple(sorted(foreign)))


def objects(config: object) -> Iterator[dict[str, object]]:
    """Each dict in parsed JSON that names a class, the outer ones first.

    Raises:
        ModelFormatError: If it is nested too deeply.
    """
    waiting = [(config, 0)]
    while waiting:
        value, depth = waiting.pop()
        if depth > _DEEPEST:
            raise ModelFormatError(
                f"nests its configuration more than {_DEEPEST} levels deep; save it again"
            )
        if isinstance(value, str):
            if value.lstrip()[:1] in ("{", "["):
                try:
                    waiting.append((json.loads(value), depth + 1))
                except (ValueError, RecursionError):
                    continue
        elif isinstance(value, dict):
            if "class_name" in value:
                yield value
            waiting += [(inner, depth + 1) for inner in reversed(list(value.values()))]
        elif isinstance(value, list):
            waiting += [(inner, depth + 1) for inner in reversed(value)]


def _judge(entry: dict[str, object]) -> tuple[str, str]:
    """The fault of an object of a config, and the name that the user has to define; both may be empty."""
    name, module, config = entry.get("class_name"), entry.get("module"), entry.get("config")
    if not isinstance(name, str) or not isinstance(module, str | None):
        return f"an object of class {str(name)[:60]!r} and module {str(module)[:60]!r}", ""
    # tf_keras registers its own optimizers like a user's classes, under "Custom>".
    name = name.removeprefix("Custom>") if name.removeprefix("Custom>") in CLASSES else name
    if name in ("Lambda", "__lambda__") or name.endswith(">Lambda"):
        return "a Lambda layer" if name != "__lambda__" else "a lambda function", ""
    if name == "__typespec__":
        own = str(module).partition(".")[0] == "tensorflow" and str(entry.get("spec_name")).endswith(
            "TensorSpec"
        )
        return ("" if own else f"a type of the Python module {str(module)[:60]!r}"), ""
    if name == "function":
        function = config if isinstance(config, str) else ""
        own = module in (None, "builtins") or _is_kerass(module)
        return ("", "") if own and function in FUNCTIONS else ("", function or "function")
    if _is_kerass(module):
        if name not in CLASSES:
            return f"{name[:60]!r} of the Python module {module[:60]!r}" if module else "", name
        return _operation(name, config), ""
    # Keras takes it from the user's objects by this name, and without one imports the module that the file names.
    registered = entry.get("registered_name", name)
    if not isinstance(registered, str) or not registered:
        return f"{name[:60]!r} of the Python module {str(module)[:60]!r}", ""
    return "", registered


def unresolved(foreign: Iterable[str], defined: Container[str]) -> list[str]:
    """Those of `NamedCode.foreign` that the user's module does not define, by the names that it does."""
    return [name for name in foreign if name not in defined and name.rpartition(">")[2] not in defined]


def _is_kerass(module: str | None) -> bool:
    return not module or module.partition(".")[0] in ("keras", "tf_keras")


def _operation(name: str, config: object) -> str:
    """The fault of a layer that calls a function of TensorFlow by its name."""
    if name not in ("TFOpLambda", "SlicingOpLambda"):
        return ""
    function = config.get("function") if isinstance(config, dict) else None
    module, _, short = str(function).rpartition(".")
    allowed = short in _OPS if not module else module in _OP_MODULES
    return (
        ""
        if isinstance(function, str) and allowed
        else f"a layer that calls {str(function)[:60]!r} of TensorFlow"
    )
