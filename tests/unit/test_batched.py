from repositories.batched import batched


def test_all_come_in_order_in_portions_of_the_size() -> None:
    assert list(batched(iter("abcde"), 2)) == [["a", "b"], ["c", "d"], ["e"]]
    assert list(batched([1, 2], 2)) == [[1, 2]]


def test_of_nothing_there_is_no_portion() -> None:
    assert list(batched((), 3)) == []
