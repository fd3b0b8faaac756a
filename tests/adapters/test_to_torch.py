"""`to_torch`: the batches of an iterator as a dataset of PyTorch, in one process or several."""

import logging
import pickle

import numpy as np
import pytest
from reference import assert_same, images

import fastaug

torch = pytest.importorskip("torch")

N, BATCH = 26, 4  # seven batches, the last one short


CROP = fastaug.RandomCrop((7, 8), padding=2)


def flow_of(*labels, x=None, seed=3, augment=CROP, **options):
    x = images(n=N) if x is None else x
    labels = labels or (np.arange(N),)
    generator = fastaug.ImageDataGenerator(rotation_range=30, horizontal_flip=True, augment=augment)
    return generator.flow(x, *labels, batch_size=BATCH, seed=seed, **options)


def as_arrays(batch):
    """A batch of tensors as one of arrays, in the same structure."""
    if isinstance(batch, torch.Tensor):
        return batch.numpy()
    if isinstance(batch, dict):
        return {name: as_arrays(part) for name, part in batch.items()}
    return type(batch)(as_arrays(part) for part in batch)


def epochs_of(flow, count):
    return [[next(flow) for _ in range(len(flow))] for _ in range(count)]


def iterated(dataset):
    return [as_arrays(batch) for batch in dataset]


@pytest.fixture(scope="module")
def expected():
    """Three epochs of one process."""
    with flow_of() as plain:
        return epochs_of(plain, 3)


# ---------------------------------------------------------------- one process


def test_epochs_follow_each_other(expected):
    with flow_of() as flow:
        dataset = flow.to_torch()
        assert len(dataset) == 7
        for epoch in expected:
            assert_same(iterated(dataset), epoch)


def test_other_structures():
    x = images(n=N), np.arange(N)
    weights = np.linspace(0, 1, N)
    with (
        flow_of(np.arange(N), x=x, sample_weight=weights) as flow,
        flow_of(np.arange(N), x=x, sample_weight=weights) as plain,
    ):
        assert_same(iterated(flow.to_torch()), epochs_of(plain, 1)[0])
    with flow_of(None) as flow, flow_of(None) as plain:
        assert_same(iterated(flow.to_torch()), epochs_of(plain, 1)[0])


def test_masks_in_a_dictionary():
    def flow():
        masks = fastaug.Masks(images(n=N)[..., 0])
        return flow_of({"mask": masks, "class": np.arange(N)})

    with flow() as one, flow() as plain:
        assert_same(iterated(one.to_torch()), epochs_of(plain, 1)[0])


def test_set_epoch(expected):
    with flow_of() as flow:
        dataset = flow.to_torch()
        dataset.set_epoch(2)
        assert_same(iterated(dataset), expected[2])
        dataset.set_epoch(0)
        assert_same(iterated(dataset), expected[0])
        assert_same(iterated(dataset), expected[1])


def test_an_iteration_that_is_left_is_an_epoch(expected):
    with flow_of() as flow:
        dataset = flow.to_torch()
        for _ in dataset:
            break
        assert_same(iterated(dataset), expected[1])


def test_memory_is_not_used_again_while_somebody_has_a_tensor():
    x = images(n=12, height=200, width=220)
    with flow_of(None, x=x, augment=None) as flow, flow_of(None, x=x, augment=None) as plain:
        batches = list(flow.to_torch())
        assert_same([batch.numpy() for batch in batches], [next(plain) for _ in range(3)])


def test_tensors_share_the_memory_of_the_arrays(monkeypatch):
    with flow_of(None) as flow:
        batch = np.ones((2, 3), np.float32)
        monkeypatch.setattr(type(flow), "__next__", lambda self: batch)
        first = next(iter(flow.to_torch()))
        batch[:] = 2
        assert first.eq(2).all()


def test_a_data_loader(expected):
    with flow_of() as flow:
        loader = torch.utils.data.DataLoader(flow.to_torch(), batch_size=None)
        assert len(loader) == 7
        for epoch in expected:
            assert_same([tuple(as_arrays(batch)) for batch in loader], epoch)


