"""What the Keras layers do on the backend of this process, KERAS_BACKEND; test_keras.py runs it once for each.

Everything is held against the torch layers with the same numbers.
"""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
import torch
from keras import ops

from scs_study import layers
from scs_study.keras import (
    CosSim2D,
    MaxAbsPool2D,
    Sequential,
    SharpenedCosineSimilarity2D,
    SharpenedDotProduct2D,
    from_torch,
    to_torch,
)
from scs_study.layers.published import Pisoni, PisoniMaxAbsPool2d
from tests.keras.arrays import each_layer_agrees, images, numpy

BACKEND = keras.backend.backend()
# Of Keras, which asks torch for arrays in a way that numpy 2 has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def gradients(layer, x, weights):
    """Return the gradients of sum(layer(x) * weights) to x and to the layer's variables."""
    variables = layer.trainable_variables
    if BACKEND == "torch":
        x = torch.from_numpy(x).requires_grad_()
        (layer(x) * torch.from_numpy(weights)).sum().backward()
        return x.grad.numpy(), [v.value.grad.numpy() for v in variables]
    if BACKEND == "jax":
        import jax

        def loss(x, values):
            y, _ = layer.stateless_call(values, [], x)
            return (y * weights).sum()

        # As one program: compiled one by one, its operations take longer than all else here.
        by_x, by_variables = jax.jit(jax.grad(loss, (0, 1)))(x, [v.value for v in variables])
        return np.asarray(by_x), [np.asarray(grad) for grad in by_variables]
    import tensorflow as tf

    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(layer(x) * weights)
    by_x, by_variables = tape.gradient(total, (x, [v.value for v in variables]))
    return by_x.numpy(), [grad.numpy() for grad in by_variables]


KINDS = {
    "may2022": (layers.SharpenedCosineSimilarity2d, {}, {}),
    "strided": (layers.SharpenedCosineSimilarity2d, {}, {"stride": 2, "padding": 1}),
    "dilated": (layers.SharpenedCosineSimilarity2d, {"p": 2.0}, {"padding": "same", "dilation": 2}),
    "mar2022": (layers.SharpenedCosineSimilarity2d, {"parameterisation": "mar2022"}, {"padding": "same"}),
    "sdp": (layers.SharpenedDotProduct2d, {}, {"padding": (2, 0)}),
    "pisoni": (Pisoni, {}, {"padding": 1, "stride": 2}),
    "pisoni shared": (Pisoni, {"shared_weights": True}, {"groups": 4}),
}
# TensorFlow's gradients of convolutions in groups are its own business.
if BACKEND != "tensorflow":
    KINDS["grouped"] = (layers.SharpenedCosineSimilarity2d, {}, {"groups": 2})
    KINDS["depthwise"] = (layers.SharpenedCosineSimilarity2d, {"w_max": None}, {"groups": 4, "padding": 1})


def build(name):
    kind, options, geometry = KINDS[name]
    torch.manual_seed(0)
    return kind(4, 8, 3, **geometry, **options)


@pytest.mark.parametrize("name", KINDS)
def test_outputs_and_gradients_equal_torchs(name):
    module = build(name)
    layer = from_torch(module)
    x = images(2, 4, 7, 6)
    y = module(torch.from_numpy(x)).detach().numpy()
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    np.testing.assert_allclose(numpy(layer(last)).transpose(0, 3, 1, 2), y, rtol=1e-5, atol=1e-5)
    assert tuple(layer.compute_output_shape(last.shape)) == y.transpose(0, 2, 3, 1).shape
    weights = images(*y.shape)
    by_x, by_variables = gradients(layer, last, np.ascontiguousarray(weights.transpose(0, 2, 3, 1)))
    inputs = torch.from_numpy(x).requires_grad_()
    (module(inputs) * torch.from_numpy(weights)).sum().backward()
    wanted = inputs.grad.numpy()
    np.testing.assert_allclose(by_x.transpose(0, 3, 1, 2), wanted, rtol=1e-4, atol=2e-5 * np.abs(wanted).max())
    kernel = module.weight.grad.numpy().transpose(2, 3, 1, 0)
    np.testing.assert_allclose(
        by_variables[0].reshape(kernel.shape), kernel, rtol=1e-4, atol=2e-5 * np.abs(kernel).max()
    )
    if module.fixed_p is None:
        exponents = module.raw_p.grad.numpy()
        np.testing.assert_allclose(by_variables[1], exponents, rtol=1e-4, atol=2e-5 * np.abs(exponents).max())


