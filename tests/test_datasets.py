import hashlib
import io
import tarfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils import datasets


def labeled(counts):
    """Images that hold their own number, and labels with so many of each class."""
    labels = np.repeat(np.arange(len(counts)), counts)
    images = np.arange(len(labels), dtype=np.uint16).view(np.uint8).reshape(-1, 1, 2, 1)
    return images, labels


def numbers(images):
    return images.reshape(-1, 2).copy().view(np.uint16).ravel().tolist()


class_counts = st.lists(st.integers(2, 40), min_size=1, max_size=10)


@given(class_counts, st.floats(0.05, 0.95), st.integers(0, 1000))
@settings(deadline=None)
def test_split_never_shares_an_image_and_loses_none(counts, fraction, seed):
    images, labels = labeled(counts)
    size = round(fraction * len(labels))
    if not len(counts) <= size <= len(labels) - len(counts):
        with pytest.raises(ValueError, match="a class would be missing"):
            datasets.train_validation_split(images, labels, validation_fraction=fraction, seed=seed)
        return
    split = datasets.train_validation_split(images, labels, validation_fraction=fraction, seed=seed)
    assert datasets.shared_images(split.x_train, split.x_validation) == 0
    assert sorted(numbers(split.x_train) + numbers(split.x_validation)) == numbers(images)
    assert set(split.y_train) == set(split.y_validation) == set(labels)
    assert np.array_equal(labels[numbers(split.x_train)], split.y_train)
    assert np.array_equal(labels[numbers(split.x_validation)], split.y_validation)


@given(class_counts, st.data())
@settings(deadline=None)
def test_subset_has_the_asked_size_and_each_class_in_proportion(counts, data):
    images, labels = labeled(counts)
    size = data.draw(st.integers(len(counts), len(labels)))
    chosen, chosen_labels = datasets.stratified_subset(images, labels, size, seed=3)
    assert len(chosen) == len(chosen_labels) == size
    assert len(set(numbers(chosen))) == size
    share = np.bincount(chosen_labels, minlength=len(counts))
    assert share.min() >= 1
    if size >= 20 * len(counts):
        assert np.abs(share - np.array(counts) * size / len(labels)).max() <= len(counts)


def test_subset_and_split_depend_on_the_seed_alone():
    images, labels = labeled([50] * 10)
    first, _ = datasets.stratified_subset(images, labels, 100, seed=1)
    again, _ = datasets.stratified_subset(images, labels, 100, seed=1)
    other, _ = datasets.stratified_subset(images, labels, 100, seed=2)
    assert numbers(first) == numbers(again) != numbers(other)
    first, again, other = (
        datasets.train_validation_split(images, labels, validation_fraction=0.2, seed=seed)
        for seed in (1, 1, 2)
    )
    assert numbers(first.x_validation) == numbers(again.x_validation)
    assert numbers(first.x_train) == numbers(again.x_train)
    assert set(numbers(first.x_validation)) != set(numbers(other.x_validation))


@pytest.mark.parametrize("size", [0, -1, 9, 501])
def test_impossible_subsets_are_refused(size):
    images, labels = labeled([50] * 10)
    with pytest.raises(ValueError, match=f"subset of {size} images"):
        datasets.stratified_subset(images, labels, size, seed=0)


@pytest.mark.parametrize("fraction", [0, 1, -0.2, 1.5])
def test_a_split_of_nothing_or_all_is_refused(fraction):
    images, labels = labeled([50] * 10)
    with pytest.raises(ValueError, match="between 0 and 1"):
        datasets.train_validation_split(images, labels, validation_fraction=fraction, seed=0)


def test_images_and_labels_of_different_length_are_refused():
    images, labels = labeled([5, 5])
    with pytest.raises(ValueError, match="9 images came with labels of shape"):
        datasets.stratified_subset(images[:9], labels, 4, seed=0)


def test_shared_images_are_counted_by_content():
    images, _ = labeled([10])
    assert datasets.shared_images(images[:6], images[4:].copy()) == 2
    repeated = np.concatenate([images[5:6]] * 3)
    assert datasets.shared_images(images[:6], repeated) == 3
    assert datasets.shared_images(images[:5], repeated) == 0


