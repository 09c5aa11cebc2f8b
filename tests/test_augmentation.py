from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils import augmentation
from course_utils.augmentation import Batches

TRANSFORMS = {
    "flip": augmentation.flip(),
    "pad_and_crop": augmentation.pad_and_crop(3),
    "shift": augmentation.shift(0.2),
    "rotate": augmentation.rotate(25),
    "zoom": augmentation.zoom(0.3),
    "affine": augmentation.affine(rotation=10, zoom=0.1, shift=0.1),
    "cutout": augmentation.cutout(4),
}
WITHOUT_STRENGTH = {
    "flip": augmentation.flip(0),
    "pad_and_crop": augmentation.pad_and_crop(0),
    "shift": augmentation.shift(0),
    "rotate": augmentation.rotate(0),
    "zoom": augmentation.zoom(0),
    "affine": augmentation.affine(),
    "cutout": augmentation.cutout(0),
}
by_name = pytest.mark.parametrize("name", TRANSFORMS)


def make_images(count=6, height=9, width=7, channels=3, *, dtype=np.uint8, seed=0):
    shape = (count, height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8).astype(dtype)


def batches_of(counts):
    return st.builds(
        make_images,
        counts,
        st.integers(5, 12),
        st.integers(5, 12),
        st.sampled_from([1, 3]),
        dtype=st.sampled_from([np.uint8, np.float32]),
        seed=st.integers(0, 1000),
    )


image_batches = batches_of(st.integers(0, 4))
seeds = st.integers(0, 2**32)
properties = settings(deadline=None, max_examples=30)


