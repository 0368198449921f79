"""Networks: what they are made of, held to numbers worked out by hand and to torchvision's own modules."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision
from torch.func import functional_call

from engine.errors import RequestError, UnknownName
from engine.models import build as models
from engine.models.dense.mlp import Mlp
from engine.models.networks.network import IMAGENET, Network
from engine.scenario.sections import ConvSection, ModelSection, TorchvisionSection, VggSection
from tests.worlds import sections

pytestmark = pytest.mark.usefixtures("one_thread")

F64, F32 = torch.float64, torch.float32
CONV, VGG, RESNET = ConvSection(), VggSection(depth=11), TorchvisionSection(architecture="resnet18")


def network(section: ModelSection, size: int = 32, classes: int = 10) -> Network:
    built = models.network_of(section, classes, (size, size))
    assert isinstance(built, Network)
    return built


def init(model: Network, seed: int = 1, dtype: torch.dtype = F64) -> list[torch.Tensor]:
    return model.init(torch.Generator().manual_seed(seed), dtype)


def pictures(rows: int, size: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (rows, size, size, 3), dtype=np.uint8))


def normalised(pixels: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(numbers, dtype=pixels.dtype).view(3, 1, 1) for numbers in IMAGENET)
    return (pixels - mean) / std


# ---- what they are made of --------------------------------------------------------------------------------------------


def test_conv_has_the_papers_layers():
    model = network(CONV)
    kernels = [(3, 32), (32, 32), (32, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 10)]
    shapes = [shape for a, b in kernels for shape in ((b, a, 3, 3), (b,))] + [(10, 160), (10,)]  # 10 channels of 4 x 4 are 160
    params = init(model)
    assert [tuple(p.shape) for p in params] == shapes
    assert sum(p.numel() for p in params) == 606_836
    assert model.trainable == len(params) == len(model.parameter_names)
    assert model.layers == ("hidden", "pool1", "pool2", "pool3")
    assert model.parameter_names[:2] == ("features.conv1.weight", "features.conv1.bias")
    assert not model.has_dropout
    assert model.notes() == ()


def test_conv_is_the_arithmetic_written_out():
    model = network(CONV, 16, 3)
    params, pixels = init(model), model.pixels(pictures(4, 16), F64)
    x = pixels - 0.5
    for layer in range(8):
        weight = params[2 * layer]
        padded = torch.nn.functional.pad(x, (1, 1, 1, 1))
        patches = padded.unfold(2, 3, 1).unfold(3, 3, 1)  # [B, C, H, W, 3, 3]
        z = torch.einsum("bchwij,ocij->bohw", patches, weight) + params[2 * layer + 1].view(-1, 1, 1)
        x = torch.where(z > 0, z, 0.1 * z)
        if layer in (2, 4, 6):
            x = (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4
            torch.testing.assert_close(model.layer_of(params, pixels, f"pool{layer // 2}"), x.flatten(1))
    torch.testing.assert_close(model.hidden_of(params, pixels), x.flatten(1))
    torch.testing.assert_close(model.logits(params, pixels), x.flatten(1) @ params[-2].T + params[-1])
    kernel, bias = model.head_of(params)
    torch.testing.assert_close(model.logits(params, pixels), model.layer_of(params, pixels, "hidden") @ kernel + bias)


@pytest.mark.parametrize("size", [8, 9, 20, 32])
def test_conv_reads_pictures_from_8_pixels_up(size: int):
    model = network(CONV, size, 2)
    assert model.width == 2 * (size // 8) ** 2
    assert model.logits(init(model, dtype=F32), model.pixels(pictures(3, size))).shape == (3, 2)


def test_sides_may_differ():
    model = models.network_of(CONV, 5, (16, 24))
    assert model.width == 5 * 2 * 3
    assert model.logits(init(model), torch.rand(2, 3, 16, 24, dtype=F64)).shape == (2, 5)


@pytest.mark.parametrize("depth", [11, 16])
def test_vgg_is_torchvisions_convolutions_averaged_over_all_places(depth: int):
    model = network(VggSection(depth=depth), 40)
    params = init(model, dtype=F32)
    with torch.device("meta"):
        theirs = getattr(torchvision.models, f"vgg{depth}")(weights=None).features.eval()
    theirs = theirs.to_empty(device="cpu")
    theirs.load_state_dict({name.removeprefix("features."): p for name, p in zip(model.names[:-2], params[:-2], strict=True)})
    assert sum(p.numel() for p in params) == sum(p.numel() for p in theirs.parameters()) + 512 * 10 + 10
    pixels = model.pixels(pictures(2, 40))
    pooled, pools = normalised(pixels), []
    for layer in theirs:
        pooled = layer(pooled)
        if isinstance(layer, torch.nn.MaxPool2d):
            pools.append(pooled.flatten(1))
    hidden = pooled.mean((2, 3))
    torch.testing.assert_close(model.hidden_of(params, pixels), hidden)
    torch.testing.assert_close(model.logits(params, pixels), hidden @ params[-2].T + params[-1])
    assert model.layers == ("hidden", "pool1", "pool2", "pool3", "pool4", "pool5")
    for name, theirs_pool in zip(model.layers[1:], pools, strict=True):
        torch.testing.assert_close(model.layer_of(params, pixels, name), theirs_pool)


def test_vgg16_has_its_published_size():
    assert sum(p.numel() for p in init(network(VggSection()), dtype=F32)) == 14_714_688 + 5_130


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5", "swin_t"])
def test_a_torchvision_classifier_gives_the_logits_of_torchvisions_own_module(name: str):
    size = 32
    model = network(TorchvisionSection(architecture=name), size, 7)
    params = init(model)
    theirs = torchvision.models.get_model(name, weights=None, num_classes=7)
    theirs = theirs.to(F64).eval()
    head = [n for n, m in theirs.named_modules() if isinstance(m, torch.nn.Linear)][-1]
    ours = {
        n.removeprefix("features.").replace("head.", f"{head}.", n.startswith("head.")): p for n, p in zip(model.names, params, strict=True)
    }
    pixels = model.pixels(pictures(1, size), F64)
    with torch.no_grad():
        expected = functional_call(theirs, ours, (normalised(pixels),))
        torch.testing.assert_close(model.logits(params, pixels), expected)
    assert {n for n, _ in theirs.named_parameters()} <= set(ours)


# ---- initial weights --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("section", [CONV, VGG, RESNET], ids=lambda s: s.kind)
def test_initial_weights_follow_the_generator_and_leave_pytorchs_own_alone(section: ModelSection):
    model = network(section)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, again, other = init(model, 1), init(model, 1), init(model, 2)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    assert not torch.equal(first[model.trainable - 2], other[model.trainable - 2])
    assert all(a.data_ptr() != b.data_ptr() for a, b in zip(first, again, strict=True))
    single = init(model, 1, torch.float32)
    assert all(torch.equal(a.float(), b) for a, b in zip(first, single, strict=True))


def test_conv_and_every_last_layer_start_as_keras_does():
    for section in (CONV, VGG, RESNET):
        model = network(section)
        params = init(model)
        kernel, bias = model.head_of(params)
        bound = (6 / (model.width + 10)) ** 0.5
        assert 0.95 * bound < float(kernel.abs().max()) <= bound
        assert not bias.any()
    kernel, bias = init(network(CONV))[2:4]
    bound = (6 / (9 * 32 + 9 * 32)) ** 0.5
    assert 0.95 * bound < float(kernel.abs().max()) <= bound
    assert not bias.any()


def test_vgg_starts_as_torchvision_does():
    kernel = init(network(VGG))[2]  # 64 to 128 channels: He normal by fan out
    assert float(kernel.std()) == pytest.approx((2 / (9 * 128)) ** 0.5, rel=0.02)


# ---- functional -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("section", "size"), [(CONV, 8), (VGG, 32)], ids=["conv", "vgg"])
def test_many_victims_at_once_are_each_alone(section: ModelSection, size: int):
    model = network(section, size, 4)
    victims = [init(model, seed) for seed in (1, 2)]
    pixels, y = model.pixels(pictures(3, size), F64), torch.tensor([0, 1, 3])

    def loss(params, training):
        return model.losses(model.logits(params, pixels, training=training), y).mean() + 0.1 * model.penalty(params)

    stacked = [torch.stack(tensors) for tensors in zip(*victims, strict=True)]
    grads = torch.func.vmap(lambda p: torch.func.grad(loss)(p, True))(stacked)
    for v, params in enumerate(victims):
        alone = torch.func.grad(loss)(params, True)
        assert all(torch.allclose(a[v], b, atol=1e-10) for a, b in zip(grads, alone, strict=True))


def test_use_changes_nothing():
    model = network(RESNET)
    params = init(model)
    before = [p.clone() for p in params]
    pixels = model.pixels(pictures(4, 32), F64)
    first = model.logits(params, pixels)
    model.hidden_of(params, pixels)
    assert torch.equal(model.logits(params, pixels), first)
    assert all(torch.equal(a, b) for a, b in zip(params, before, strict=True))
    assert all(t.is_meta for t in [*model._whole.module.parameters(), *model._training.module.buffers()])


def test_batch_norm_updates_the_victims_own_buffers_in_training_alone():
    model = network(RESNET)
    params = init(model)
    assert len(params) - model.trainable == 40  # 20 layers, a mean and a variance each
    before = [p.clone() for p in params]
    pixels = model.pixels(pictures(6, 32), F64)
    trained = model.logits(params, pixels, training=True)
    changed = [not torch.equal(a, b) for a, b in zip(params, before, strict=True)]
    assert not any(changed[: model.trainable])
    assert all(changed[model.trainable :])
    first = torch.nn.functional.conv2d(normalised(pixels), params[0], stride=2, padding=3)
    torch.testing.assert_close(params[model.trainable], 0.1 * first.mean((0, 2, 3)))
    assert not torch.allclose(trained, model.logits(params, pixels))
    assert "poison" in model.notes()[0]
    assert len(model.notes()) == 1


def test_dropout_is_said_and_is_on_in_training_alone():
    model = network(TorchvisionSection(architecture="mobilenet_v3_small"), 32, 3)
    assert model.has_dropout
    assert len(model.notes()) == 2
    params, pixels = init(model, dtype=F32), model.pixels(pictures(4, 32))
    assert torch.equal(model.logits(params, pixels), model.logits(params, pixels))
    buffers = [p.clone() for p in params[model.trainable :]]
    masks = []
    for seed in (1, 1, 2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            masks.append(model.logits([*params[: model.trainable], *(b.clone() for b in buffers)], pixels, training=True))
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])


def test_channels_last_and_autocast_are_taken():
    model = network(VGG, 32, 3)
    params = init(model, dtype=F32)
    pixels = model.pixels(pictures(4, 32))
    assert pixels.is_contiguous(memory_format=torch.channels_last)
    plain = model.logits(params, pixels.contiguous())
    torch.testing.assert_close(model.logits(params, pixels), plain, atol=1e-5, rtol=1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        half = model.logits(params, pixels)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), plain, atol=0.1, rtol=0.1)


def test_pixels_are_0_to_1_of_bytes_and_floats_alike():
    model, x = network(CONV, 8), pictures(2, 8)
    pixels = model.pixels(x)
    assert pixels.shape == (2, 3, 8, 8)
    torch.testing.assert_close(pixels[1, 2, 3, 4], x[1, 3, 4, 2] / 255)
    assert torch.equal(model.pixels(x.float() / 255), pixels)
    assert model.pixels(x, F64).dtype == F64


# ---- loss -------------------------------------------------------------------------------------------------------------


def test_which_kernels_are_penalised():
    conv, vgg = network(CONV, 8), network(VGG)
    a, b = init(conv), init(vgg)
    assert float(conv.penalty(a)) == pytest.approx(sum(float((p**2).sum()) for p in a[::2]) / 2)
    assert float(vgg.penalty(b)) == pytest.approx(float((b[-2] ** 2).sum()) / 2)


def test_two_classes_have_two_outputs():
    logits = torch.tensor([[1.0, 1.0], [0.0, 2.0]])
    model = network(CONV, 8, 2)
    assert model.predict(logits).tolist() == [0, 1]
    assert model.predict(logits).dtype == torch.uint8
    torch.testing.assert_close(model.probabilities(logits).sum(-1), torch.ones(2))
    torch.testing.assert_close(model.losses(logits, torch.tensor([0, 0])), -torch.log_softmax(logits, -1)[:, 0])


def test_operations_are_twice_the_products():
    model = network(CONV, 8, 10)
    sides = [8, 8, 8, 4, 4, 2, 2, 1]
    kernels = [(3, 32), (32, 32), (32, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 10)]
    assert model.operations() == 2 * (sum(9 * a * b * s * s for (a, b), s in zip(kernels, sides, strict=True)) + 10 * 10)
    assert model.operations(7) == 7 * model.operations()


# ---- the last layer alone ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 5])
def test_the_last_layer_alone_is_a_dense_model_with_an_output_a_class(classes: int):
    head = Mlp(512, (), classes, one_logit=False)
    kernel, bias = head.init(torch.Generator().manual_seed(0))
    assert kernel.shape == (512, classes)
    assert not bias.any()
    assert head.stack([[kernel, bias]], torch.device("cpu"), torch.float32).sizes == (512, classes)


@pytest.mark.parametrize("section", [CONV, VGG, RESNET], ids=lambda s: s.kind)
def test_an_encoder_is_frozen_and_can_be_differentiated(section: ModelSection):
    section = section.model_copy(update={"tune": "last_layer"})
    encoder = models.encoder_of(section, models.network_of(section, 3, (32, 32)), 4)
    pixels = encoder.pixels(pictures(2, 32)).requires_grad_()
    features = encoder.features(pixels)
    assert features.shape == (2, encoder.width)
    assert torch.equal(features, encoder.features(pixels))
    assert torch.equal(features, encoder.layer_of(pixels, "hidden"))
    (grad,) = torch.autograd.grad(features.square().sum(), pixels)
    assert grad.shape == pixels.shape
    assert float(grad.abs().sum()) > 0
    assert torch.equal(features, encoder.to(torch.device("cpu")).features(pixels))


def test_an_encoders_gradient_is_the_change_it_makes():
    encoder = models.encoder_of(CONV, models.network_of(CONV, 3, (8, 8)), 0)
    encoder.params = tuple(p.double() for p in encoder.params)
    pixels = encoder.pixels(pictures(1, 8)).requires_grad_()
    direction = torch.rand(pixels.shape, dtype=F64, generator=torch.Generator().manual_seed(0)) - 0.5
    (grad,) = torch.autograd.grad(encoder.features(pixels).sum(), pixels)
    step = 1e-6
    change = (encoder.features(pixels + step * direction) - encoder.features(pixels - step * direction)).sum() / (2 * step)
    assert (grad * direction).sum().item() == pytest.approx(change.item(), rel=1e-5)


def test_encoders_of_one_digest_are_the_same_and_others_are_not():
    def digest(seed=0, size=32, **keys):
        section = sections.model(**keys if "kind" in keys else {"kind": "vgg", "depth": 11} | keys)
        return models.encoder_of(section, models.network_of(section, 3, (size, size)), seed).digest

    seen = [
        digest(),
        digest(seed=1),
        digest(size=40),
        digest(depth=13),
        digest(kind="conv"),
        digest(kind="torchvision", architecture="resnet18"),
    ]
    assert len(set(seen)) == len(seen)
    assert digest() == seen[0]
    assert len(seen[0]) >= 16
    assert int(seen[0], 16) >= 0
    a, b = (models.encoder_of(VGG, models.network_of(VGG, 3, (32, 32)), 1) for _ in range(2))
    assert all(torch.equal(p, q) for p, q in zip(a.params, b.params, strict=True))


# ---- refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("section", "size", "says"),
    [
        (VGG, 31, r"vgg cannot read pictures of 31 x 31.*image_size = 32"),
        (CONV, 7, r"conv cannot read pictures of 7 x 7.*image_size = 8"),
        (TorchvisionSection(architecture="alexnet"), 32, "alexnet cannot read pictures of 32 x 32"),
        (TorchvisionSection(architecture="maxvit_t"), 64, "maxvit_t cannot read pictures of 64 x 64"),
        (TorchvisionSection(architecture="vit_b_16"), 40, r"patches of 16 x 16.*multiple of 16"),
        (TorchvisionSection(architecture="squeezenet1_0"), 64, "no dense layer at its end"),
        (TorchvisionSection(architecture="fcn_resnet50"), 64, "does not classify single pictures"),
    ],
    ids=str,
)
def test_what_cannot_be_read_is_said_in_words(section: ModelSection, size: int, says: str):
    with pytest.raises(RequestError, match=says):
        network(section, size)


def test_an_unknown_classifier_gets_its_nearest_name():
    with pytest.raises(UnknownName, match="did you mean 'resnet18'"):
        network(TorchvisionSection(architecture="resnet_18"))


def test_a_network_without_pictures_and_a_layer_that_is_not_there():
    with pytest.raises(RequestError, match="conv reads pictures"):
        models.network_of(CONV, 3, None)
    model = network(CONV, 8)
    with pytest.raises(RequestError, match=r"no layer 'pool4'.*hidden, pool1, pool2, pool3"):
        model.layer_of(init(model), torch.zeros(1, 3, 8, 8), "pool4")
