"""Models that a technique cannot handle, and what is said of each."""

from __future__ import annotations

from tests.pipeline.explain.project import (
    CLUSTER,
    CONV,
    INT8,
    PRUNE,
    QAT,
    ROW,
    SERIES,
    SUBCLASSED,
    WITHOUT,
    Case,
)

OWN_LAYER = """

class Scale(layers.Layer):
    def build(self, shape):
        self.kernel = self.add_weight("kernel", shape[-1:])

    def call(self, values):
        return values * self.kernel
"""
OWN_MODEL = """

class Net(tf_keras.Model):
    def __init__(self, **options):
        super().__init__(**options)
        self.dense = layers.Dense(3)

    def call(self, values):
        return self.dense(values)

    def get_config(self):
        return {"name": self.name}
"""
OWN_FUNCTION = """

def double(values):
    return 2 * values
"""
STUDENT = """

def build_student(hparams):
    x = layers.Input((8, 8, 4), name="x")
    hidden = layers.Dense(5, activation="relu", name="hidden")(layers.Flatten()(x))
    return tf_keras.Model(x, layers.Dense({units}, activation="softmax", name="answer")(hidden))
"""
DEPTHWISE = """
y = layers.Conv2D(128, 1, name="conv")(x)
y = layers.DepthwiseConv2D(3, name="depthwise")(y)
"""

