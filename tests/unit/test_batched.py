from repositories.batched import batched


def test_batches_have_the_size_and_keep_the_order() -> None:
    assert list(batched(iter("abcde"), 2)) == [["a", "b"], ["c", "d"], ["e"]]
    assert list(batched([1, 2], 2)) == [[1, 2]]


def test_an_empty_input_has_no_batch() -> None:
    assert list(batched((), 3)) == []