@pytest.mark.parametrize("name", KINDS)
def test_there_and_back_changes_no_bit(name):
    module = build(name)
    back = to_torch(from_torch(module))
    assert type(back) is type(module)
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), back.parameters(), strict=True))
    x = torch.from_numpy(images(1, 4, 7, 6))
    assert torch.equal(back(x), module(x))


@pytest.mark.parametrize(
    "options", [{}, {"padding": "same"}, {"strides": 2, "padding": "same"}, {"dilation_rate": 2}], ids=str
)
def test_channels_first_and_last_agree(options):
    keras.utils.set_random_seed(0)
    last = SharpenedCosineSimilarity2D(6, 3, data_format="channels_last", **options)
    first = SharpenedCosineSimilarity2D(6, 3, data_format="channels_first", **options)
    x = images(2, 9, 8, 3)
    y = last(x)
    first.build((None, 3, 9, 8))
    first.set_weights(last.get_weights())
    np.testing.assert_allclose(numpy(first(x.transpose(0, 3, 1, 2).copy())), numpy(y).transpose(0, 3, 1, 2), atol=1e-6)
    assert y.shape == last.compute_output_shape(x.shape)
    assert keras.layers.Conv2D(6, 3, **options).compute_output_shape(x.shape) == y.shape


def test_starts_are_torchs():
    keras.utils.set_random_seed(0)
    layer = SharpenedCosineSimilarity2D(256, 3)
    layer.build((None, None, None, 8))
    kernel, p, q = (numpy(v) for v in (layer.kernel, layer.raw_p, layer.raw_q))
    assert np.abs(kernel).max() <= 1
    assert kernel.std() == pytest.approx(3**-0.5, rel=0.02)
    assert 1 <= p.min() < p.max() <= 3
    assert np.exp(q) == pytest.approx(1e-3, rel=1e-5)
    march = SharpenedCosineSimilarity2D(256, 3, parameterisation="mar2022")
    march.build((None, None, None, 8))
    assert numpy(march.kernel).std() == pytest.approx((3 * 8 * 9) ** -0.5, rel=0.02)
    assert np.exp(numpy(march.raw_p) / 5) == pytest.approx(np.full(256, np.e), rel=1e-5)


def test_training_keeps_the_bounds():
    keras.utils.set_random_seed(0)
    layer = SharpenedCosineSimilarity2D(4, 3)
    model = keras.Sequential([keras.Input((6, 6, 2)), layer, keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(100.0), "mse")
    model.fit(images(8, 6, 6, 2), images(8, 1), epochs=3, verbose=0)
    assert np.abs(numpy(layer.kernel)).max() <= 1
    assert numpy(layer.raw_p).min() >= 0.0999


def test_fit_learns_real_digits():
    from sklearn.datasets import load_digits

    keras.utils.set_random_seed(0)
    pixels, digits = load_digits(return_X_y=True)
    pixels = (pixels.reshape(-1, 8, 8, 1) / 16).astype("float32")
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            SharpenedCosineSimilarity2D(16, 3),
            MaxAbsPool2D(2),
            SharpenedCosineSimilarity2D(32, 2),
            keras.layers.Flatten(),
            keras.layers.Dense(10),
        ]
    )
    entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.02), entropy, metrics=["accuracy"])
    model.fit(pixels[:1400], digits[:1400], batch_size=50, epochs=8, verbose=0)
    assert model.evaluate(pixels[1400:], digits[1400:], verbose=0)[1] > 0.85


def test_empty_images_and_kernels_give_zeros_and_finite_gradients():
    layer = SharpenedCosineSimilarity2D(4, 3)
    x = np.zeros((1, 6, 6, 3), np.float32)
    x[:, 3:] = 1
    layer(x)
    kernel = numpy(layer.kernel).copy()
    kernel[..., 0] = 0
    layer.kernel.assign(kernel)
    assert not numpy(layer(x))[..., 0].any()
    by_x, by_variables = gradients(layer, x, np.ones((1, 4, 4, 4), np.float32))
    assert all(np.isfinite(grad).all() for grad in (by_x, *by_variables))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("kind", [SharpenedCosineSimilarity2D, CosSim2D])