CASES: dict[str, Case] = {
    "Conv3D in qat": Case(
        QAT,
        'y = layers.Conv3D(4, 2, name="conv3d")(x)',
        "[0].qat",
        f"conv3d: Conv3D has no fake quantization in TFMOT; {WITHOUT}",
        (4, 4, 4, 2),
    ),
    "Conv3D in int8": Case(
        f"[{INT8}]",
        'y = layers.Conv3D(4, 2, name="conv3d")(x)',
        "[0].convert.quantization",
        "conv3d: becomes CONV_3D, which has no int8 kernel; write another layer, quantization: dynamic, or "
        "float_ops: [CONV_3D], which leaves it in float",
        (4, 4, 4, 2),
    ),
    "subclassed model inside the model in prune": Case(
        PRUNE,
        SUBCLASSED,
        "[0].prune",
        "inner is a model inside the model, whose layers cannot be pruned one by one: put its layers into the "
        "model itself, or leave it dense with exclude: [inner]",
        before=OWN_MODEL,
    ),
    "subclassed model inside the model in cluster": Case(
        CLUSTER,
        SUBCLASSED,
        "[0].cluster",
        "inner is a model inside the model, whose layers cannot be clustered one by one: put its layers into "
        "the model itself, or leave it as it is with exclude: [inner]",
        before=OWN_MODEL,
    ),
    "subclassed model inside the model in qat": Case(
        QAT,
        SUBCLASSED,
        "[0].qat",
        "inner: is a model inside the model, which TFMOT cannot quantize; put its layers into the model itself",
        before=OWN_MODEL,
    ),
    "Lambda in qat": Case(
        QAT,
        CONV + 'y = layers.Lambda(lambda values: 2 * values, name="double")(y)',
        "[0].qat",
        "double: Lambda has no fake quantization in TFMOT; write one of Keras's layers",
    ),
    "operator + in qat": Case(
        QAT,
        CONV + "y = y + x",
        "[0].qat",
        "tf.__operators__.add: TFOpLambda has no fake quantization in TFMOT; write the Keras layer of that "
        "operation, layers.Add in place of +, layers.ReLU in place of tf.nn.relu, or keep in float the layers that "
        "cannot be int8: exclude: [tf.__operators__.add, last]",
    ),
    "tf.nn.relu in qat": Case(
        QAT,
        CONV + "y = tf.nn.relu(y)",
        "[0].qat",
        "tf.nn.relu: TFOpLambda has no fake quantization in TFMOT; write the Keras layer of that operation, "
        "layers.Add in place of +, layers.ReLU in place of tf.nn.relu, or keep in float the layers that cannot be "
        "int8: exclude: [tf.nn.relu, last]",
    ),
    "activation before BatchNormalization in qat": Case(
        QAT,
        'y = layers.Conv2D(4, 3, activation="relu", name="conv")(x)\n'
        'y = layers.BatchNormalization(name="norm")(y)',
        "[0].qat",
        "norm: is BatchNormalization that cannot be folded into conv, which has activation relu; write Conv2D, "
        "BatchNormalization and then the activation as a separate layer, or keep in float the layers that cannot "
        "be int8: exclude: [norm, last]",
    ),
    "BatchNormalization first in qat": Case(
        QAT,
        'y = layers.BatchNormalization(name="norm")(x)',
        "[0].qat",
        "norm: is BatchNormalization that follows no convolution or Dense, so it cannot be folded; move "
        "it behind one",
    ),
    "BatchNormalization after Add in qat": Case(
        QAT,
        CONV + 'y = layers.BatchNormalization(name="norm")(layers.Add(name="add")([x, y]))',
        "[0].qat",
        "norm: is BatchNormalization that follows no convolution or Dense, so it cannot be folded; move "
        "it behind one, or keep in float the layers that cannot be int8: exclude: [norm, last]",
    ),
    "Rescaling in qat": Case(
        QAT,
        'y = layers.Rescaling(1 / 255, name="scale")(x)',
        "[0].qat",
        "scale: Rescaling has no fake quantization in TFMOT; scale in preprocessing_fn",
    ),
    "LayerNormalization in qat": Case(
        QAT,
        CONV + 'y = layers.LayerNormalization(name="norm")(y)',
        "[0].qat",
        "norm: LayerNormalization has no fake quantization in TFMOT; LiteRT has no int8 kernel for it, only for its "
        "parts; write BatchNormalization behind a "
        "convolution or Dense, or keep in float the layers that cannot be int8: exclude: [norm, last]",
    ),
    "MultiHeadAttention in qat": Case(
        QAT,
        'y = layers.MultiHeadAttention(2, 4, name="attention")(x, x)',
        "[0].qat",
        f"attention: MultiHeadAttention has no fake quantization in TFMOT; {WITHOUT}",
        SERIES,
    ),
    "Embedding in qat": Case(
        QAT,
        'y = layers.Embedding(20, 4, name="embedding")(x)',
        "[0].qat",
        "embedding: Embedding has no fake quantization in TFMOT; it reads whole numbers, which fake quantization at "
        "the input would change; look the rows up in preprocessing_fn",
        ROW,
        dtype="int32",
    ),
    "LSTM in any file": Case(
        "[{convert: {quantization: float32}}]",
        'y = layers.LSTM(4, name="lstm")(x)',
        "model.module",
        "TFLite cannot hold the model that build_model returns: TensorListReserve of layer lstm: requires "
        "element_shape to be static during TF Lite transformation pass; write unroll=True in the recurrent layer",
        SERIES,
    ),
    "LSTM in qat": Case(
        QAT,
        'y = layers.LSTM(4, unroll=True, name="lstm")(x)',
        "[0].qat",
        f"lstm: LSTM has no fake quantization in TFMOT; {WITHOUT}",
        SERIES,
    ),
    "layer of one's own in qat": Case(
        QAT,
        'y = Scale(name="scale")(x)',
        "[0].qat",
        f"scale: Scale has no fake quantization in TFMOT; {WITHOUT}",
        before=OWN_LAYER,
    ),
    "elu in qat": Case(
        QAT,
        'y = layers.Dense(6, activation="elu", name="dense")(layers.Flatten(name="first")(x))',
        "[0].qat",
        "dense: has activation elu, which TFMOT cannot fake-quantize; write one of relu, tanh, sigmoid, "
        "softmax, gelu",
    ),
    "swish inside a layer in qat": Case(
        QAT,
        'y = layers.Conv2D(4, 3, activation="swish", name="conv")(x)',
        "[0].qat",
        "conv: has activation swish, which TFMOT knows only as a separate layer; write "
        "layers.Activation('swish') behind it",
    ),
    "dilated convolution in qat": Case(
        QAT,
        'y = layers.Conv2D(4, 3, dilation_rate=2, name="conv")(x)',
        "[0].qat",
        f"conv: is a dilated convolution, which would stay in float; {WITHOUT}, or keep in float the layers that "
        "cannot be int8: exclude: [conv]",
    ),
    "Dense on a series in qat": Case(
        QAT,
        'y = layers.Dense(6, name="dense")(x)',
        "[0].qat",
        "dense: is Dense on an input of 3 axes, which would stay in float; write Conv2D with a kernel of "
        "(1, 1), on an input of shape (…, 1, channels), or keep in float the layers that cannot be int8: "
        "exclude: [dense]",
        SERIES,
    ),
    "ELU in int8": Case(
        f"[{INT8}]",
        'y = layers.Conv2D(4, 3, activation="elu", name="conv")(x)',
        "[0].convert.quantization",
        "conv: becomes ELU, which has no int8 kernel; write another layer, quantization: dynamic, or "
        "float_ops: [ELU], which leaves it in float",
    ),
    "PReLU in int16x8": Case(
        "[{convert: {quantization: int16x8}}]",
        CONV + 'y = layers.PReLU(shared_axes=[1, 2], name="prelu")(y)',
        "[0].convert.quantization",
        "prelu: becomes PRELU, which has no int16x8 kernel; write another layer, or quantization: int8, "
        "dynamic or float16",
    ),
    "GroupNormalization in int8": Case(
        f"[{INT8}]",
        CONV + 'y = layers.GroupNormalization(2, name="norm")(y)',
        "[0].convert.quantization",
        "norm: GroupNormalization cannot be calibrated for int8; write LayerNormalization or "
        "BatchNormalization, or quantization: dynamic",
    ),
    "function as activation": Case(
        PRUNE,
        'y = layers.Conv2D(4, 3, activation=double, name="conv")(x)',
        "model.module",
        "{module}.build_model returned a model that cannot be saved and loaded, as it is between steps: "
        "activation of layer conv is double, a custom function, which Keras does not find when it loads the model; "
        "write a class instead, or for an activation a layer",
        before=OWN_FUNCTION,
    ),
    "2:4 with too few channels": Case(
        f"[{{prune: {{m_by_n: [2, 4], include: [conv]}}}}, {INT8}]",
        'y = layers.Conv2D(4, 3, name="conv")(x[..., :3])',
        "[0].prune",
        "include: 'conv' matches no layer that can have 2:4 sparsity (conv: 3 input channels, fewer than 4); remove "
        "it, or prune these layers in another `prune` step with only `sparsity`",
    ),
    "blocks in a convolution": Case(
        f"[{{prune: {{sparsity: 0.5, block: [4, 1], include: [conv]}}}}, {INT8}]",
        CONV,
        "[0].prune",
        "include: 'conv' matches no layer that can have block sparsity (conv: Conv2D is not Dense); remove it, or "
        "prune these layers in another `prune` step with only `sparsity`",
    ),
    "per_layer that matches nothing": Case(
        f"[{{prune: {{sparsity: 0.5, per_layer: {{block*: 0.8}}}}}}, {INT8}]",
        CONV,
        "[0].prune",
        "per_layer: pattern 'block*' matches no layer that is pruned; those are ['conv', 'last']",
    ),
    "float_ops that the model does not have": Case(
        "[{convert: {quantization: int8, float_ops: [TANH]}}]",
        CONV,
        "[0].convert.float_ops",
        "float_ops: the model has no operator TANH; it has CONV_2D, FULLY_CONNECTED, RESHAPE, SOFTMAX. Write "
        "one of them",
    ),
    "student of another size": Case(
        f"[{{distill: {{}}}}, {INT8}]",
        CONV,
        "[0].distill.student",
        "build_student does not fit build_model: the student gives (None, 2) and the baseline (None, 3); let "
        "the student end in a layer of the same size",
        before=STUDENT.format(units=2),
    ),
    "features of a layer that is not there": Case(
        f"[{{distill: {{features: {{con: hidden}}}}}}, {INT8}]",
        CONV,
        "[0].distill.features",
        "build_student does not fit build_model: features: the baseline has no layer 'con'; did you mean "
        "'conv'? Its layers are ['conv', 'flat', 'last']",
        before=STUDENT.format(units=3),
    ),
    "sparse without zeros": Case(
        "[{convert: {quantization: float32, sparse: true}}]",
        CONV,
        "[0].convert.sparse",
        "sparse: true would store no layer sparsely, as none has enough zeros (30%); write a `prune` step "
        "before `convert`, or leave `sparse` out",
    ),
    "sparse int8 of a dense layer": Case(
        "[{prune: {sparsity: 0.5}}, {convert: {quantization: int8, sparse: true}}]",
        CONV,
        "[1].convert.sparse",
        "last: is a dense layer, which LiteRT does not load sparse-encoded in int8; leave `sparse` out (zeros "
        "then show in gzip_size), or write quantization: float32",
    ),
    "clustered depthwise convolution in dynamic": Case(
        "[{cluster: {clusters: 8}}, {convert: {quantization: dynamic}}]",
        DEPTHWISE,
        "[1].convert.quantization",
        "depthwise: is a depthwise convolution, which dynamic files cannot hold with one scale for each "
        "kernel, which the clustered layers need; write quantization: int8",
    ),
}