def test_comparing_images_of_different_form_is_refused():
    images, _ = labeled([10])
    with pytest.raises(ValueError, match="cannot be compared"):
        datasets.shared_images(images, images.astype(np.float32))


# --- real data ------------------------------------------------------------------------------------


def test_class_names_stand_in_the_order_of_the_labels():
    assert datasets.DATASETS["cifar10"].class_names == (
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    )  # fmt: skip
    assert datasets.DATASETS["mnist"].class_names == tuple("0123456789")


@pytest.mark.parametrize(
    ("load", "shape", "sizes"),
    [
        (datasets.load_cifar10, (32, 32, 3), (50_000, 10_000)),
        (datasets.load_mnist, (28, 28, 1), (60_000, 10_000)),
    ],
)
def test_real_data_is_complete_and_verified(real_data, load, shape, sizes):
    data = load()
    assert data.x_train.shape == (sizes[0], *shape)
    assert data.x_test.shape == (sizes[1], *shape)
    assert data.x_train.dtype == np.uint8
    assert data.y_train.dtype == np.int64
    assert "checksums match" in data.source
    assert not data.stand_in
    assert len(data.class_names) == 10


def test_a_subset_of_real_data_is_announced(real_data, capsys):
    data = datasets.load_mnist(train_images=500, test_images=100)
    assert data.x_train.shape == (500, 28, 28, 1)
    assert data.x_test.shape == (100, 28, 28, 1)
    assert "500 of 60,000 training and 100 of 10,000 test images" in capsys.readouterr().out


# --- stand-ins ------------------------------------------------------------------------------------


def test_the_stand_in_announces_itself_and_has_its_own_names(capsys):
    data = datasets.load_cifar10(train_images=200, test_images=100)
    assert data.stand_in
    assert "STAND-IN DATA, NOT CIFAR-10" in capsys.readouterr().out
    assert data.x_train.shape == (200, 32, 32, 3)
    assert not set(data.class_names) & set(datasets.DATASETS["cifar10"].class_names)


def test_the_stand_in_is_the_same_each_time():
    first, again = datasets.load_cifar10(), datasets.load_cifar10()
    assert datasets.array_checksum(first.x_train) == datasets.array_checksum(again.x_train)
    assert (np.bincount(first.y_train) == len(first.y_train) / 10).all()
    assert datasets.shared_images(first.x_train, first.x_test) == 0


def test_a_small_cnn_neither_fails_nor_saturates_on_the_stand_in():
    import keras

    from course_utils import augmentation, training

    data = datasets.load_cifar10(train_images=1000, test_images=500)
    training.seed_everything(0)
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(0.005),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    options = {"batch_size": 50, "normalize": augmentation.fit_per_channel(data.x_train)}
    train = augmentation.Batches(data.x_train, data.y_train, shuffle=True, **options)
    validation = augmentation.Batches(data.x_test, data.y_test, **options)
    run = training.fit(model, train, name="shapes", epochs=4, validation=validation, progress=None)
    assert 0.17 < run.history["val_accuracy"][-1] < 0.8  # chance is 0.1, with an error of 0.013


def test_asking_a_stand_in_for_too_much_gives_what_there_is(capsys):
    data = datasets.load_mnist(train_images=60_000)
    assert len(data.y_train) == 4_000
    assert "4,000 train images; 60,000 were asked for" in capsys.readouterr().out


# --- damaged files --------------------------------------------------------------------------------


def arrays(**changed):
    labels = np.arange(20) % 10
    whole = {
        "x_train": np.zeros((20, 28, 28), np.uint8),
        "y_train": labels.astype(np.uint8),
        "x_test": np.zeros((20, 28, 28), np.uint8),
        "y_test": labels.astype(np.uint8),
    } | changed
    return {key: value for key, value in whole.items() if value is not None}


def save(path, **content):
    np.savez_compressed(path, **content)
    return path