def numbered_images(count):
    """Images that hold their own number, so that they can be found again in a batch."""
    numbers = np.arange(count)
    images = np.stack([numbers % 256, numbers // 256], axis=-1).astype(np.uint8)
    return np.broadcast_to(images[:, None, None, :], (count, 2, 2, 2)).copy()


def unscaled(images):
    return images.astype(np.float32)


def numbers_of(images):
    return (images[:, 0, 0, 0] + 256 * images[:, 0, 0, 1]).astype(int)


def drawn_numbers(batches):
    return np.concatenate([numbers_of(images) for images, _ in batches])


# --- transforms -----------------------------------------------------------------------------------


@by_name
@properties
@given(images=image_batches, seed=seeds)
def test_transforms_keep_shape_dtype_and_range_and_leave_their_input_alone(name, images, seed):
    before = images.copy()
    changed = TRANSFORMS[name](images, np.random.default_rng(seed))
    assert changed.shape == images.shape
    assert changed.dtype == images.dtype
    assert np.array_equal(images, before)
    if images.size:
        assert images.min() - 1e-3 <= changed.min() and changed.max() <= images.max() + 1e-3


@by_name
@properties
@given(images=image_batches, seed=seeds)
def test_transforms_without_strength_change_nothing(name, images, seed):
    changed = WITHOUT_STRENGTH[name](images, np.random.default_rng(seed))
    assert np.array_equal(changed, images)


@by_name
def test_transforms_repeat_with_the_same_generator_and_vary_with_another(name):
    images = make_images(20)
    first, again, other = (TRANSFORMS[name](images, np.random.default_rng(s)) for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@by_name
def test_transforms_change_images_of_a_batch_independently(name):
    same = np.repeat(make_images(1), 30, axis=0)
    changed = TRANSFORMS[name](same, np.random.default_rng(0))
    assert len(np.unique(changed.reshape(30, -1), axis=0)) > 1


@by_name
def test_transforms_accept_views_that_are_not_contiguous(name):
    images = make_images(12, 10, 10)
    view = images[::2, :, ::-1]
    changed = TRANSFORMS[name](view, np.random.default_rng(0))
    expected = TRANSFORMS[name](view.copy(), np.random.default_rng(0))
    assert np.array_equal(changed, expected)


@properties
@given(images=image_batches, seed=seeds)
def test_flipping_twice_gives_the_images_back(images, seed):
    flip = augmentation.flip()
    once = flip(images, np.random.default_rng(seed))
    assert np.array_equal(flip(once, np.random.default_rng(seed)), images)


def test_flip_mirrors_about_half_of_the_images_left_to_right():
    images = make_images(400)
    flipped = augmentation.flip()(images, np.random.default_rng(0))
    mirrored = (flipped == images[:, :, ::-1]).all(axis=(1, 2, 3))
    untouched = (flipped == images).all(axis=(1, 2, 3))
    assert np.all(mirrored ^ untouched)
    assert 150 < mirrored.sum() < 250


@pytest.mark.parametrize("mode", ["reflect", "constant", "edge"])
def test_crops_are_windows_of_the_padded_image_and_all_windows_occur(mode):
    image = make_images(1, 6, 5)
    padded = np.pad(image[0], ((1, 1), (1, 1), (0, 0)), mode=mode)
    windows = {
        padded[top : top + 6, left : left + 5].tobytes() for top in range(3) for left in range(3)
    }
    transform = augmentation.pad_and_crop(1, mode=mode)
    cropped = transform(np.repeat(image, 200, axis=0), np.random.default_rng(0))
    assert {crop.tobytes() for crop in cropped} == windows


def test_a_crop_without_padding_is_a_window_and_all_windows_occur():
    image = np.arange(4 * 5, dtype=np.uint8).reshape(1, 4, 5, 1)
    images = np.repeat(image, 200, axis=0)
    cut = augmentation.crop(3)(images, np.random.default_rng(0))
    windows = {image[0, i : i + 3, j : j + 3].tobytes() for i in range(2) for j in range(3)}
    assert cut.shape == (200, 3, 3, 1) and cut.dtype == np.uint8
    assert {window.tobytes() for window in cut} == windows


def test_a_crop_larger_than_the_images_is_named():
    with pytest.raises(ValueError, match=r"size is 33, but the images are 32 x 32 pixels"):
        augmentation.crop(33)(np.zeros((2, 32, 32, 3), np.uint8), np.random.default_rng(0))
    with pytest.raises(ValueError, match="size is 0"):
        augmentation.crop(0)


def test_resizing_averages_neighbors_and_keeps_order_and_dtype():
    generator = np.random.default_rng(0)
    images = np.repeat(np.repeat(generator.integers(0, 256, (1500, 4, 4, 3)), 4, 1), 4, 2)
    images = images.astype(np.uint8)
    small = augmentation.resize(images, 8)
    assert small.shape == (1500, 8, 8, 3) and small.dtype == np.uint8
    means = images.mean((1, 2)) - small.mean((1, 2))
    assert np.abs(means).max() < 4  # borders weigh a little differently
    assert np.array_equal(augmentation.resize(images, 16), images)
    assert not np.array_equal(small[0], small[1])


def test_resizing_rejects_what_is_no_image_set():
    with pytest.raises(ValueError, match="size is 0"):
        augmentation.resize(np.zeros((1, 8, 8, 3), np.uint8), 0)
    with pytest.raises(ValueError, match="float32"):
        augmentation.resize(np.zeros((1, 8, 8, 3), np.float32), 4)


def test_alternating_flip_shows_each_image_both_ways_in_two_epochs():
    images = np.random.default_rng(0).integers(0, 256, (400, 4, 4, 1)).astype(np.uint8)
    batches = augmentation.Batches(
        images, batch_size=100, normalize=augmentation.scale, alternating_flip=True, seed=3
    )
    epochs = []
    for epoch in range(3):
        batches.epoch = epoch
        drawn = np.concatenate([batches[i] for i in range(4)])
        epochs.append((drawn != augmentation.scale(images)).any((1, 2, 3)))
    assert 150 < epochs[0].sum() < 250
    assert np.array_equal(epochs[0], ~epochs[1])
    assert np.array_equal(epochs[0], epochs[2])
    batches.epoch = int(np.flatnonzero([epochs[0][0], epochs[1][0]])[0])
    assert np.array_equal(batches[0][0], augmentation.scale(images[:1])[0, :, ::-1])


@properties
@given(size=st.integers(1, 7), seed=seeds)
def test_cutout_covers_one_square_with_the_mean_color(size, seed):
    images = make_images(5, dtype=np.float32, seed=seed % 1000)
    covered = augmentation.cutout(size)(images, np.random.default_rng(seed))
    for image, result in zip(images, covered, strict=True):
        rows, columns = np.nonzero((result != image).any(axis=-1))
        assert len(rows) == size**2
        assert np.ptp(rows) == np.ptp(columns) == size - 1
        assert np.allclose(result[rows, columns], image.mean(axis=(0, 1)), atol=1e-3)


def test_shift_by_whole_pixels_repeats_the_edge():
    image = make_images(1, 8, 8)
    shifted = augmentation._shifted(image, np.array([[2.0, -3.0]]))
    padded = np.pad(image, ((0, 0), (3, 3), (3, 3), (0, 0)), mode="edge")
    assert np.array_equal(shifted, padded[:, 5:13, 0:8])


def test_shift_by_half_a_pixel_averages_neighbors():
    image = np.array([10, 20, 40], np.float32).reshape(1, 1, 3, 1)
    shifted = augmentation._shifted(image, np.array([[0.0, 0.5]]))
    assert shifted.ravel().tolist() == [15, 30, 40]


def test_shift_draws_fractions_up_to_the_limit_in_both_directions():
    ramp = np.tile(np.arange(40, dtype=np.float32)[None, None, :, None], (500, 40, 1, 1))
    shifted = augmentation.shift(0.125)(ramp, np.random.default_rng(0))
    moved = shifted[:, 20, 20, 0] - 20
    assert -5 <= moved.min() < -4.9 and 4.9 < moved.max() <= 5
    assert len(np.unique(moved)) > 490
    assert abs(moved.mean()) < 0.5


def test_zoom_draws_x_and_y_separately():
    rows, columns = np.mgrid[0:41, 0:41].astype(np.float32) - 20
    ramps = np.tile(np.stack([rows, columns], axis=-1) + 100, (300, 1, 1, 1))
    zoomed = augmentation.zoom(0.2)(ramps, np.random.default_rng(0)) - 100
    factor_y, factor_x = zoomed[:, 30, 20, 0] / 10, zoomed[:, 20, 30, 1] / 10
    for factor in (factor_y, factor_x):
        assert 0.8 <= factor.min() + 1e-4 and factor.min() < 0.82
        assert 1.18 < factor.max() <= 1.2 + 1e-4
    assert abs(np.corrcoef(factor_y, factor_x)[0, 1]) < 0.2


def test_rotation_by_a_quarter_turn_moves_pixels_exactly():
    image = make_images(1, 8, 8, dtype=np.float32)
    matrices = augmentation._sampling_matrices(
        np.array([8, 8]), np.array([np.pi / 2]), np.ones((1, 2)), np.zeros((1, 2))
    )
    turned = augmentation._resampled(image, matrices)[0]
    error = min(np.abs(turned - np.rot90(image[0], k)).max() for k in (1, 3))
    assert error < 1e-3


@pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning")
@pytest.mark.parametrize("shape", [(32, 32, 3), (28, 28, 1), (21, 21, 3)])
def test_resampling_agrees_with_keras_old_generator(shape):
    legacy = pytest.importorskip("keras.src.legacy.preprocessing.image")
    generator, count = np.random.default_rng(1), 20
    images = make_images(count, *shape, dtype=np.float32)
    angles = generator.uniform(-30, 30, count)
    factors = generator.uniform(0.8, 1.2, (count, 2))
    offsets = generator.uniform(-5, 5, (count, 2))

    def reference(**settings):
        axes = {"row_axis": 0, "col_axis": 1, "channel_axis": 2}
        return np.stack(
            [
                legacy.apply_affine_transform(
                    image, **{key: value[i] for key, value in settings.items()}, **axes
                )
                for i, image in enumerate(images)
            ]
        )

    shifts = {"ty": offsets[:, 0], "tx": offsets[:, 1]}
    expected = reference(**shifts)
    assert np.abs(augmentation._shifted(images, offsets) - expected).max() < 0.01
    as_uint8 = augmentation._shifted(images.astype(np.uint8), offsets)
    assert np.abs(as_uint8 - expected).max() < 0.51  # rounded, not cut off

    expected = reference(theta=angles, zy=factors[:, 0], zx=factors[:, 1], **shifts)
    matrices = augmentation._sampling_matrices(
        np.array(shape[:2]), np.deg2rad(angles), factors, offsets
    )
    assert np.abs(augmentation._resampled(images, matrices) - expected).max() < 0.01
    as_uint8 = augmentation._resampled(images.astype(np.uint8), matrices)
    assert np.abs(as_uint8 - expected).max() < 0.51


def test_both_compiled_loops_agree_on_shifts():
    images, offsets = make_images(5), np.random.default_rng(0).uniform(-20, 20, (5, 2))
    matrices = augmentation._sampling_matrices(
        np.array([9, 7]), np.zeros(5), np.ones((5, 2)), offsets
    )
    difference = augmentation._resampled(images, matrices).astype(int)
    difference -= augmentation._shifted(images, offsets)
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("height,width", [(1, 1), (1, 6), (6, 1)])
def test_images_of_a_single_row_or_column_work(height, width):
    images = make_images(3, height, width)
    for transform in (augmentation.shift(1), augmentation.affine(rotation=180, zoom=0.5, shift=1)):
        assert transform(images, np.random.default_rng(0)).shape == images.shape


@pytest.mark.parametrize(
    "make,message",
    [
        (lambda: augmentation.flip(1.5), "probability is 1.5"),
        (lambda: augmentation.pad_and_crop(-1), "pixels is -1"),
        (lambda: augmentation.shift(-0.1), "shift is -0.1"),
        (lambda: augmentation.shift(4), "shift is 4"),
        (lambda: augmentation.rotate(200), "rotation is 200"),
        (lambda: augmentation.zoom(1), "zoom is 1"),
        (lambda: augmentation.cutout(-2), "size is -2"),
        (lambda: augmentation.cutout(9)(make_images(), np.random.default_rng(0)), "at most 7"),
    ],
)
def test_impossible_strengths_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@by_name
@pytest.mark.parametrize("images", [make_images()[0], make_images().astype(np.float64)])
def test_transforms_reject_a_single_image_and_other_dtypes(name, images):
    with pytest.raises(ValueError, match="transforms need"):
        TRANSFORMS[name](images, np.random.default_rng(0))


# --- normalizers ----------------------------------------------------------------------------------


def test_scale_divides_by_255():
    images = make_images()
    scaled = augmentation.scale(images)
    assert scaled.dtype == np.float32
    assert np.allclose(scaled, images / 255)


def test_per_image_agrees_with_keras_old_generator():
    legacy = pytest.importorskip("keras.src.legacy.preprocessing.image")
    generator = legacy.ImageDataGenerator(samplewise_center=True, samplewise_std_normalization=True)
    images = make_images()
    expected = np.stack([generator.standardize(image.astype(np.float64)) for image in images])
    standardized = augmentation.per_image(images)
    assert standardized.dtype == np.float32
    assert np.allclose(standardized, expected, atol=1e-5)


@properties
@given(images=batches_of(st.integers(1, 4)))
def test_per_image_leaves_mean_0_and_deviation_1_in_each_image(images):
    standardized = augmentation.per_image(images)
    assert np.allclose(standardized.mean(axis=(1, 2, 3)), 0, atol=1e-4)
    assert np.allclose(standardized.std(axis=(1, 2, 3)), 1, atol=1e-4)


def test_per_image_turns_a_constant_image_into_zeros():
    assert not augmentation.per_image(np.full((1, 4, 4, 3), 77, np.uint8)).any()


def test_fit_per_channel_measures_mean_and_deviation():
    images = make_images(1200) // np.array([1, 2, 3], np.uint8)  # more than one slice
    normalizer = augmentation.fit_per_channel(images)
    assert np.allclose(normalizer.mean, images.mean(axis=(0, 1, 2)))
    assert np.allclose(normalizer.std, images.std(axis=(0, 1, 2)))
    standardized = normalizer(images)
    expected = (images - np.array(normalizer.mean)) / np.array(normalizer.std)
    assert standardized.dtype == np.float32
    assert np.allclose(standardized, expected, atol=1e-5)


def test_fit_per_channel_rejects_what_it_cannot_standardize():
    constant = make_images()
    constant[..., 1] = 7
    with pytest.raises(ValueError, match="channel 1 has one value"):
        augmentation.fit_per_channel(constant)
    with pytest.raises(ValueError, match="expected uint8"):
        augmentation.fit_per_channel(make_images(dtype=np.float32))


def test_normalizer_rejects_another_number_of_channels():
    normalizer = augmentation.fit_per_channel(make_images())
    with pytest.raises(ValueError, match="1 channels, but the normalizer was fitted on 3"):
        normalizer(make_images(channels=1))


# --- batches --------------------------------------------------------------------------------------


@properties
@given(count=st.integers(1, 600), batch_size=st.integers(1, 100), seed=seeds)
def test_every_epoch_uses_each_image_once_and_labels_follow(count, batch_size, seed):
    labels = np.arange(count)
    batches = Batches(
        numbered_images(count),
        labels,
        batch_size=batch_size,
        normalize=unscaled,
        shuffle=True,
        seed=seed,
    )
    for _ in range(2):
        drawn = [batches[index] for index in range(len(batches))]
        numbers = np.concatenate([numbers_of(images) for images, _ in drawn])
        assert np.array_equal(np.sort(numbers), labels)
        assert np.array_equal(np.concatenate([labels for _, labels in drawn]), numbers)
        assert all(len(images) == batch_size for images, _ in drawn[:-1])
        batches.on_epoch_end()


def make_batches(**settings):
    arguments = {
        "batch_size": 16,
        "normalize": augmentation.scale,
        "transforms": [augmentation.flip(), augmentation.shift(0.1)],
        "shuffle": True,
    } | settings
    return Batches(make_images(50), np.arange(50) % 10, **arguments)


def contents(batches):
    return [(images.tobytes(), labels.tobytes()) for images, labels in batches]


def test_same_seed_and_epoch_give_the_same_bytes_in_any_order_of_drawing():
    batches, later = make_batches(seed=3), make_batches(seed=3)
    for _ in range(5):
        batches.on_epoch_end()
    later.epoch = 5
    assert contents(batches) == contents(later)
    assert contents(batches)[::-1] == [
        (images.tobytes(), labels.tobytes()) for images, labels in (later[i] for i in (3, 2, 1, 0))
    ]


def test_epochs_and_seeds_differ_in_order_and_in_augmentation():
    order = make_batches(transforms=[])
    changes = make_batches(shuffle=False)
    other_seed = make_batches(seed=1)
    assert contents(other_seed) != contents(make_batches(seed=0))
    for batches in (order, changes):
        first = contents(batches)
        batches.on_epoch_end()
        assert contents(batches) != first


def test_batches_of_one_epoch_are_changed_differently():
    images = np.repeat(make_images(1), 32, axis=0)
    batches = Batches(
        images, batch_size=16, normalize=augmentation.scale, transforms=[augmentation.shift(0.2)]
    )
    assert not np.array_equal(batches[0], batches[1])


def test_without_shuffle_the_order_is_that_of_the_file_in_every_epoch():
    batches = Batches(numbered_images(50), np.arange(50), batch_size=16, normalize=unscaled)
    assert np.array_equal(drawn_numbers(batches), np.arange(50))
    batches.epoch = 4
    assert np.array_equal(drawn_numbers(batches), np.arange(50))


def test_batches_are_normalized_after_the_transforms_and_images_stay_uint8():
    batches = make_batches(shuffle=False, transforms=[augmentation.flip(1)])
    images, labels = batches[3]
    assert images.dtype == np.float32 and images.shape == (2, 9, 7, 3)
    assert np.allclose(images, batches.images[48:, :, ::-1] / 255)
    assert labels.tolist() == [8, 9]
    assert batches.images.dtype == np.uint8
    assert (batches.num_images, len(batches), batches.num_batches) == (50, 4, 4)


def test_without_labels_batches_are_images_alone():
    batches = Batches(make_images(5), batch_size=2, normalize=augmentation.per_image)
    assert [batch.shape for batch in batches] == [(2, 9, 7, 3), (2, 9, 7, 3), (1, 9, 7, 3)]


@pytest.mark.parametrize("index", [-1, 4])
def test_a_batch_that_does_not_exist_raises(index):
    with pytest.raises(IndexError, match="there are 4 batches"):
        make_batches()[index]


@pytest.mark.parametrize(
    "images,labels,batch_size,message",
    [
        (make_images(4), np.arange(3), 2, "4 images and 3 labels"),
        (make_images(4, dtype=np.float32), np.arange(4), 2, "dtype float32: expected uint8"),
        (make_images(4)[..., 0], np.arange(4), 2, r"shape \(4, 9, 7\): expected \(n, height"),
        (make_images(4), np.eye(4), 2, r"labels have shape \(4, 4\)"),
        (make_images(4), np.zeros(4), 2, "one integer"),
        (make_images(4), np.arange(4), 0, "batch_size is 0"),
        (make_images(0), np.arange(0), 2, "there are 0 images"),
    ],
)
def test_wrong_input_is_named(images, labels, batch_size, message):
    with pytest.raises(ValueError, match=message):
        Batches(images, labels, batch_size=batch_size, normalize=augmentation.scale)


def test_a_negative_epoch_is_rejected():
    batches = make_batches()
    with pytest.raises(ValueError, match="epoch is -1"):
        batches.epoch = -1


def test_keras_fits_evaluates_and_predicts_on_batches():
    import keras

    keras.utils.set_random_seed(0)
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 90)
    images = generator.integers(0, 120, (90, 8, 8, 1), dtype=np.uint8)
    images[labels == 0, :4] += 120  # bright above
    images[labels == 1, 4:] += 120  # bright below
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(0.05), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    train = Batches(
        images,
        labels,
        batch_size=16,
        normalize=augmentation.scale,
        transforms=[augmentation.flip(), augmentation.affine(rotation=10)],
        shuffle=True,
    )
    validation = Batches(images, labels, batch_size=40, normalize=augmentation.scale)
    history = model.fit(train, validation_data=validation, epochs=4, shuffle=False, verbose=0)
    assert train.epoch == 1 + 4  # Keras also reports an end before the first epoch
    assert history.history["loss"][-1] < history.history["loss"][0]

    accuracy = model.evaluate(validation, verbose=0, return_dict=True)["accuracy"]
    for_prediction = Batches(images, batch_size=40, normalize=augmentation.scale)
    predicted = model.predict(for_prediction, verbose=0).argmax(axis=-1)
    assert accuracy > 0.9
    assert np.mean(predicted == labels) == pytest.approx(accuracy)


def test_keras_draws_every_epoch_in_its_own_order():
    import keras

    seen = []

    def record(images):
        seen.append(numbers_of(images.astype(np.float32)))
        return images.astype(np.float32)

    model = keras.Sequential([keras.Input((2, 2, 2)), keras.layers.Flatten()])
    model.add(keras.layers.Dense(1))
    model.compile("sgd", "mse")
    labels = np.zeros(30, np.int64)
    train = Batches(numbered_images(30), labels, batch_size=10, normalize=record, shuffle=True)
    model.fit(train, epochs=3, shuffle=False, verbose=0)

    # Keras draws the first batches once more to learn their shapes, hence the last nine.
    # Two threads draw those of an epoch, so the second may be done before the first.
    epochs = [seen[-9:-6], seen[-6:-3], seen[-3:]]
    expected = Batches(numbered_images(30), labels, batch_size=10, normalize=unscaled, shuffle=True)
    for epoch, drawn in enumerate(epochs, start=1):
        expected.epoch = epoch
        in_order = drawn_numbers(expected).reshape(3, 10)
        assert sorted(map(tuple, drawn)) == sorted(map(tuple, in_order))


def test_keras_trains_on_the_batches_in_their_order():
    import keras

    class Wrong(keras.losses.Loss):
        def call(self, labels, predictions):
            return predictions

    def slow_when_even(images):
        if int(images.flat[0]) % 2 == 0:
            time.sleep(0.05)
        return images.astype(np.float32)

    numbers = np.arange(12, dtype=np.uint8)
    images = np.broadcast_to(numbers[:, None, None, None], (12, 2, 2, 1)).copy()
    batches = Batches(
        images, np.zeros(12, np.int64), batch_size=1, normalize=slow_when_even, shuffle=True
    )
    model = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.GlobalMaxPooling2D()])
    model.compile("sgd", Wrong())
    means = []  # of all batches of the epoch so far
    record = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: means.append(logs["loss"])
    )
    model.fit(batches, epochs=1, shuffle=False, verbose=0, callbacks=[record])
    sums = np.array(means) * np.arange(1, 13)
    seen = np.diff(sums, prepend=0)
    expected = Batches(images, batch_size=1, normalize=unscaled, shuffle=True)
    expected.epoch = 1
    assert np.allclose(seen, [batch.flat[0] for batch in expected], atol=1e-3)


def test_the_tuning_of_tf_data_that_delays_the_end_of_an_epoch_is_off():
    import keras
    from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter

    if keras.backend.backend() != "tensorflow":
        pytest.skip("only TensorFlow draws batches through tf.data")
    batches = Batches(
        numbered_images(30), np.zeros(30, np.int64), batch_size=10, normalize=unscaled
    )
    assert PyDatasetAdapter(batches).get_tf_dataset().options().autotune.enabled is False