def test_workers_of_a_data_loader_are_refused():
    with flow_of() as flow:
        loader = torch.utils.data.DataLoader(
            flow.to_torch(), batch_size=None, num_workers=1, multiprocessing_context="fork"
        )
        with pytest.raises(RuntimeError, match="num_workers=0"):
            list(loader)


def test_a_pickled_dataset_goes_on(expected):
    with flow_of() as flow:
        dataset = flow.to_torch(1, 3)
        list(dataset)
        copy = pickle.loads(pickle.dumps(dataset))
        assert_same(iterated(copy), expected[1][1::3] + iterated(dataset)[2:])


# ---------------------------------------------------------------- several processes


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("world_size", [1, 2, 3, 7, 10])
def test_ranks_share_the_epochs_of_one_process(world_size, workers, expected):
    for rank in range(world_size):
        with flow_of() as flow:
            flow.image_data_generator.workers = workers
            dataset = flow.to_torch(rank, world_size)
            assert len(dataset) == -(-7 // world_size)
            for epoch in expected:
                parts = iterated(dataset)
                own = epoch[rank::world_size]
                assert_same(parts[: len(own)], own)
                # where they do not come out even, the samples of the first ones
                assert len(parts) == len(dataset)
                for k, (_, labels) in enumerate(parts[len(own) :], len(own)):
                    assert_same(labels, epoch[(k * world_size + rank) % 7][1])


@pytest.mark.parametrize("taken", [1, 7])
def test_ranks_begin_where_the_iterator_stands(taken, expected):
    with flow_of() as flow:
        for _ in range(taken):
            next(flow)
        dataset = flow.to_torch(1, 2)
        assert_same(iterated(dataset)[:3], expected[1][1::2])
        assert flow.total_batches_seen == taken
        assert_same(next(flow), [batch for epoch in expected for batch in epoch][taken])


def test_set_epoch_of_a_rank(expected):
    with flow_of() as flow:
        dataset = flow.to_torch(1, 2)
        for epoch in (2, 0):
            dataset.set_epoch(epoch)
            assert_same(iterated(dataset)[:3], expected[epoch][1::2])


def test_ranks_of_an_iterator_with_an_order_of_its_own():
    class Backwards(fastaug.NumpyArrayIterator):
        def _set_index_array(self):
            self.index_array = np.random.permutation(self.n)[::-1]

    def flow():
        generator = fastaug.ImageDataGenerator(horizontal_flip=True)
        return Backwards(images(n=N), np.arange(N), generator, BATCH, shuffle=True, seed=3)

    with flow() as plain:
        one = epochs_of(plain, 2)
    for rank in range(2):
        with flow() as part:
            dataset = part.to_torch(rank, 2)
            for epoch in one:
                own = epoch[rank::2]
                assert_same(iterated(dataset)[: len(own)], own)


@pytest.mark.parametrize("world_size", [1, 2])
def test_what_is_prepared_ahead_is_asked_for(world_size, caplog):
    with flow_of() as flow, caplog.at_level(logging.INFO, "fastaug"):
        dataset = flow.to_torch(0, world_size)
        for _ in range(3):
            list(dataset)
    assert "nobody asked for" not in caplog.text


@pytest.mark.parametrize(("rank", "world_size"), [(-1, 2), (2, 2), (0, 0)])
def test_ranks_that_there_are_not(rank, world_size):
    with flow_of() as flow, pytest.raises(ValueError, match=f"rank={rank}, {world_size=}"):
        flow.to_torch(rank, world_size)


def test_several_processes_need_a_seed():
    with flow_of(seed=None) as flow:
        assert len(list(flow.to_torch())) == 7
        with pytest.raises(ValueError, match="Several processes need a `seed`"):
            flow.to_torch(0, 2)


def test_epochs_and_ranks_are_integers():
    with flow_of() as flow:
        dataset = flow.to_torch()
        with pytest.raises(ValueError, match="epoch=-1"):
            dataset.set_epoch(-1)
        for wrong in 1.0, "1", None:
            with pytest.raises(TypeError, match="integer"):
                dataset.set_epoch(wrong)
            with pytest.raises(TypeError, match="integer"):
                flow.to_torch(wrong, 2)
        dataset.set_epoch(np.int64(2))
        assert len(flow.to_torch(np.int64(1), np.int64(2))) == 4