def test_a_reduced_copy_is_accepted_and_said_to_be_one(monkeypatch, tmp_path):
    save(tmp_path / "mnist.npz", **arrays())
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path))
    data = datasets.load_mnist()
    assert data.x_train.shape == (20, 28, 28, 1)
    assert "a reduced copy" in data.source


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"x_test": None}, "lacks x_test"),
        ({"x_train": np.zeros((20, 28, 28), np.float32)}, "x_train is float32"),
        ({"x_train": np.zeros((20, 32, 32, 3), np.uint8)}, r"shape \(20, 32, 32, 3\)"),
        ({"x_train": np.zeros((0, 28, 28), np.uint8)}, "0 images, but 1 to 60,000"),
        ({"y_train": np.arange(20)}, "labels from 0 to 19"),
        ({"y_train": np.full(20, -1)}, "labels from -1"),
        ({"y_train": np.zeros(19, np.uint8)}, "20 integer labels are needed"),
        ({"y_train": np.full(20, np.nan)}, "y_train is float64"),
        ({"y_train": np.array([{}] * 20, dtype=object)}, "y_train promises"),
        ({"more": np.zeros(3)}, "5 arrays in place of x_train, y_train, x_test, y_test"),
    ],
)
def test_wrong_arrays_get_one_clear_sentence(monkeypatch, tmp_path, changed, complaint):
    path = save(tmp_path / "mnist.npz", **arrays(**changed))
    before = path.read_bytes()
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path))
    with pytest.raises(ValueError, match=complaint) as raised:
        datasets.load_mnist()
    assert str(path) in str(raised.value)
    assert "replace it by the official file" in str(raised.value)
    assert path.read_bytes() == before


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.98])
def test_a_truncated_file_gets_one_clear_sentence(monkeypatch, tmp_path, keep):
    path = save(tmp_path / "mnist.npz", **arrays())
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if keep < 1 else keep])
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path))
    with pytest.raises(ValueError, match="not a readable MNIST file"):
        datasets.load_mnist()


def test_a_file_of_more_images_than_there_are_is_refused_unread(monkeypatch, tmp_path):
    zeros = np.zeros((60_001, 28, 28), np.uint8)
    save(tmp_path / "mnist.npz", **arrays(x_train=zeros, y_train=np.zeros(60_001, np.uint8)))
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(np.lib.format, "read_array", None)
    with pytest.raises(ValueError, match="60,001 images, but 1 to 60,000 are needed"):
        datasets.load_mnist()


def test_official_sizes_with_other_content_are_refused(monkeypatch, tmp_path, real_data):
    path = f"{datasets.os.environ['COURSE_DATA_DIR']}/mnist.npz"
    with np.load(path, allow_pickle=False) as official:
        content = dict(official)
    content["x_test"][0, 0, 0] ^= 1
    np.savez(tmp_path / "mnist.npz", **content)
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path))
    with pytest.raises(ValueError, match="checksum differs"):
        datasets.load_mnist()


def test_a_missing_file_says_where_it_was_looked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="holds no cifar10.npz"):
        datasets.load_cifar10()


# --- the official archive -------------------------------------------------------------------------


def test_the_binary_cifar10_archive_is_converted_without_pickle(tmp_path):
    generator = np.random.default_rng(0)
    archive = tmp_path / "cifar.tar.gz"
    rows = generator.integers(0, 10, (6, 7, 3073)).astype(np.uint8)
    names = [f"data_batch_{number}.bin" for number in range(1, 6)] + ["test_batch.bin"]
    with tarfile.open(archive, "w:gz") as tar:
        for name, batch in zip(names, rows, strict=True):
            entry = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            entry.size = batch.size
            tar.addfile(entry, io.BytesIO(batch.tobytes()))
    converted = datasets.DATASETS["cifar10"].convert(archive)
    assert converted["x_train"].shape == (35, 32, 32, 3)
    assert converted["y_test"].tolist() == rows[5, :, 0].tolist()
    # The file holds all red values of an image, row by row, then green, then blue.
    assert converted["x_train"][8, 2, 5, 1] == rows[1, 1, 1 + 1024 + 2 * 32 + 5]


def test_a_checksum_is_that_of_the_bytes():
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert datasets.array_checksum(array) == hashlib.sha256(bytes(range(6))).hexdigest()
    assert datasets.array_checksum(array.T) == hashlib.sha256(bytes([0, 3, 1, 4, 2, 5])).hexdigest()