def test_mixed_precision_keeps_norm_and_power_in_float32(policy, kind):
    arguments = (4, 3) if kind is SharpenedCosineSimilarity2D else (3, 4)
    full, mixed = kind(*arguments), kind(*arguments, dtype=policy)
    x = images(2, 8, 8, 3)
    x[:, :4] = 0
    y = numpy(full(x))
    mixed.build(x.shape)
    mixed.set_weights(full.get_weights())
    half = mixed(x)
    assert keras.backend.standardize_dtype(half.dtype) == policy.removeprefix("mixed_")
    np.testing.assert_allclose(numpy(ops.cast(half, "float32")), y, atol=0.03)


def blog_model():
    """The snippet of the blog post, letter for letter, and what is cut off behind it."""
    snippet = """
model = tf.keras.Sequential(
        CosSim2D(3, 32),
        MaxAbsPool2D(2, True),
        CosSim2D(3, 64,),
        MaxAbsPool2D(2, True),
        CosSim2D(3, 128),
        MaxAbsPool2D(2, True),
"""

    class tf:
        class keras:
            Sequential = Sequential

    scope = {"tf": tf, "CosSim2D": CosSim2D, "MaxAbsPool2D": MaxAbsPool2D, "tail": keras.layers}
    exec(snippet + "tail.Flatten(), tail.Dense(10))", scope)
    return scope["model"]


def test_the_blogs_snippet_runs_as_printed(tmp_path):
    keras.utils.set_random_seed(0)
    model = blog_model()
    x = images(2, 32, 32, 3)
    y = model.predict_on_batch(x)
    assert y.shape == (2, 10)
    assert model.count_params() == 104_781  # systems.md 3
    assert [layer.output.shape[1] for layer in model.layers[:6]] == [30, 15, 13, 7, 5, 3]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict_on_batch(x), y)
    each_layer_agrees(model, to_torch(model), x)


def test_saved_layers_come_back_as_they_were(tmp_path):
    options = {"padding": 1, "strides": 2, "p_init": (1.0, 2.0), "kernel_regularizer": "l2", "activation": "tanh"}
    model = keras.Sequential(
        [
            keras.Input((9, 9, 3)),
            SharpenedCosineSimilarity2D(8, 3, parameterisation="mar2022", **options),
            SharpenedCosineSimilarity2D(4, (1, 2), padding="same", p=2.0, w_max=0.5),
            SharpenedDotProduct2D(4, 1, kernel_initializer="he_normal"),
            CosSim2D(3, 2, 1, True, "same"),
            MaxAbsPool2D(2, "end", ties="positive"),
        ]
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    x = images(2, 9, 9, 3)
    y = model.predict_on_batch(x)
    np.testing.assert_array_equal(loaded.predict_on_batch(x), y)
    for before, after in zip(model.layers, loaded.layers, strict=True):
        assert json.dumps(after.get_config()) == json.dumps(before.get_config())
    assert model.output_shape == (None, *y.shape[1:])


@pytest.mark.parametrize("size", [(7, 7), (8, 6)])
@pytest.mark.parametrize(("pool", "fit"), [(2, True), (2, False), (3, True), ((3, 2), False)])
def test_pool_is_pisonis(pool, fit, size):
    x = np.round(images(2, 3, *size))
    wanted = PisoniMaxAbsPool2d(pool, fit)(torch.from_numpy(x)).numpy().transpose(0, 2, 3, 1)
    layer = MaxAbsPool2D(pool, fit)
    last = x.transpose(0, 2, 3, 1).copy()
    np.testing.assert_array_equal(numpy(layer(last)), wanted)
    assert layer.compute_output_shape(last.shape) == wanted.shape


def test_pool_can_be_torchs():
    x = np.round(images(2, 3, 7, 5))
    wanted = layers.max_abs_pool2d(torch.from_numpy(x), 3, ceil_mode=True).numpy().transpose(0, 2, 3, 1)
    last = x.transpose(0, 2, 3, 1).copy()
    np.testing.assert_array_equal(numpy(MaxAbsPool2D(3, "end", ties="positive")(last)), wanted)
